"""The MySQL and MariaDB client type: an append ledger, and reads."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import ConfigDict, Field

from chaoskit.clients import newest
from chaoskit.clients.hosts import HostOrder, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.overseen import Overseer, Use
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Intended, Tokens

DEFAULT_PORT = 3306
_ONE_SERVER = "aiomysql's pool knows one server: give the endpoint one host, or an address"


class MysqlOptions(Record):
    """Keys of a `mysql` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    connect_timeout: Duration | None = None
    """How long one host may take until its session is ready. Left out: for `fresh` and `direct` a third of the deadline (all of
    it where there is one host); for `pooled` none, as in the driver."""
    query: str = "SELECT @@hostname"
    """What `read` asks: a SELECT of one column."""
    ledger: str = ""
    """`newest`: the client whose ledger is read."""
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections of the `pooled` class."""


class MysqlEndpointOptions(Record):
    """Keys of an endpoint of kind `mysql` in the lab."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    database: str = "test"
    """The database to connect to."""
    user: str = "root"
    """The user to connect as."""
    password: str = ""
    """Its password."""
    role: Literal["writable", "any"] = "writable"
    """Who may serve: a host that is not read-only (and, in Galera, in the primary component), or any of them."""
    tls: bool = False
    """TLS."""
    verify: bool = True
    """Verify the server's certificate."""


class MysqlClient:
    """MySQL, MariaDB and Galera through aiomysql, which sends a statement once.

    `fresh`: a new connection for each attempt, which asks whether the host may be written to. Hosts one after the other, the one
    that served last first, never raced.
    `pooled`: aiomysql's pool of the one host, with its own way to reconnect.
    `direct`: fresh connections to one node, whatever its role.
    """

    TYPE: ClassVar[str] = "mysql"
    OPERATIONS: ClassVar[dict[str, str]] = {
        "append": "insert a unique token into a ledger table without a unique index on it, each in its own transaction",
        "newest": newest.ABOUT,
        "read": "a SELECT of one value",
    }
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "pooled", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset({"append"})
    DRIVER: ClassVar[dict[str, str]] = {"aiomysql": "mysql"}
    Options: ClassVar[type[Record]] = MysqlOptions
    EndpointOptions: ClassVar[type[Record]] = MysqlEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys; ImportError where aiomysql is not installed (`pip install 'chaoskit[mysql]'`)."""
        # the driver is an extra: without it the options must still validate and the catalogue list this type
        from chaoskit.clients.mysql.session import Access
        from chaoskit.clients.mysql.ways import FreshWay, Ledger, PooledWay, Way, quoted

        options = validated(MysqlOptions, config.options, f"clients.{config.client}")
        endpoint = validated(MysqlEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        hosts = hosts_of(config, DEFAULT_PORT)
        access = Access(endpoint.user, endpoint.password, endpoint.database, _context(endpoint))
        table = f"chaoskit_ledger_{config.client}"[:64]
        asked_s = None if options.connect_timeout is None else float(options.connect_timeout)
        self._config = config
        self._overseer = Overseer()
        self._statement = f"INSERT INTO {quoted(table)} (token, seq) VALUES (%s, %s)"
        if config.operation == "read":
            self._statement = options.query
        if config.operation == "newest":
            read = quoted(f"chaoskit_ledger_{options.ledger}"[:64])
            self._statement = (
                "SELECT COALESCE(MAX(seq), -1) FROM "
                f"(SELECT token, seq FROM {read} ORDER BY id DESC LIMIT {newest.LATEST}) AS latest WHERE LEFT(token, %s) = %s"
            )
        self._read_prefix = newest.ledger_prefix(config, options.ledger)
        self._ledger = Ledger(access, hosts, table, f"{config.run_id}.{config.client}.{config.trial}.")
        self._way: Way
        if config.client_class != "pooled":
            role = "any" if config.client_class == "direct" else endpoint.role
            self._way = FreshWay(access, HostOrder(hosts), host_limit_s(config, len(hosts), asked_s), role)
        elif len(hosts) == 1:
            self._way = PooledWay(access, hosts[0], options.pool_size, asked_s)
        else:
            raise InputError([Problem(path=f"clients.{config.client}.class", message=_ONE_SERVER, value="pooled")])

    @classmethod
    def objections(cls, intended: Intended) -> Iterator[str]:
        """The driver's pool connects to one server."""
        if intended.client_class == "pooled" and intended.hosts > 1:
            yield _ONE_SERVER

    async def open(self) -> None:
        """Make the ledger where there is one, and the pool. LabUnavailable where no server can be written to."""
        if self._config.operation in self.LEDGER:
            await self._ledger.create()
        await self._way.open()

    async def attempt(self, token: str) -> Answer:
        """One statement, which is a transaction of its own."""
        use = Use()
        parameters: tuple[str | int, ...] = ()
        if self._config.operation == "append":
            parameters = (token, int(token.rpartition(".")[2]))
        elif self._config.operation == "newest":
            parameters = (len(self._read_prefix), self._read_prefix)
        return await self._overseer.attempt(self._way.attempt(self._statement, parameters, use), use)

    async def read_back(self) -> Tokens:
        """The ledger as a writable server of the endpoint has it."""
        return await self._ledger.read()

    async def dump(self, node: str, address: str) -> Tokens:
        """The ledger as that node has it, whatever its role."""
        return await self._ledger.dump(node, address)

    async def close(self) -> None:
        """Close what is open."""
        await self._overseer.close()
        await self._way.close()


def _context(endpoint: MysqlEndpointOptions) -> ssl.SSLContext | None:
    if not endpoint.tls:
        return None
    context = ssl.create_default_context()
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
