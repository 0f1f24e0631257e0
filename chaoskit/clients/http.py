"""The HTTP client type."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Protocol

import aiohttp
import requests
import requests.adapters
from pydantic import AfterValidator, ConfigDict, Field, model_validator

from chaoskit.clients.failures import ConnectFailed, describe, most_telling, outcome_of, outcome_of_text
from chaoskit.clients.hosts import Host, HostOrder, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.model.history import Outcome
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Tokens, request_number

_BODY_KEPT_BYTES = 65536
_VALUE_KEPT = 200


def _regular_expression(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    return text


class HttpOptions(Record):
    """Keys of an `http` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    path: Annotated[str, Field(pattern="^/")] = "/"
    """What to GET, with its query."""
    expect_status: Annotated[int, Field(ge=100, le=599)] = 200
    """Any other status is `app_error`. Redirects are not followed."""
    expect_body: Annotated[str, AfterValidator(_regular_expression)] | None = None
    """A regular expression that must be found in the first 64 KiB of the body; else `wrong_data`."""
    node_header: str | None = None
    """The response header that names the node that answered; left out, it is the host that was asked."""
    connect_timeout: Duration | None = None
    """How long one host may take to accept a connection. Left out: a third of the deadline, all of it where there is one host."""
    pool_size: Annotated[int, Field(ge=1, le=500)] = 10
    """Threads, and connections to each host, of the `pooled` class."""
    sessions: Annotated[int, Field(ge=1, le=1000)] | None = None
    """So many users take turns, each with a cookie jar of its own. Left out: `fresh` keeps no cookie, `pooled` one jar."""
    sticky: bool = False
    """An answer by another node than the one that served this user last is `wrong_data`: what the session held there is gone.
    Needs `sessions`, and `node_header` where something stands between client and node."""

    @model_validator(mode="after")
    def _whose_session(self) -> HttpOptions:
        if self.sticky and self.sessions is None:
            raise ValueError("sticky: true compares a user's answers; say how many users there are, as in sessions: 10")
        return self


class HttpEndpointOptions(Record):
    """Keys of an endpoint of kind `http` in the lab."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    tls: bool = False
    """HTTPS."""
    verify: bool = True
    """Verify the server's certificate."""
    host_header: str | None = None
    """The Host header to send; the address where it is left out."""


@dataclass(slots=True)
class Progress:
    """How far one request came. Instants CLOCK_MONOTONIC ns."""

    t_connected: int | None = None
    t_first_byte: int | None = None
    sent: bool = False
    """A byte of the request may have left."""
    answered: bool = False
    """The caller was told what became of it: when that was `fail`, nothing may be sent any more."""
    send_until_ns: int | None = None
    """From then on nothing may be sent, whether or not the caller was told already: its event loop may be late."""
    node: str = ""
    user: int = 0
    """Whose cookies went with it."""


class Way(Protocol):
    """How a class of client sends one request, with the cookies of one user."""

    async def get(self, host: Host, progress: Progress, user: int) -> tuple[int, Mapping[str, str], bytes]: ...

    async def close(self) -> None: ...


class HttpClient:
    """HTTP GET.

    `fresh`: a new connection for each request, with the instants of connection and first byte.
    `pooled`: `requests` sessions with keep-alive in threads, without retries, as most Python services use them.
    `direct`: fresh connections to one node.
    Several hosts are tried in order, the one that served last first; only a failed connection leads on to the next.
    With `sessions`, users with a cookie jar each take turns, as browsers behind a load balancer with sticky sessions would.
    """

    TYPE: ClassVar[str] = "http"
    OPERATIONS: ClassVar[dict[str, str]] = {"get": "GET a path and check status and body"}
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "pooled", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset()
    LATE_CLASSES: ClassVar[frozenset[str]] = frozenset({"fresh", "direct"})
    Options: ClassVar[type[Record]] = HttpOptions
    EndpointOptions: ClassVar[type[Record]] = HttpEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys."""
        self._options = validated(HttpOptions, config.options, f"clients.{config.client}")
        endpoint = validated(HttpEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        self._expected = re.compile(self._options.expect_body.encode()) if self._options.expect_body else None
        hosts = hosts_of(config, 443 if endpoint.tls else 80)
        self._order = HostOrder(hosts)
        asked = self._options.connect_timeout
        self._target = _Target(
            endpoint,
            self._options.path,
            host_limit_s(config, len(hosts), None if asked is None else float(asked)),
            config.deadline_ns / 1e9,
        )
        self._deadline_ns = config.deadline_ns
        self._pooled = config.client_class == "pooled"
        self._way: Way | None = None
        self._users = self._options.sessions or 1
        self._served_by: dict[int, str] = {}
        """User -> the node of the last good answer."""

    async def open(self) -> None:
        """Make the session: whether anyone answers is what is measured."""
        if self._pooled:
            self._way = SessionsWay(self._target, self._options.pool_size, self._users)
        else:
            self._way = FreshWay(self._target, self._options.sessions)

    async def attempt(self, token: str) -> Answer:
        """One GET."""
        # users take turns by request: whoever tries again is the same user
        user = request_number(token) % self._users
        progress = Progress(user=user, send_until_ns=time.monotonic_ns() + self._deadline_ns)
        try:
            return await self._first_answer(progress)
        except ConnectFailed as failed:
            return Answer(outcome=failed.outcome, certainty="fail", error=failed.text)
        except asyncio.CancelledError:
            progress.answered = True
            return self._lost(progress, "timeout", "deadline")

    async def read_back(self) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node="", detail="the http client keeps no ledger")

    async def dump(self, node: str, address: str) -> Tokens:
        """There is no ledger."""
        return Tokens(ok=False, node=node, detail="the http client keeps no ledger")

    async def close(self) -> None:
        """Close the connections that are kept."""
        if self._way is not None:
            await self._way.close()

    async def _first_answer(self, progress: Progress) -> Answer:
        if self._way is None:
            raise RuntimeError("attempt before open")
        failures: list[tuple[str, ConnectFailed]] = []
        for host in self._order:
            progress.node = host.node
            try:
                status, headers, body = await self._way.get(host, progress, progress.user)
            except ConnectFailed as failed:
                failures.append((host.node, failed))
                continue
            except RequestBroken as broken:
                return self._lost(progress, broken.outcome, str(broken))
            self._order.served(host)
            return self._judged(progress, status, headers, body)
        raise most_telling(failures)

    def _lost(self, progress: Progress, outcome: Outcome, words: str) -> Answer:
        return Answer(
            outcome=outcome,
            certainty="info" if progress.sent else "fail",
            t_connected=progress.t_connected,
            t_first_byte=progress.t_first_byte,
            node=progress.node if progress.sent else "",
            error=words,
        )

    def _judged(self, progress: Progress, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        outcome: Outcome = "ok"
        words = ""
        if status != self._options.expect_status:
            outcome, words = "app_error", f"status {status}, expected {self._options.expect_status}"
        elif self._expected is not None and not self._expected.search(body):
            outcome, words = "wrong_data", f"the body does not match {self._options.expect_body!r}"
        name = self._options.node_header
        node = headers.get(name, "") if name else progress.node
        if outcome == "ok" and self._options.sticky:
            before = self._served_by.get(progress.user, node)
            self._served_by[progress.user] = node
            if node != before:
                outcome, words = "wrong_data", f"the session moved from {before or 'no node'} to {node or 'no node'}"
        return Answer(
            outcome=outcome,
            certainty="ok" if outcome == "ok" else "fail",
            t_connected=progress.t_connected,
            t_first_byte=progress.t_first_byte,
            node=node,
            value=body[:_VALUE_KEPT].decode(errors="replace") if outcome == "wrong_data" else str(status),
            error=words,
        )


@dataclass(frozen=True, slots=True)
class _Target:
    endpoint: HttpEndpointOptions
    path: str
    connect_limit_s: float
    deadline_s: float

    def url(self, host: Host) -> str:
        address = f"[{host.address}]" if ":" in host.address else host.address
        return f"{'https' if self.endpoint.tls else 'http'}://{address}:{host.port}{self.path}"

    def headers(self) -> dict[str, str]:
        return {"Host": self.endpoint.host_header} if self.endpoint.host_header else {}


class RequestBroken(Exception):
    """The connection was there, and the answer did not come whole."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        self.outcome: Outcome = outcome
        super().__init__(text)


class FreshWay:
    """aiohttp with a connection for each request, and a cookie jar for each user; none where no number of users is given."""

    def __init__(self, target: _Target, users: int | None) -> None:
        self._target = target
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_note_connected)
        trace.on_request_headers_sent.append(_note_sent)
        self._connector = aiohttp.TCPConnector(force_close=True, limit=0, use_dns_cache=False, ssl=target.endpoint.verify)
        self._sessions = [
            aiohttp.ClientSession(
                connector=self._connector,
                connector_owner=False,
                # `unsafe`: cookies of a host that is known by its address alone are kept as well
                cookie_jar=aiohttp.DummyCookieJar() if users is None else aiohttp.CookieJar(unsafe=True),
                timeout=aiohttp.ClientTimeout(total=None, connect=target.connect_limit_s),
                trace_configs=[trace],
                auto_decompress=False,
            )
            for _ in range(users or 1)
        ]

    async def get(self, host: Host, progress: Progress, user: int) -> tuple[int, Mapping[str, str], bytes]:
        """ConnectFailed, RequestBroken."""
        request = self._sessions[user].get(
            self._target.url(host), headers=self._target.headers(), allow_redirects=False, trace_request_ctx=progress
        )
        try:
            async with request as response:
                progress.t_first_byte = time.monotonic_ns()
                body = await response.content.read(_BODY_KEPT_BYTES)
                await response.read()
                return response.status, response.headers, body
        except aiohttp.ClientConnectorDNSError as error:
            raise ConnectFailed("dns", describe(error)) from error
        except (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError) as error:
            raise ConnectFailed("tls", describe(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            outcome: Outcome = "reset" if isinstance(error, aiohttp.ServerDisconnectedError) else outcome_of(error)
            if progress.t_connected is None:
                raise ConnectFailed(outcome, describe(error)) from error
            raise RequestBroken("reset" if isinstance(error, aiohttp.ClientPayloadError) else outcome, describe(error)) from error

    async def close(self) -> None:
        for session in self._sessions:
            await session.close()
        await self._connector.close()


async def _note_connected(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx.t_connected = time.monotonic_ns()


async def _note_sent(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx.sent = True


def _is_late(progress: Progress) -> bool:
    return progress.send_until_ns is not None and time.monotonic_ns() >= progress.send_until_ns


class SessionsWay:
    """`requests` in threads, a session for each user, one pool of connections for all of them.

    A thread that hangs holds its place until its own time-out, as in a real service.
    """

    def __init__(self, target: _Target, threads: int, users: int) -> None:
        self._target = target
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="requests")
        adapter = requests.adapters.HTTPAdapter(pool_connections=threads, pool_maxsize=threads, max_retries=0)
        self._sessions = [requests.Session() for _ in range(users)]
        for session in self._sessions:
            session.trust_env = False
            session.mount("http://", adapter)
            session.mount("https://", adapter)

    async def get(self, host: Host, progress: Progress, user: int) -> tuple[int, Mapping[str, str], bytes]:
        """ConnectFailed, RequestBroken."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._get, host, progress, user)

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for session in self._sessions:
            session.close()

    def _get(self, host: Host, progress: Progress, user: int) -> tuple[int, Mapping[str, str], bytes]:
        # In this order, and the reader in the other: either the caller sees `sent`, or this thread sees `answered`.
        progress.sent = True  # a kept connection may take the request at once
        if progress.answered or _is_late(progress):
            progress.sent = False
            raise RequestBroken("timeout", "the deadline came before a thread was free")
        limits = (self._target.connect_limit_s, self._target.deadline_s)
        try:
            response = self._sessions[user].get(
                self._target.url(host), headers=self._target.headers(), timeout=limits,
                allow_redirects=False, verify=self._target.endpoint.verify,
            )  # fmt: skip
        except requests.exceptions.ConnectTimeout as error:
            progress.sent = False
            raise ConnectFailed("timeout", describe(error)) from error
        except requests.exceptions.SSLError as error:
            progress.sent = False
            raise ConnectFailed("tls", describe(error)) from error
        except requests.exceptions.ReadTimeout as error:
            raise RequestBroken("timeout", describe(error)) from error
        except requests.exceptions.RequestException as error:
            words = describe(error)
            outcome = "dns" if "NameResolutionError" in words else outcome_of_text(words) or "reset"
            if "NewConnectionError" in words or "NameResolutionError" in words:
                progress.sent = False
                raise ConnectFailed(outcome, words) from error
            raise RequestBroken(outcome, words) from error
        return response.status_code, response.headers, response.content[:_BODY_KEPT_BYTES]
