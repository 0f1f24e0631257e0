"""HTTP requests over kept connections, as most services send them: `requests` in threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import requests
import requests.adapters

from chaoskit.clients.failures import ConnectFailed, describe, outcome_of_text
from chaoskit.clients.hosts import Host
from chaoskit.clients.http_ways import BODY_KEPT_BYTES, Progress, RequestBroken, Target


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
