"""The process that holds one lab of containers: `python -m chaoskit.backends.docker.holder --lab=ID DIRECTORY OWNER_FD FIRST_FD`.

The lab's switch is its own network namespace, and ends with it; with the switch end the cables into the containers. Services,
commands and probes are its children, in the containers' namespaces. Volumes are mounted in its own mount namespace, and put
into the containers from there. The containers are the engine's: an orderly end removes them, and so does `sweep`, by their
labels, where the holder was killed; what they held of the volumes ends with them.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback

from chaoskit.backends.docker.host import DockerHost
from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.holding import hold
from chaoskit.backends.linux_host.node import reserve_switch


def main(arguments: list[str]) -> None:
    """Hold the lab until its end."""
    _, directory, owner, first = arguments
    syscalls.unshare(syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS)
    taken = reserve_switch(int(owner), int(first))
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.adopt_orphans()
    syscalls.name_process("chaoskit-lab")
    for name in ("disks", "inside", "volumes"):
        os.makedirs(f"{directory}/{name}", exist_ok=True)
    syscalls.mount("tmpfs", f"{directory}/disks", "tmpfs", 0, "mode=755")  # device nodes that this machine's /dev lacks
    try:
        asyncio.run(hold(directory, taken[0], taken[1], DockerHost))
    except BaseException:
        traceback.print_exc()
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
