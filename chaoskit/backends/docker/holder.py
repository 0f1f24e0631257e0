"""The process that holds one lab of containers: `python -m chaoskit.backends.docker.holder --lab=ID DIRECTORY OWNER_FD FIRST_FD`.

The lab's switch is its own network namespace, and ends with it; with the switch end the cables into the containers. Services,
commands and probes are its children, in the containers' namespaces. The containers are the engine's: an orderly end removes
them, and so does `sweep`, by their labels, where the holder was killed.
"""

from __future__ import annotations

import asyncio
import os
import sys
import traceback

from chaoskit.backends.docker.host import DockerHost
from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.holding import hold


def main(arguments: list[str]) -> None:
    """Hold the lab until its end."""
    _, directory, owner, first = arguments
    syscalls.unshare(syscalls.CLONE_NEWNET)
    syscalls.adopt_orphans()
    syscalls.name_process("chaoskit-lab")
    os.makedirs(f"{directory}/inside", exist_ok=True)
    try:
        asyncio.run(hold(directory, int(owner), int(first), DockerHost))
    except BaseException:
        traceback.print_exc()
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
