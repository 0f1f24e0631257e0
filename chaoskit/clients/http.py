"""The HTTP client type."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from chaoskit.clients.failures import ConnectFailed, most_telling
from chaoskit.clients.hosts import HostOrder, host_limit_s, hosts_of
from chaoskit.clients.http_ways import (
    BODY_KEPT_BYTES,
    HttpEndpointOptions,
    Progress,
    RequestBroken,
    Target,
    Way,
)
from chaoskit.clients.options import validated
from chaoskit.clients.wire.attempt import Exchange, WireAttempt
from chaoskit.clients.wire.http import HttpExchange, get_request, header
from chaoskit.model.history import Outcome
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Intended, Tokens, request_number

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
    driver: Literal["requests", "plain"] = "requests"
    """Of the `pooled` class. `requests`: the Python library in threads, as services have it. `plain`: keep-alive connections of
    the probe's own without threads, for rates beyond a library's. Not with TLS, `sessions`, a policy or host names."""
    pool_size: Annotated[int, Field(ge=1, le=500)] = 10
    """Threads, and connections to each host, of the `pooled` class. `plain`: so many connections are kept; attempts that find
    none free make one of their own, which costs more, so that thousands a second want as many as are under way at once."""
    sessions: Annotated[int, Field(ge=1, le=1000)] | None = None
    """So many users take turns, each with a cookie jar of its own. Left out: `fresh` keeps no cookie, `pooled` one jar."""
    sticky: bool = False
    """An answer by another node than the one that served this user last is `wrong_data`: what the session held there is gone.
    Needs `sessions`, and `node_header` where something stands between client and node."""

    @model_validator(mode="after")
    def _whose_session(self) -> HttpOptions:
        if self.driver == "plain" and self.sessions is not None:
            raise ValueError("driver: plain keeps no cookies; leave out sessions, or the driver")
        if self.sticky and self.sessions is None:
            raise ValueError("sticky: true compares a user's answers; say how many users there are, as in sessions: 10")
        return self


class HttpClient:
    """HTTP GET.

    `fresh`: a new connection for each request, with the instants of connection and first byte.
    `pooled`: `requests` sessions with keep-alive in threads, without retries, as most Python services use them; with
    `driver: plain` connections that are kept, without a library.
    Over plain HTTP, without cookies and by address, attempts go over bare sockets; the instants are the same.
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
        self._target = Target(
            endpoint,
            self._options.path,
            host_limit_s(config, len(hosts), None if asked is None else float(asked)),
            config.deadline_ns / 1e9,
        )
        self._deadline_ns = config.deadline_ns
        self._pooled = config.client_class == "pooled"
        self._way: Way | None = None
        self._users = self._options.sessions or 1
        self._made = self._way_of()
        self._served_by: dict[int, str] = {}
        """User -> the node of the last good answer."""

    def wire(self) -> Exchange | None:
        """GET on bare sockets: without TLS and cookies, and never for the pool of `requests`, which is what it measures."""
        options, target = self._options, self._target
        if target.endpoint.tls or options.sessions is not None or not self._order.by_address():
            return None
        if self._pooled != (options.driver == "plain"):
            return None
        first = next(iter(self._order))
        request = get_request(target.host_header(first), options.path, keep=self._pooled)
        limit_ns = round(target.connect_limit_s * 1e9)
        return HttpExchange(self._order, request, limit_ns, options.pool_size if self._pooled else 0, self._judged_on_wire)

    def _judged_on_wire(self, attempt: WireAttempt, status: int, head: bytes, body: bytes) -> None:
        options = self._options
        name = options.node_header
        if name:
            attempt.answered_by = header(head, name)
        elif attempt.host is not None:
            attempt.answered_by = attempt.host.node
        attempt.value = str(status)
        if status != options.expect_status:
            attempt.tell("app_error", "fail", f"status {status}, expected {options.expect_status}")
        elif self._expected is not None and not self._expected.search(body[:BODY_KEPT_BYTES]):
            attempt.tell("wrong_data", "fail", f"the body does not match {options.expect_body!r}")
            attempt.value = body[:_VALUE_KEPT].decode(errors="replace")

    @classmethod
    def objections(cls, intended: Intended) -> Iterable[str]:
        """`plain` is a way to keep connections, and there is none through TLS."""
        if intended.options.get("driver") == "plain":
            if intended.client_class != "pooled":
                yield "driver: plain keeps connections; it belongs to class: pooled"
            if intended.endpoint.get("tls"):
                yield "driver: plain speaks no TLS; leave it out for this endpoint"

    async def open(self) -> None:
        """Make the session: whether anyone answers is what is measured."""
        self._way = self._made()

    def _way_of(self) -> Callable[[], Way]:
        """Reads the library of the way before anything is timed; who only checks an experiment makes no client."""
        if self._pooled:
            from chaoskit.clients.http_sessions import SessionsWay

            return lambda: SessionsWay(self._target, self._options.pool_size, self._users)
        from chaoskit.clients.http_fresh import FreshWay

        return lambda: FreshWay(self._target, self._options.sessions)

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
