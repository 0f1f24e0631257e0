"""One attempt on a bare socket, and what a protocol has to say about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Protocol

from chaoskit.clients.failures import ConnectFailed
from chaoskit.clients.hosts import Host, HostOrder
from chaoskit.model.history import Certainty, Outcome


class WireAttempt:
    """From its intended instant to its end. Instants CLOCK_MONOTONIC ns. Mutable and plain: thousands are made each second."""

    # What most attempts never set stands here once for all of them.
    t_send: int | None = None
    t_connected: int | None = None
    t_first_byte: int | None = None
    t_end: int = 0
    late_end: int | None = None
    outcome: Outcome = "ok"
    certainty: Certainty = "ok"
    answered_by: str = ""
    value: str = ""
    error: str = ""
    sock: socket.SocketType | None = None
    fd: int = -1
    connecting: bool = False
    sent: bool = False
    """A byte of the request may have left."""
    received: bytes = b""
    hosts: Iterator[Host] | None = None
    """Those that were not tried yet."""
    host: Host | None = None
    failures: tuple[tuple[str, ConnectFailed], ...] = ()
    done: bool = False
    """Its end is known, or it was given up."""
    late: bool = False
    """W passed and it counts as timed out; it was left to itself to see when the answer comes."""

    def __init__(self, seq: int, t_intended: int, in_flight: int) -> None:
        self.seq = seq
        self.t_intended = t_intended
        self.in_flight = in_flight

    def tell(self, outcome: Outcome, certainty: Certainty, error: str = "") -> None:
        """What became of it."""
        self.outcome, self.certainty, self.error = outcome, certainty, error


class Exchange(Protocol):
    """What a protocol sends and how it reads what comes back."""

    order: HostOrder
    """The hosts, all known by address."""
    request: bytes
    """The same for each attempt; empty where the handshake is all that is asked for."""
    connect_limit_ns: int
    """What one host may take until it is connected."""
    kept: int
    """So many connections are kept open for further attempts; 0: a new one for each."""
    late: bool
    """Whether attempts are left to themselves at W, to see when the answer comes."""

    def read(self, attempt: WireAttempt, data: bytes) -> bool | None:
        """Take what came (b"": the other side has closed). None: the answer is not whole yet. Else the attempt was told what
        became of it; True where its connection may serve another one."""
