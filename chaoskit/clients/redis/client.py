"""The Redis client type: an append ledger, and reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, ConfigDict, Field

from chaoskit.clients import newest
from chaoskit.clients.hosts import Host, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.overseen import Overseer, Use
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Intended, Tokens

DEFAULT_PORT = 6379
_ONE_SERVER = "redis-py's pool knows one server: give the endpoint one host, an address, or sentinel"
READING = ("GET", "LLEN", "EXISTS", "STRLEN", "HGET", "HLEN", "SCARD", "ZCARD", "DBSIZE", "PING", "ROLE")


def _reads_only(text: str) -> str:
    word = text.split()[0].upper() if text.split() else ""
    if word not in READING:
        raise ValueError(f"read asks one of {', '.join(READING)}, as in: GET greeting")
    return text


class RedisOptions(Record):
    """Keys of a `redis` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    connect_timeout: Duration | None = None
    """How long one host may take until it has told its role. Left out: for `fresh` and `direct` a third of the deadline (all of
    it where there is one host), for `pooled` the driver's default."""
    socket_timeout: Duration | None = None
    """`pooled`: how long the driver waits for an answer before it gives the connection up. Left out: the driver's default."""
    command: Annotated[str, AfterValidator(_reads_only)] = "GET chaoskit"
    """What `read` asks: a command that only reads, with its arguments."""
    ledger: str = ""
    """`newest`: the client whose ledger is read."""
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections of the `pooled` class."""
    wait_replicas: Annotated[int, Field(ge=0, le=100)] = 0
    """`append` is acknowledged only when WAIT finds so many replicas that have it; else it is `app_error`, and unknown."""
    wait_timeout: Duration = Duration(0.1)
    """How long WAIT waits for them."""


class RedisEndpointOptions(Record):
    """Keys of an endpoint of kind `redis` in the lab."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    username: str = ""
    """The user of an access control list; the default user where it is empty."""
    password: str = ""
    """Its password."""
    database: Annotated[int, Field(ge=0)] = 0
    """The database's number."""
    role: Literal["master", "any"] = "master"
    """Who may serve: the master alone, or any of the hosts."""
    sentinel: str = ""
    """The name under which Sentinels know the master. They are asked for its address whenever a connection is made."""
    sentinel_hosts: tuple[str, ...] = ()
    """Addresses of the Sentinels; they run beside the servers where it is left out."""
    sentinel_port: Annotated[int, Field(ge=1, le=65535)] = 26379
    """The Sentinels' port."""
    tls: bool = False
    """TLS to the servers (not to the Sentinels)."""
    verify: bool = True
    """Verify the servers' certificates."""


class RedisClient:
    """Redis through redis-py, its own retries switched off.

    `fresh`: a new connection for each attempt: ask for the role, run the command, drop. Hosts one after the other, the one that
    served last first, never raced; with `sentinel`, the master that the first Sentinel names that answers.
    `pooled`: redis-py's pool of the one host, or its Sentinel pool, with their own way to reconnect.
    `direct`: fresh connections to one node, whatever its role.
    Redis Cluster's redirections count as `wrong_role`: they are not followed.
    """

    TYPE: ClassVar[str] = "redis"
    OPERATIONS: ClassVar[dict[str, str]] = {
        "append": "RPUSH a unique token to a list, and WAIT for replicas where that is asked for",
        "newest": newest.ABOUT,
        "read": "one command that only reads",
    }
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "pooled", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset({"append"})
    DRIVER: ClassVar[dict[str, str]] = {"redis": "redis"}
    Options: ClassVar[type[Record]] = RedisOptions
    EndpointOptions: ClassVar[type[Record]] = RedisEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys; ImportError where redis-py is not installed (`pip install 'chaoskit[redis]'`)."""
        # the driver is an extra: without it the options must still validate and the catalogue list this type
        from chaoskit.clients.redis.session import Access, Servers
        from chaoskit.clients.redis.ways import FreshWay, Ledger, PooledWay, SentinelWay, Way

        options = validated(RedisOptions, config.options, f"clients.{config.client}")
        endpoint = validated(RedisEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        hosts = hosts_of(config, DEFAULT_PORT)
        access = Access(endpoint.username, endpoint.password, endpoint.database, endpoint.tls, endpoint.verify)
        direct = config.client_class == "direct"
        sentinel = "" if direct else endpoint.sentinel
        sentinels = [Host(a, a, endpoint.sentinel_port) for a in endpoint.sentinel_hosts] or [
            Host(host.node, host.address, endpoint.sentinel_port) for host in hosts
        ]
        known = [Host(node, address, hosts[0].port) for node, address in (*config.hosts, *config.behind)]
        servers = Servers(access, known if sentinel else hosts, sentinels, sentinel)
        key = f"chaoskit:ledger:{config.client}"
        self._config = config
        self._options = options
        self._overseer = Overseer()
        self._key = key
        self._ledger = Ledger(access, servers, key, f"{config.run_id}.{config.client}.{config.trial}.", hosts[0].port)
        self._way: Way
        if config.client_class != "pooled":
            asked = options.connect_timeout
            limit_s = host_limit_s(config, len(sentinels if sentinel else hosts), None if asked is None else float(asked))
            self._way = FreshWay(servers, limit_s, "any" if direct else endpoint.role)
        elif sentinel:
            self._way = SentinelWay(access, servers, sentinels, sentinel, options.pool_size, _limits(options))
        elif len(hosts) == 1:
            self._way = PooledWay(access, servers, hosts[0], options.pool_size, _limits(options))
        else:
            raise InputError([Problem(path=f"clients.{config.client}.class", message=_ONE_SERVER, value="pooled")])

    @classmethod
    def objections(cls, intended: Intended) -> Iterator[str]:
        """The driver's pool connects to one server."""
        if intended.client_class == "pooled" and intended.hosts > 1 and not intended.endpoint.get("sentinel"):
            yield _ONE_SERVER

    async def open(self) -> None:
        """LabUnavailable where nobody can be asked."""
        await self._way.open()

    async def attempt(self, token: str) -> Answer:
        """One command, and its WAIT."""
        use = Use()
        return await self._overseer.attempt(self._way.attempt(self._commands(token), use, self._shown), use)

    async def read_back(self) -> Tokens:
        """The ledger as the master has it."""
        return await self._ledger.read()

    async def dump(self, node: str, address: str) -> Tokens:
        """The ledger as that node has it, whatever its role."""
        return await self._ledger.dump(node, address)

    async def close(self) -> None:
        """Close what is open."""
        await self._overseer.close()
        await self._way.close()

    def _shown(self, reply: Any) -> str:
        if self._config.operation != "newest":
            return "" if reply is None else str(reply)[:200]
        return newest.newest_number(map(str, reply or ()), newest.ledger_prefix(self._config, self._options.ledger))

    def _commands(self, token: str) -> tuple[tuple[str, ...], ...]:
        if self._config.operation == "read":
            return (tuple(self._options.command.split()),)
        if self._config.operation == "newest":
            return (("LRANGE", f"chaoskit:ledger:{self._options.ledger}", str(-newest.LATEST), "-1"),)
        append = ("RPUSH", self._key, token)
        if not self._options.wait_replicas:
            return (append,)
        wait_ms = max(1, round(float(self._options.wait_timeout) * 1000))
        return append, ("WAIT", str(self._options.wait_replicas), str(wait_ms))


def _limits(options: RedisOptions) -> dict[str, Any]:
    given = {"socket_connect_timeout": options.connect_timeout, "socket_timeout": options.socket_timeout}
    return {name: float(value) for name, value in given.items() if value is not None}
