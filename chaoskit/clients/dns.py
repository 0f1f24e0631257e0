"""The DNS client type."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from chaoskit.clients.connecting import connect_tcp, first_usable, resolved
from chaoskit.clients.failures import ConnectFailed, describe, outcome_of
from chaoskit.clients.hosts import Host, HostOrder, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.overseen import Use
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Tokens

DEFAULT_PORT = 53
_LARGEST = 65535


class DnsOptions(Record):
    """Keys of a `dns` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str = Field(min_length=1)
    """The name that is asked for."""
    record: Literal["A", "AAAA", "CNAME", "MX", "NS", "SOA", "SRV", "TXT"] = "A"
    """The kind of record."""
    expect: tuple[str, ...] = ()
    """Each record of the answer must be one of these, as in 192.0.2.7; else `wrong_data`. Left out: any will do."""
    transport: Literal["udp", "tcp"] = "udp"
    """How it is asked. Nothing is sent again: a resolver's own retries would hide a lost answer."""
    server_timeout: Duration | None = None
    """How long one server may take before the next is asked. Left out: a third of the deadline, all of it where there is one."""
    recursion: bool = True
    """Ask for recursion."""
    edns_bytes: Annotated[int, Field(ge=512, le=4096)] = 1232
    """The largest answer that UDP may bring."""


class DnsEndpointOptions(Record):
    """Keys of an endpoint of kind `dns` in the lab: none."""


class DnsClient:
    """One question to the name servers, each asked once: the one that answered last first, the next where one is silent.

    An answer with another code than NOERROR, or without a record of the kind, is `app_error`.
    """

    TYPE: ClassVar[str] = "dns"
    OPERATIONS: ClassVar[dict[str, str]] = {"query": "ask for records of a name and check code and content"}
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset()
    DRIVER: ClassVar[dict[str, str]] = {"dns": "dns"}
    Options: ClassVar[type[Record]] = DnsOptions
    EndpointOptions: ClassVar[type[Record]] = DnsEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys; ImportError where dnspython is not installed (`pip install 'chaoskit[dns]'`)."""
        from chaoskit.clients.dns_messages import Question

        self._options = validated(DnsOptions, config.options, f"clients.{config.client}")
        validated(DnsEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        hosts = hosts_of(config, DEFAULT_PORT)
        asked = self._options.server_timeout
        self._order = HostOrder(hosts)
        self._limit_s = host_limit_s(config, len(hosts), None if asked is None else float(asked))
        options = self._options
        self._question = Question(options.name, options.record, options.recursion, options.edns_bytes, f"clients.{config.client}")

    async def open(self) -> None:
        """Nothing to prepare: whether anyone answers is what is measured."""

    async def attempt(self, token: str) -> Answer:
        """One question."""
        use = Use()
        ask = self._ask_tcp if self._options.transport == "tcp" else self._ask_udp
        try:
            host, (number, said) = await first_usable(self._order, ask, self._limit_s, lambda _: None, lambda _: None)
        except ConnectFailed as failed:
            return use.answer(failed.outcome, "fail", failed.text)
        except asyncio.CancelledError:
            return use.answer("timeout", "fail", "deadline while waiting for the answer")
        use.node, use.t_first_byte = host.node, time.monotonic_ns()
        problem, records = self._question.judged(number, said)
        if records is None:
            return use.answer("wrong_data", "fail", problem)
        if problem:
            return use.answer("app_error", "fail", problem, value=", ".join(records)[:200])
        self._order.served(host)
        value = ", ".join(records)[:200]
        wrong = [record for record in records if self._options.expect and record not in self._options.expect]
        if wrong:
            return use.answer(
                "wrong_data", "fail", f"{', '.join(wrong)} came, expected {', '.join(self._options.expect)}", value=value
            )
        return use.answer("ok", "ok", value=value)

    async def read_back(self) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node="", detail="the dns client keeps no ledger")

    async def dump(self, node: str, address: str) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node=node, detail="the dns client keeps no ledger")

    async def close(self) -> None:
        """Nothing is kept open."""

    async def _ask_udp(self, host: Host) -> tuple[int, bytes]:
        """A connected socket: the kernel then reports that nobody listens."""
        address = await resolved(host)
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.setblocking(False)
            number, asked = self._question.message()
            try:
                await loop.sock_connect(line, (address, host.port))
                await loop.sock_sendall(line, asked)
                while True:
                    said = await loop.sock_recv(line, _LARGEST)
                    if said[:2] == asked[:2]:  # else an answer to nobody's question
                        return number, said
            except OSError as error:
                raise ConnectFailed(outcome_of(error), describe(error)) from error

    async def _ask_tcp(self, host: Host) -> tuple[int, bytes]:
        loop = asyncio.get_running_loop()
        with await connect_tcp(host) as line:
            number, asked = self._question.message()
            try:
                await loop.sock_sendall(line, struct.pack(">H", len(asked)) + asked)
                (length,) = struct.unpack(">H", await _exactly(line, 2))
                return number, await _exactly(line, length)
            except (OSError, EOFError) as error:
                raise ConnectFailed(outcome_of(error), describe(error)) from error


async def _exactly(line: socket.socket, count: int) -> bytes:
    said = b""
    while len(said) < count:
        part = await asyncio.get_running_loop().sock_recv(line, count - len(said))
        if not part:
            raise EOFError("closed in the middle of an answer")
        said += part
    return said
