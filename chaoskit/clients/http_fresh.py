"""HTTP requests with a connection each: aiohttp."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import aiohttp

from chaoskit.clients.failures import ConnectFailed, describe, outcome_of
from chaoskit.clients.hosts import Host
from chaoskit.clients.http_ways import BODY_KEPT_BYTES, Progress, RequestBroken, Target
from chaoskit.model.history import Outcome


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
