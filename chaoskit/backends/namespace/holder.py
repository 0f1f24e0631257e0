"""The process that holds one lab: `python -m chaoskit.backends.namespace.holder --lab=ID DIRECTORY OWNER_FD FIRST_FD`.

The process tree, and who dies with whom:

    chaoskit (the owner)
      └─ keeper            this module's first process: makes the lab's parent namespaces, waits for the holder
           └─ holder       PID 1 of the lab's process namespace: when it ends, the kernel ends everything below
                ├─ init    one a node, PID 1 of the node's own process namespace: when it ends, that node ends
                │    └─ orphans of the node, reaped by it
                ├─ services and commands, in a node's namespaces, but the holder's children: it reaps and watches them
                └─ agents  chaoskit's own processes, in a node's network only: they survive the node, not the lab

* The keeper ends -> SIGKILL to the holder (parent-death signal) -> everything.
* The owner ends, however (the holder polls a pidfd of it): armed heals are performed, then the lab ends. A detached lab
  has no owner; its armed heals are performed when their deadline passes, and it lives on.
* Network namespaces, mounts, loop devices (autoclear) and nftables rules end with the last process. Two things do not:
  empty cgroup directories and the files of the lab's directory. An orderly end removes the former, `sweep` both.

Standard library only, and imports kept few: a lab of ten nodes is up in the time that larger imports take.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import traceback
from typing import NoReturn

from chaoskit.backends.linux_host import identity, syscalls
from chaoskit.backends.linux_host.holding import hold
from chaoskit.backends.linux_host.node import reserve_switch
from chaoskit.backends.linux_host.processes import Nursery
from chaoskit.backends.linux_host.wire import Blueprint
from chaoskit.backends.namespace.host import NamespaceHost, prepare_directories

_PARENT_NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)


def main(arguments: list[str]) -> NoReturn:
    """Keeper: namespaces, then fork the holder and wait for it."""
    _, directory, owner, first = arguments
    os.setsid() if os.getpgrp() != os.getpid() else None
    rootless = os.geteuid() != 0
    if rootless:
        identity.enter_user_namespace()
    syscalls.unshare(_PARENT_NAMESPACES)
    noted_reader, noted_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.die_with_parent()
            os.close(noted_writer)
            os.read(noted_reader, 1)  # the keeper must read this machine's /proc before it is covered by the lab's own
            taken = reserve_switch(int(owner), int(first))
            asyncio.run(_hold(directory, taken[0], taken[1], rootless=rootless))
        except BaseException:  # noqa: BLE001 - the last words of PID 1 belong into its log
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    identity.note_holder(directory, pid)
    os.close(noted_writer)
    for fd in (int(owner), int(first)):
        with contextlib.suppress(OSError):
            os.close(fd)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


async def _hold(directory: str, owner: int, first: int, *, rootless: bool) -> None:
    syscalls.name_process("chaoskit-lab")
    prepare_directories(directory)

    def make(lab: Blueprint, nursery: Nursery) -> NamespaceHost:
        return NamespaceHost(lab, nursery, rootless=rootless)

    await hold(directory, owner, first, make)


if __name__ == "__main__":
    main(sys.argv[1:])
