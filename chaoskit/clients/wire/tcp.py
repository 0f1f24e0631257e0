"""TCP handshakes on bare sockets."""

from __future__ import annotations

from chaoskit.clients.hosts import HostOrder
from chaoskit.clients.wire.attempt import WireAttempt


class HandshakeExchange:
    """Nothing is sent: to be connected is the answer."""

    request = b""
    kept = 0
    late = True

    def __init__(self, order: HostOrder, connect_limit_ns: int) -> None:
        self.order = order
        self.connect_limit_ns = connect_limit_ns

    def read(self, attempt: WireAttempt, data: bytes) -> bool | None:
        """What the server says of itself is not asked for, and read all the same until it closes: a close before would reset."""
        return None if data else False
