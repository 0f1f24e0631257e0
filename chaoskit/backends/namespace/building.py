"""How a node of namespaces comes to be: forked from the holder, built from inside, then its PID 1. Standard library only."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import NoReturn

from chaoskit.backends.linux_host import syscalls, transport
from chaoskit.backends.linux_host.furnishing import furnish
from chaoskit.backends.linux_host.node import SWITCH_FD, Node, is_single_user
from chaoskit.backends.linux_host.processes import forked
from chaoskit.backends.linux_host.wire import Blueprint, unpacked
from chaoskit.backends.namespace.rootfs import Root
from chaoskit.linux import netlink

_NAMESPACES = syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC | syscalls.CLONE_NEWPID


def start_building(lab: Blueprint, node: Node, report: int, *, rootless: bool) -> int:
    """Fork the child that builds the node; its words come on the pipe `report`, its number is returned.

    It writes `pid N` (the node's PID 1, in the holder's view), then `ready`, or `error TEXT`.
    """

    def body() -> int:
        try:
            for group in ([node.cgroup] if node.cgroup is not None else []) + node.limiting():
                (group / "cgroup.procs").write_text("0")
            syscalls.unshare(_NAMESPACES)
        except OSError as error:
            os.write(report, f"error {error}\n".encode())
            return 1
        init = os.fork()
        if init == 0:
            _be_init(lab, node, report, rootless=rootless)
        os.write(report, f"pid {init}\n".encode())
        return 0

    return forked(body, keep=[report, SWITCH_FD])


def _be_init(lab: Blueprint, node: Node, report: int, *, rootless: bool) -> NoReturn:
    """Build the node from inside, then be its PID 1: it reaps, and does nothing else."""
    try:
        syscalls.name_process("init")
        syscalls.set_host_name(node.name)
        syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(node.plan["cables"]))
        if node.plan["forwards"]:
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
        root = Root(lab, node.plan, rootless=rootless)
        first = root.first_boot
        root.build()
        furnish(node.plan, single_user=rootless and is_single_user(), first_boot=first)
        os.umask(0o022)
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps whatever this process inherits
        null = os.open("/dev/null", os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        os.write(report, b"ready\n")
        syscalls.close_all_but(())
    except BaseException as error:  # noqa: BLE001 - reported to the holder, which fails the boot with it
        with contextlib.suppress(OSError):
            os.write(report, f"error {type(error).__name__}: {error}\n".encode())
        os._exit(1)
    while True:
        signal.pause()
