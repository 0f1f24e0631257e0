"""Sockets that belong to a node's network although the process that uses them does not."""

from __future__ import annotations

import ctypes
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from chaoskit.agents.entrances import NodeOff, init_process

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
Made = TypeVar("Made")

__all__ = ["NodeNetworks", "NodeOff"]


class NodeNetworks:
    """The way into each node's network namespace.

    Only the calling thread changes its namespace, and it is back before anything else runs in it. No namespace is held open
    longer than that: a handle would keep a dead node's interfaces and addresses alive.
    """

    def __init__(self, inside: Path | None) -> None:
        """`inside`: see Lab.inside(); None: sockets are made where this process runs."""
        self._inside = inside
        self._home = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC) if inside is not None else -1

    def init_process(self, node: str) -> int | None:
        """The process whose namespaces are the node's; None where nodes have no way in. NodeOff, OSError."""
        if self._inside is None:
            return None
        return init_process(self._inside, node)

    def stream_socket(self, node: str, family: int) -> socket.socket:
        """A new non-blocking TCP socket in the node's network. NodeOff, OSError."""
        made = self.made_in(node, lambda: socket.socket(family, socket.SOCK_STREAM))
        made.setblocking(False)
        return made

    def made_in(self, node: str, make: Callable[[], Made]) -> Made:
        """What `make` makes, a socket of some kind, while the thread is in the node's network. NodeOff, OSError."""
        process = self.init_process(node)
        return make() if process is None else self._made_inside(process, node, make)

    def close(self) -> None:
        """Let go of the handle on this process's own namespace."""
        if self._home >= 0:
            os.close(self._home)
            self._home = -1

    def _made_inside(self, process: int, node: str, make: Callable[[], Made]) -> Made:
        try:
            there = os.open(f"/proc/{process}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NodeOff(node) from None
        try:
            _enter(there)
            try:
                return make()
            finally:
                _enter(self._home)
        finally:
            os.close(there)


def _enter(handle: int) -> None:
    # os.setns came with Python 3.12
    if _libc.setns(handle, _CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"setns into a node's network: {os.strerror(number)}")
