"""The keeper of a lab of running containers: `python -m chaoskit.backends.running.holder --lab=ID DIRECTORY OWNER_FD FIRST_FD`.

It is in the network namespace of the engine, where the containers' cables end. Nothing of the containers ends with it: when it
ends in order it puts back what is still broken, and where it was killed, another one can take its place.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.holding import hold
from chaoskit.backends.running.host import RunningHost


def main(arguments: list[str]) -> None:
    """Keep the lab until its end."""
    _, directory, owner, first = arguments
    record = json.loads(Path(directory, "lab.json").read_text(encoding="utf-8"))
    fd = os.open(f"/proc/{record['engine_pid']}/ns/net", os.O_RDONLY)
    syscalls.setns(fd, syscalls.CLONE_NEWNET)
    os.close(fd)
    syscalls.adopt_orphans()
    syscalls.name_process("chaoskit-lab")
    os.makedirs(f"{directory}/inside", exist_ok=True)
    try:
        asyncio.run(hold(directory, int(owner), int(first), RunningHost))
    except BaseException:
        traceback.print_exc()
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
