"""From which ports fresh connections go out: from the one that was left alone for longest.

A server that closes first remembers a connection for a minute (TIME-WAIT). While it does not listen, an attempt from that port is
answered with an ACK instead of a refusal, and Linux tries again 12 to 16 ms later: a failure is late, and an attempt that was
sent too early succeeds. No two users of a service share an address and port; only a probe comes from the same ones so often.
"""

from __future__ import annotations

import random
import socket
import struct
from pathlib import Path

_RANGE_FILE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_IP_LOCAL_PORT_RANGE = 51
"""Since Linux 6.3; Python's socket module does not name it. Before, and where ports do not suffice, the kernel takes any."""
_RANGE = struct.Struct("=I")
_REMEMBERED_NS = 66_000_000_000
"""A minute, and a tenth for what leaves sooner than planned."""


class SourcePorts:
    """One port after the other, from a random one on."""

    def __init__(self, spacing_ns: int) -> None:
        """`spacing_ns`: from one connection to the next."""
        try:
            self._first, last = (int(word) for word in _RANGE_FILE.read_text().split())
        except OSError:  # no /proc here
            self._first, last = 1, 0
        self._count = last - self._first + 1
        self._turn = random.randrange(max(self._count, 1))
        self._suffice = self._count * spacing_ns >= _REMEMBERED_NS

    def take(self, made: socket.socket | socket.SocketType) -> None:
        """Its connection goes out from the next port."""
        if self._suffice:
            self._turn = (self._turn + 1) % self._count
            port = self._first + self._turn
            self._limit(made, port << 16 | port)

    def take_any(self, made: socket.socket | socket.SocketType) -> bool:
        """Its connection goes out from any port, since the one that it took is in use or reserved; False: it was so before."""
        if self._suffice:
            self._limit(made, 0)
            return True
        return False

    def _limit(self, made: socket.socket | socket.SocketType, limits: int) -> None:
        try:
            made.setsockopt(socket.IPPROTO_IP, _IP_LOCAL_PORT_RANGE, _RANGE.pack(limits))
        except OSError:  # an older kernel
            self._suffice = False
