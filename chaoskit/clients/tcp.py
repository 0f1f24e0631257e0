"""The TCP client type: can a connection be made?"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from typing import ClassVar

from pydantic import ConfigDict

from chaoskit.clients.connecting import connect_tcp, first_usable
from chaoskit.clients.failures import ConnectFailed
from chaoskit.clients.hosts import HostOrder, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.wire.attempt import Exchange
from chaoskit.clients.wire.tcp import HandshakeExchange
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Tokens

_LINGER_S = 0.05


class TcpOptions(Record):
    """Keys of a `tcp` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    connect_timeout: Duration | None = None
    """How long one host may take. Left out: a third of the deadline, all of it where there is one host."""


class TcpEndpointOptions(Record):
    """Keys of an endpoint of kind `tcp` in the lab: none."""


class TcpClient:
    """TCP handshakes. A frozen node still completes them: its kernel does. It says that a host is there, not that it serves."""

    TYPE: ClassVar[str] = "tcp"
    OPERATIONS: ClassVar[dict[str, str]] = {"connect": "complete a TCP handshake, then close without a reset"}
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset()
    LATE_CLASSES: ClassVar[frozenset[str]] = frozenset({"fresh", "direct"})
    Options: ClassVar[type[Record]] = TcpOptions
    EndpointOptions: ClassVar[type[Record]] = TcpEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys or a missing port."""
        options = validated(TcpOptions, config.options, f"clients.{config.client}")
        validated(TcpEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        hosts = hosts_of(config, None)
        self._order = HostOrder(hosts)
        self._limit_s = host_limit_s(
            config, len(hosts), None if options.connect_timeout is None else float(options.connect_timeout)
        )
        self._closing: set[asyncio.Task[None]] = set()

    def wire(self) -> Exchange | None:
        """The handshake on a bare socket, where no name has to be looked up."""
        return HandshakeExchange(self._order, round(self._limit_s * 1e9)) if self._order.by_address() else None

    async def open(self) -> None:
        """Nothing to prepare: whether anyone answers is what is measured."""

    async def attempt(self, token: str) -> Answer:
        """One handshake."""
        try:
            host, connection = await first_usable(self._order, connect_tcp, self._limit_s, lambda _: None, socket.socket.close)
        except ConnectFailed as failed:
            return Answer(outcome=failed.outcome, certainty="fail", error=failed.text)
        except asyncio.CancelledError:
            return Answer(outcome="timeout", certainty="fail", error="deadline while connecting")
        now = time.monotonic_ns()
        self._order.served(host)
        task = asyncio.ensure_future(_close_politely(connection))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)
        return Answer(outcome="ok", certainty="ok", t_connected=now, node=host.node)

    async def read_back(self) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node="", detail="the tcp client keeps no ledger")

    async def dump(self, node: str, address: str) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node=node, detail="the tcp client keeps no ledger")

    async def close(self) -> None:
        """Close what is still lingering."""
        for task in self._closing:
            task.cancel()
        await asyncio.gather(*self._closing, return_exceptions=True)


async def _close_politely(connection: socket.socket) -> None:
    """FIN, and read what the server says until its own FIN (a close with unread data would send a reset); 50 ms at most."""
    try:
        with contextlib.suppress(OSError, TimeoutError):  # the server's way of ending it is its own affair: the handshake counted
            connection.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(_LINGER_S):
                while await asyncio.get_running_loop().sock_recv(connection, 4096):
                    pass
    finally:
        connection.close()
