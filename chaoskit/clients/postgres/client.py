"""The PostgreSQL client type: an append ledger, and reads."""

from __future__ import annotations

from typing import Annotated, ClassVar, Protocol

from pydantic import ConfigDict, Field

from chaoskit.clients import newest
from chaoskit.clients.hosts import HostOrder, host_limit_s, hosts_of
from chaoskit.clients.options import validated
from chaoskit.clients.postgres import statements
from chaoskit.clients.postgres.conninfo import Access
from chaoskit.clients.postgres.statements import TargetSessionAttrs
from chaoskit.model.record import Record
from chaoskit.model.units import Duration
from chaoskit.ports.client import Answer, ClientConfig, Tokens

DEFAULT_PORT = 5432


class PostgresOptions(Record):
    """Keys of a `postgres` client in the experiment."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    connect_timeout: Duration | None = None
    """How long one host may take until its session is ready. Left out: for `fresh` and `direct` a third of the deadline (all of
    it where there is one host); for `pooled` 2s, the least that libpq takes."""
    query: str = statements.DEFAULT_QUERY
    """What `read` asks: a SELECT of one column."""
    ledger: str = ""
    """`newest`: the client whose ledger is read."""
    pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections of the `pooled` class."""
    conninfo: str = ""
    """Further libpq parameters of the `pooled` class, such as "tcp_user_timeout=3000 keepalives_idle=1"."""


class PostgresEndpointOptions(Record):
    """Keys of an endpoint of kind `postgres` in the lab."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    database: str = "postgres"
    """The database to connect to."""
    user: str = "postgres"
    """The role to connect as."""
    password: str = ""
    """Its password; libpq's own sources (PGPASSWORD, a password file) where it is empty."""
    target_session_attrs: TargetSessionAttrs = "read-write"
    """Which servers may serve, as libpq's parameter of that name."""
    sslmode: Annotated[str, Field(pattern="^(disable|allow|prefer|require|verify-ca|verify-full)$")] = "disable"
    """As libpq's parameter of that name."""


class Way(Protocol):
    """How a class of client runs one statement."""

    async def open(self) -> None: ...

    async def attempt(self, statement: str, parameters: tuple[str, ...]) -> Answer: ...

    async def close(self) -> None: ...


class PostgresClient:
    """PostgreSQL over libpq with several hosts, as its drivers connect.

    `fresh`: a new connection for each attempt; hosts one after the other, the one that served last first, never raced.
    `pooled`: psycopg's connection pool with its own reconnect policy, statements never retried.
    `direct`: fresh connections to one node, whatever its role.
    """

    TYPE: ClassVar[str] = "postgres"
    OPERATIONS: ClassVar[dict[str, str]] = {
        "append": "insert a unique token into a ledger table without a unique index, each in its own transaction",
        "newest": newest.ABOUT,
        "read": "a bounded SELECT that also tells which server answered",
    }
    CLASSES: ClassVar[tuple[str, ...]] = ("fresh", "pooled", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset({"append"})
    DRIVER: ClassVar[dict[str, str]] = {"psycopg": "postgres", "psycopg_pool": "postgres"}
    Options: ClassVar[type[Record]] = PostgresOptions
    EndpointOptions: ClassVar[type[Record]] = PostgresEndpointOptions

    def __init__(self, config: ClientConfig) -> None:
        """InputError for wrong keys; ImportError where psycopg is not installed (`pip install 'chaoskit[postgres]'`)."""
        # the driver is an extra: without it the options must still validate and the catalogue list this type
        from chaoskit.clients.postgres.fresh import FreshWay, Ledger
        from chaoskit.clients.postgres.pooled import PooledWay

        options = validated(PostgresOptions, config.options, f"clients.{config.client}")
        endpoint = validated(PostgresEndpointOptions, config.endpoint, f"endpoints.{config.target}")
        hosts = hosts_of(config, DEFAULT_PORT)
        asked = options.connect_timeout
        access = Access(endpoint.database, endpoint.user, endpoint.password, endpoint.sslmode)
        attrs: TargetSessionAttrs = "any" if config.client_class == "direct" else endpoint.target_session_attrs
        self._config = config
        self._statement = {
            "append": statements.append(statements.ledger_table(config.client)),
            "newest": statements.newest(statements.ledger_table(options.ledger)),
            "read": statements.read(options.query),
        }[config.operation]
        self._read_prefix = newest.ledger_prefix(config, options.ledger)
        self._ledger = Ledger(access, hosts, config.client, f"{config.run_id}.{config.client}.{config.trial}.")
        self._way: Way
        if config.client_class == "pooled":
            self._way = PooledWay(access, hosts, attrs, options.pool_size, float(asked or 2), options.conninfo)
        else:
            limit_s = host_limit_s(config, len(hosts), None if asked is None else float(asked))
            self._way = FreshWay(access, HostOrder(hosts), attrs, limit_s)

    async def open(self) -> None:
        """Make the ledger where there is one, and the pool. LabUnavailable where no server can be written to."""
        if self._config.operation in self.LEDGER:
            await self._ledger.create()
        await self._way.open()

    async def attempt(self, token: str) -> Answer:
        """One statement in one transaction."""
        parameters: tuple[str, ...] = (token, token.rpartition(".")[2]) if self._config.operation == "append" else ()
        if self._config.operation == "newest":
            parameters = (self._read_prefix,)
        return await self._way.attempt(self._statement, parameters)

    async def read_back(self) -> Tokens:
        """The ledger as a writable server of the endpoint has it."""
        return await self._ledger.read("read-write")

    async def dump(self, node: str, address: str) -> Tokens:
        """The ledger as that node has it, whatever its role."""
        return await self._ledger.dump(node, address)

    async def close(self) -> None:
        """Close what is open."""
        await self._way.close()
