"""The ICMP client type: does the host's kernel answer?"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import struct
import time
from typing import Annotated, ClassVar

from pydantic import ConfigDict, Field

from chaoskit.clients.connecting import first_usable, resolved
from chaoskit.clients.failures import ConnectFailed, describe, outcome_of
from chaoskit.clients.hosts import Host, HostOrder, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Tokens

_ECHO = {socket.AF_INET: (8, 0), socket.AF_INET6: (128, 129)}
"""Address family -> (type of a request, type of a reply)."""
_PROTOCOL = {socket.AF_INET: socket.IPPROTO_ICMP, socket.AF_INET6: socket.IPPROTO_ICMPV6}
_UNREACHABLE = {socket.AF_INET: 3, socket.AF_INET6: 1}
_HEADER = struct.Struct(">BBHHH")
_SOL_RAW, _ICMP_FILTER = 255, 1


class IcmpOptions(Record):
    """Keys of an `icmp` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    size_bytes: Annotated[int, Field(ge=16, le=65000)] = 56
    """What the packet carries; more than an MTU shows whether fragments arrive."""
    host_timeout: Duration | None = None
    """How long one host may take before the next is asked. Left out: a third of the deadline, all of it where there is one."""


class IcmpEndpointOptions(Record):
    """Keys of an endpoint of kind `icmp` in the lab: none."""


class IcmpClient:
    """ICMP echo, as ping sends it, over a socket of its own for each attempt. A frozen node still answers: its kernel does."""

    TYPE: ClassVar[str] = "icmp"
    OPERATIONS: ClassVar[dict[str, str]] = {"echo": "send an echo request and wait for its reply"}
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset()
    Options: ClassVar[type[Record]] = IcmpOptions
    EndpointOptions: ClassVar[type[Record]] = IcmpEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys."""
        options = validated(IcmpOptions, config.options, f"clients.{config.client}")
        validated(IcmpEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        hosts = hosts_of(config, 0)
        asked = options.host_timeout
        self._hosts = hosts
        self._order = HostOrder(hosts)
        self._limit_s = host_limit_s(config, len(hosts), None if asked is None else float(asked))
        self._size_bytes = options.size_bytes
        self._numbers = itertools.count()

    async def open(self) -> None:
        """LabUnavailable where no socket for ICMP may be made."""
        try:
            _socket(socket.AF_INET6 if ":" in self._hosts[0].address else socket.AF_INET).close()
        except PermissionError as error:
            why = "net.ipv4.ping_group_range leaves this user out, and CAP_NET_RAW is missing"
            raise LabUnavailable("ICMP may not be sent here", why) from error

    async def attempt(self, token: str) -> Answer:
        """One echo."""
        try:
            host, _ = await first_usable(self._order, self._echo, self._limit_s, lambda _: None, lambda _: None)
        except ConnectFailed as failed:
            return Answer(outcome=failed.outcome, certainty="fail", error=failed.text)
        except asyncio.CancelledError:
            return Answer(outcome="timeout", certainty="fail", error="deadline while waiting for the reply")
        self._order.served(host)
        return Answer(outcome="ok", certainty="ok", t_first_byte=time.monotonic_ns(), node=host.node)

    async def read_back(self) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node="", detail="the icmp client keeps no ledger")

    async def dump(self, node: str, address: str) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node=node, detail="the icmp client keeps no ledger")

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _echo(self, host: Host) -> None:
        address = await resolved(host)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        number = next(self._numbers) & 0xFFFF
        # Told by its content: a raw socket hears every reply to this network, and a ping socket's identifier is the kernel's.
        payload = os.urandom(16).ljust(self._size_bytes, b"c")
        loop = asyncio.get_running_loop()
        try:
            with _socket(family) as line:
                line.connect((address, 0))
                request = _packet(_ECHO[family][0], os.getpid() & 0xFFFF, number, payload)
                await loop.sock_sendall(line, request)
                while True:
                    said = await loop.sock_recv(line, 65536)
                    kind, code, content = _heard(said, family, raw=line.type == socket.SOCK_RAW)
                    if kind == _ECHO[family][1] and content == payload:
                        return
                    if kind == _UNREACHABLE[family] and payload[:8] in content:
                        raise ConnectFailed("unreachable", f"destination unreachable, code {code}")
        except OSError as error:
            raise ConnectFailed(outcome_of(error), describe(error)) from error


def _socket(family: socket.AddressFamily) -> socket.socket:
    """A ping socket where this user may have one, else a raw one. PermissionError where neither."""
    try:
        made = socket.socket(family, socket.SOCK_DGRAM, _PROTOCOL[family])
    except PermissionError:
        made = socket.socket(family, socket.SOCK_RAW, _PROTOCOL[family])
        if family == socket.AF_INET:  # every other kind would only wake us
            heard = 1 << _ECHO[family][1] | 1 << _UNREACHABLE[family]
            made.setsockopt(_SOL_RAW, _ICMP_FILTER, struct.pack("I", ~heard & 0xFFFFFFFF))
    made.setblocking(False)
    return made


def _packet(kind: int, identifier: int, number: int, payload: bytes) -> bytes:
    bare = _HEADER.pack(kind, 0, 0, identifier, number) + payload
    return _HEADER.pack(kind, 0, _checksum(bare), identifier, number) + payload


def _checksum(data: bytes) -> int:
    """RFC 1071. For ICMPv6 the kernel computes it again, with the addresses."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def _heard(said: bytes, family: socket.AddressFamily, *, raw: bool) -> tuple[int, int, bytes]:
    """(type, code, what follows the header)."""
    begin = (said[0] & 0x0F) * 4 if raw and family == socket.AF_INET and said else 0  # a raw IPv4 socket tells the IP header too
    if len(said) < begin + _HEADER.size:
        return -1, 0, b""
    kind, code, *_ = _HEADER.unpack_from(said, begin)
    return kind, code, said[begin + _HEADER.size :]
