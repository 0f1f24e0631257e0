"""The etcd client type, over the JSON gateway that every member serves beside gRPC."""

from __future__ import annotations

import base64
import ssl
import time
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar, Literal

import aiohttp
from pydantic import ConfigDict, Field

from chaoskit.clients import newest
from chaoskit.clients.failures import ConnectFailed, describe, most_telling, outcome_of
from chaoskit.clients.hosts import Host, HostOrder, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.overseen import Overseer, Use
from chaoskit.model.errors import InputError, LabUnavailable, Problem
from chaoskit.model.history import Certainty, Outcome
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Tokens

DEFAULT_PORT = 2379
_PATIENT_S = 3.0
_PAGE = 10_000
_DIGITS = 12
"""Numbers as long as each other compare as text."""
_HAS_LEADER = {"Grpc-Metadata-hasleader": "true"}
"""As clientv3's WithRequireLeader: a member that knows no leader says so at once instead of waiting for one."""

# etcd's own words: server/etcdserver/api/v3rpc/rpctypes. What is not listed was refused before it became a proposal.
_WORDS: tuple[tuple[str, Outcome, Certainty], ...] = (
    ("no leader", "wrong_role", "fail"),
    ("not leader", "wrong_role", "fail"),
    ("learner", "wrong_role", "fail"),
    ("request timed out", "timeout", "info"),  # proposed, and not seen applied in time
    ("leader changed", "app_error", "info"),
    ("server stopped", "reset", "info"),
    ("unhealthy cluster", "app_error", "info"),
)
_UNKNOWN_CODES = (1, 2, 4, 13, 14, 15)
"""gRPC: cancelled, unknown, deadline exceeded, internal, unavailable, data loss. The others refuse."""
_DEADLINE_EXCEEDED = 4


class EtcdOptions(Record):
    """Keys of an `etcd` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    connect_timeout: Duration | None = None
    """How long one host may take to accept a connection. Left out: a third of the deadline, all of it where there is one host."""
    consistency: Literal["linearizable", "serializable"] = "linearizable"
    """`read` and `newest`: agreed with the leader, or what the member that is asked has itself, however old."""
    key: str = Field(default="chaoskit", min_length=1)
    """The key that `read` gets."""
    ledger: str = ""
    """`newest`: the client whose ledger is read."""
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections of the `pooled` class."""


class EtcdEndpointOptions(Record):
    """Keys of an endpoint of kind `etcd` in the lab."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    tls: bool = False
    """HTTPS."""
    verify: bool = True
    """Verify the servers' certificates."""
    ca: str | None = None
    """The file of the authority that signed them; this machine's authorities where it is left out."""
    certificate: str | None = None
    """The file of the client's own certificate."""
    key: str | None = None
    """The file of its key."""


class EtcdClient:
    """etcd 3 over its JSON gateway.

    `fresh`: a new connection for each attempt; hosts one after the other. The one that served last comes first, one that let an
    attempt down comes last, as etcd's own balancer moves on.
    `pooled`: aiohttp with kept connections, in the same order. `direct`: fresh connections to one member.
    A request is sent once. Where a member knows no leader the next one is asked, since nothing was proposed.
    """

    TYPE: ClassVar[str] = "etcd"
    OPERATIONS: ClassVar[dict[str, str]] = {
        "append": "put a key of its own for each token, and its number where it is the highest; etcd counts the versions of a "
        "key, so that a second put is seen",
        "newest": newest.ABOUT,
        "read": "get one key, linearizable or serializable",
    }
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "pooled", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset({"append"})
    Options: ClassVar[type[Record]] = EtcdOptions
    EndpointOptions: ClassVar[type[Record]] = EtcdEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys."""
        self._options = validated(EtcdOptions, config.options, f"clients.{config.client}")
        endpoint = validated(EtcdEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        self._config = config
        self._hosts = hosts_of(config, DEFAULT_PORT)
        self._order = HostOrder(self._hosts)
        asked = self._options.connect_timeout
        limit_s = host_limit_s(config, len(self._hosts), None if asked is None else float(asked))
        pool_size = self._options.pool_size if config.client_class == "pooled" else None
        self._gateway = Gateway(endpoint, _ssl_context(endpoint, config.target), limit_s, pool_size)
        self._patient = Gateway(endpoint, _ssl_context(endpoint, config.target), _PATIENT_S, None)
        self._overseer = Overseer()
        self._folder = f"chaoskit/{config.client}/"
        writer = config.client if config.operation == "append" else self._options.ledger
        self._newest = _encoded(f"chaoskit-newest/{newest.ledger_prefix(config, writer)}")
        """The key that holds the highest number of a ledger."""

    async def open(self) -> None:
        """LabUnavailable where no member can be asked for the leader's answer."""
        await self._gateway.open()
        await self._patient.open()
        found = await self._read_ledger(HostOrder(self._hosts), serializable=False)
        if not found.ok:
            raise LabUnavailable("no member of etcd answers for the leader", found.detail)
        if self._config.operation == "append":
            await self._begin_count()

    async def attempt(self, token: str) -> Answer:
        """One put, or one get."""
        use = Use()
        return await self._overseer.attempt(self._attempt(token, use), use)

    async def read_back(self) -> Tokens:
        """The ledger as the leader has it: a linearizable read."""
        return await self._read_ledger(HostOrder(self._hosts), serializable=False)

    async def dump(self, node: str, address: str) -> Tokens:
        """The ledger as that member itself has it: a serializable read."""
        found = await self._read_ledger(HostOrder([Host(node, address, self._hosts[0].port)]), serializable=True)
        return found.model_copy(update={"node": node})

    async def close(self) -> None:
        """Close what is open."""
        await self._overseer.close()
        await self._gateway.close()
        await self._patient.close()

    async def _begin_count(self) -> None:
        """LabUnavailable where the key of the highest number can be made by no member."""
        begin = {"compare": [{"key": self._newest, "target": "CREATE", "result": "EQUAL", "create_revision": "0"}],
                 "success": [{"request_put": {"key": self._newest, "value": ""}}]}  # fmt: skip
        detail = "no host"
        for host in HostOrder(self._hosts):
            try:
                reply = await self._patient.ask(host, "kv/txn", begin, Use())
            except (ConnectFailed, AnswerLost) as error:
                detail = describe(error)
                continue
            if reply.error is None:
                return
            detail = reply.error.text
        raise LabUnavailable("no member of etcd can be written to", detail)

    def _request(self, token: str) -> tuple[str, dict[str, Any]]:
        """(method, body) of one attempt."""
        if self._config.operation == "append":
            put = {"request_put": {"key": _encoded(self._folder + token), "value": _encoded(token)}}
            number = _encoded(token.rpartition(".")[2].zfill(_DIGITS))
            highest = {"request_put": {"key": self._newest, "value": number}}
            compare = {"key": self._newest, "target": "VALUE", "result": "LESS", "value": number}
            return "kv/txn", {"compare": [compare], "success": [put, highest], "failure": [put]}
        key = self._newest if self._config.operation == "newest" else _encoded(self._options.key)
        return "kv/range", {"key": key, "serializable": self._options.consistency == "serializable"}

    async def _attempt(self, token: str, use: Use) -> Answer:
        method, request = self._request(token)
        failures: list[tuple[str, ConnectFailed]] = []
        for host in self._order:
            use.node = host.node
            answer: Answer | None = None
            try:
                reply = await self._gateway.ask(host, method, request, use)
                answer = _acknowledged(reply, use, self._config.operation) if reply.error is None else _refused(reply.error, use)
            except ConnectFailed as failed:
                failures.append((host.node, failed))
                continue
            except AnswerLost as lost:
                answer = use.broken(lost.outcome, str(lost))
            finally:
                if answer is None or answer.outcome != "ok":
                    self._order.let_down(host)
            if answer.outcome == "wrong_role" and answer.certainty == "fail":
                failures.append((host.node, ConnectFailed("wrong_role", answer.error)))
                use.sent = False  # nothing of it is left anywhere
                continue
            if answer.outcome == "ok":
                self._order.served(host)
            return answer
        telling = most_telling(failures)
        use.node = ""
        return use.answer(telling.outcome, "fail", telling.text)

    async def _read_ledger(self, order: HostOrder, *, serializable: bool) -> Tokens:
        detail = "no host"
        for host in order:
            try:
                copies = await self._copies(host, serializable)
            except (ConnectFailed, AnswerLost) as error:
                detail = f"{host.node}: {describe(error)}"
                continue
            return Tokens(ok=True, node=host.node, copies=copies)
        return Tokens(ok=False, node="", detail=detail)

    async def _copies(self, host: Host, serializable: bool) -> dict[str, int]:
        """Token -> how often it was put. All pages are read at the first one's revision."""
        first = f"{self._folder}{self._config.run_id}.{self._config.client}.{self._config.trial}."
        end = first[:-1] + chr(ord(first[-1]) + 1)
        request: dict[str, Any] = {"range_end": _encoded(end), "limit": _PAGE, "keys_only": True, "serializable": serializable}
        copies: dict[str, int] = {}
        key = _encoded(first)
        while True:
            reply = await self._patient.ask(host, "kv/range", {**request, "key": key}, Use())
            if reply.error is not None:
                raise AnswerLost("app_error", reply.error.text)
            found = reply.body.get("kvs", [])
            copies |= {_decoded(kv["key"]).removeprefix(self._folder): int(kv.get("version", 1)) for kv in found}
            if not reply.body.get("more"):
                return copies
            request.setdefault("revision", reply.body["header"]["revision"])
            key = _encoded(_decoded(found[-1]["key"]) + "\0")


class AnswerLost(Exception):
    """The request left, and no whole answer came."""

    def __init__(self, outcome: Outcome, text: str) -> None:
        self.outcome: Outcome = outcome
        super().__init__(text)


@dataclass(frozen=True, slots=True)
class Refusal:
    code: int
    """gRPC's."""
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    body: dict[str, Any]
    error: Refusal | None


class Gateway:
    """POST to /v3 of a member, once."""

    def __init__(
        self, endpoint: EtcdEndpointOptions, context: ssl.SSLContext | bool, connect_limit_s: float, pool_size: int | None
    ) -> None:
        self._scheme = "https" if endpoint.tls else "http"
        self._context = context
        self._limit_s = connect_limit_s
        self._pool_size = pool_size
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        if self._session is not None:
            return
        trace = aiohttp.TraceConfig()
        trace.on_connection_create_end.append(_note_connected)
        trace.on_request_headers_sent.append(_note_sent)
        connector = aiohttp.TCPConnector(
            force_close=self._pool_size is None, limit=self._pool_size or 0, use_dns_cache=False, ssl=self._context
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._limit_s)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trace_configs=[trace])

    async def ask(self, host: Host, method: str, request: dict[str, Any], use: Use) -> Reply:
        """ConnectFailed, AnswerLost."""
        if self._session is None:
            await self.open()
        if self._session is None:
            raise RuntimeError("asked after it was closed")
        address = f"[{host.address}]" if ":" in host.address else host.address
        url = f"{self._scheme}://{address}:{host.port}/v3/{method}"
        headers = {} if request.get("serializable") else _HAS_LEADER  # who asks for a member's own content needs no leader
        try:
            async with self._session.post(url, json=request, headers=headers, trace_request_ctx=use) as response:
                use.t_first_byte = time.monotonic_ns()
                body = await response.json(content_type=None)
        except aiohttp.ClientConnectorDNSError as error:
            raise ConnectFailed("dns", describe(error)) from error
        except (aiohttp.ClientConnectorSSLError, aiohttp.ClientConnectorCertificateError) as error:
            raise ConnectFailed("tls", describe(error)) from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            ended = isinstance(error, (aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError))
            outcome: Outcome = "reset" if ended else outcome_of(error)
            if isinstance(error, aiohttp.ClientResponseError):
                outcome = "wrong_data"
            if not use.sent:
                raise ConnectFailed(outcome, describe(error)) from error
            raise AnswerLost(outcome, describe(error)) from error
        except ValueError as error:
            raise AnswerLost("wrong_data", f"no JSON came: {describe(error)}") from error
        if not isinstance(body, dict):
            raise AnswerLost("wrong_data", f"an object was expected, {type(body).__name__} came")
        refusal = None
        if response.status != 200 or "error" in body:
            code = body.get("code", body.get("grpc_code", 2))
            refusal = Refusal(
                code if isinstance(code, int) else 2, str(body.get("message") or body.get("error") or response.status)
            )
        return Reply(body, refusal)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None


def _acknowledged(reply: Reply, use: Use, operation: str) -> Answer:
    header = reply.body.get("header")
    if not isinstance(header, dict) or "revision" not in header:
        return use.answer("wrong_data", "info", f"no answer of etcd: {str(reply.body)[:200]}")
    found = reply.body.get("kvs") or [{}]
    value = _decoded(found[0].get("value", ""))[:200] if "kvs" in reply.body else ""
    if operation == "newest":
        value = str(int(value)) if value.isdecimal() else newest.NOTHING
    return use.answer("ok", "ok", term=str(header.get("raft_term", "")), value=value or str(header["revision"]))


def _refused(refusal: Refusal, use: Use) -> Answer:
    for words, outcome, certainty in _WORDS:
        if words in refusal.text:
            return use.answer(outcome, certainty, refusal.text)
    if refusal.code == _DEADLINE_EXCEEDED:
        return use.answer("timeout", "info", refusal.text)
    return use.answer("app_error", "info" if refusal.code in _UNKNOWN_CODES else "fail", refusal.text)


async def _note_connected(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx.t_connected = time.monotonic_ns()


async def _note_sent(session: aiohttp.ClientSession, context: SimpleNamespace, params: Any) -> None:
    context.trace_request_ctx.begin()  # called before the headers are written


def _ssl_context(endpoint: EtcdEndpointOptions, target: str) -> ssl.SSLContext | bool:
    if not endpoint.tls or not (endpoint.ca or endpoint.certificate):
        return endpoint.verify
    try:
        context = ssl.create_default_context(cafile=endpoint.ca)
        if endpoint.certificate:
            context.load_cert_chain(endpoint.certificate, endpoint.key)
    except OSError as error:
        raise InputError([Problem(path=f"endpoints.{target}", message=f"the certificates cannot be read: {error}")]) from error
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode(errors="replace")
