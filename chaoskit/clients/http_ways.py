"""The ways in which HTTP requests go out: aiohttp for fresh connections, `requests` in threads for pooled ones."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Protocol

import aiohttp
import requests
import requests.adapters
from pydantic import ConfigDict

from chaoskit.clients.failures import ConnectFailed, describe, outcome_of, outcome_of_text
from chaoskit.clients.hosts import Host
from chaoskit.model.history import Outcome
from chaoskit.model.record import Record

BODY_KEPT_BYTES = 65536


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


@dataclass(frozen=True, slots=True)
class Target:
    """Where a client's requests go, and how long they may take."""

    endpoint: HttpEndpointOptions
    path: str
    connect_limit_s: float
    deadline_s: float

    def url(self, host: Host) -> str:
        address = f"[{host.address}]" if ":" in host.address else host.address
        return f"{'https' if self.endpoint.tls else 'http'}://{address}:{host.port}{self.path}"

    def host_header(self, host: Host) -> str:
        """What a request without a library's help says."""
        address = f"[{host.address}]" if ":" in host.address else host.address
        return self.endpoint.host_header or (address if host.port == 80 else f"{address}:{host.port}")

    def headers(self) -> dict[str, str]:
        return {"Host": self.endpoint.host_header} if self.endpoint.host_header else {}


class RequestBroken(Exception):
    """The connection was there, and the answer did not come whole."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        self.outcome: Outcome = outcome
        super().__init__(text)


class FreshWay:
    """aiohttp with a connection for each request, and a cookie jar for each user; none where no number of users is given."""

    def __init__(self, target: Target, users: int | None) -> None:
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
                body = await response.content.read(BODY_KEPT_BYTES)
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

    def __init__(self, target: Target, threads: int, users: int) -> None:
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
        return response.status_code, response.headers, response.content[:BODY_KEPT_BYTES]
