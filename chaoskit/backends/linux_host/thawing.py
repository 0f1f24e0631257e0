"""Thaws file systems that nobody can reach any more: `python -m ... SCRATCH DEVICE...`.

A lab whose holder was killed while a volume hung leaves processes that wait for it and cannot die, or a file system that no
mount shows. Mounting its device once more, out of everyone's sight, gives a handle on it. Standard library only.
"""

from __future__ import annotations

import os
import sys

from chaoskit.backends.linux_host import syscalls


def main(arguments: list[str]) -> int:
    """1 where one could not be reached, with the reason on standard error."""
    scratch, *devices = arguments
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    syscalls.mount("tmpfs", scratch, "tmpfs", 0, "mode=700")
    code = 0
    for number, device in enumerate(devices):
        place, node = f"{scratch}/{number}", f"{scratch}/node{number}"
        os.mkdir(place)
        try:
            os.mknod(node, 0o600 | 0o060000, os.makedev(7, int(device.removeprefix("/dev/loop"))))
            syscalls.mount(node, place, "ext4", syscalls.MS_NODEV)
            syscalls.thaw_filesystem(place)
            syscalls.unmount(place)
        except OSError as error:
            print(f"{device}: {error}", file=sys.stderr)
            code = 1
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
