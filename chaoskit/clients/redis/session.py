"""Redis connections that send a command once, and the servers they go to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Connection, SSLConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from chaoskit.clients.connecting import first_usable, resolved
from chaoskit.clients.failures import ConnectFailed, describe
from chaoskit.clients.hosts import Host, HostOrder
from chaoskit.clients.redis.errors import failure

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Access:
    """Who connects to what."""

    username: str
    password: str
    database: int
    tls: bool
    verify: bool

    def arguments(self) -> dict[str, Any]:
        """What every connection is made with. The driver's own retries are off: they would hide the outage."""
        given: dict[str, Any] = {
            "db": self.database,
            "username": self.username or None,
            "password": self.password or None,
            "retry": Retry(NoBackoff(), 0),
            "driver_info": None,  # no CLIENT SETINFO: two commands less before the one that is measured
            "protocol": 2,
            "decode_responses": True,
        }
        if self.tls:
            given |= {"ssl_cert_reqs": "required" if self.verify else "none", "ssl_check_hostname": self.verify}
        return given


class Session:
    """One connection. Not for concurrent use; `drop` it in the end, whatever happened."""

    def __init__(self, connection: Connection, t_connected: int) -> None:
        self._connection = connection
        self.t_connected = t_connected
        self.role = ""
        """What the server said it is: master, slave or sentinel. Empty where it was not asked."""

    @classmethod
    async def connect(cls, access: Access, host: Host, *, ask_role: bool) -> Session:
        """Connect, and ask for the server's role. ConnectFailed; nothing stays open then."""
        kind = SSLConnection if access.tls else Connection
        address = host.address if access.tls else await resolved(host)
        connection = kind(host=address, port=host.port, socket_timeout=None, socket_connect_timeout=None, **access.arguments())
        try:
            await connection.connect()
            made = cls(connection, time.monotonic_ns())
            if ask_role:
                made.role = str((await made.run(("ROLE",)))[0])
            return made
        except (RedisError, OSError, EOFError) as error:
            await connection.disconnect(nowait=True)
            raise ConnectFailed(failure(error, sent=False)[0], describe(error)) from error
        except BaseException:  # cancelled, above all: the socket must not outlive the attempt
            await connection.disconnect(nowait=True)
            raise

    async def run(self, command: Command) -> Any:
        """Send a command once and return the reply. RedisError, also for an error reply."""
        await self._connection.send_command(*command, check_health=False)
        return await self._connection.read_response()

    async def drop(self) -> None:
        """Close the socket without waiting."""
        await self._connection.disconnect(nowait=True)


class Servers:
    """Which server to ask: the endpoint's hosts in order, or the master that Sentinels name."""

    def __init__(self, access: Access, hosts: Sequence[Host], sentinels: Sequence[Host], master_name: str) -> None:
        self._access = access
        self._order = HostOrder(hosts)
        self._names = {host.address: host.node for host in hosts}
        self._sentinels = HostOrder(sentinels)
        self._master_name = master_name
        self._dropping: set[asyncio.Task[None]] = set()

    async def session(self, limit_s: float, role: str) -> tuple[Host, Session]:
        """A session with a server of that role (`any` for whoever serves). ConnectFailed."""
        order = self._order
        if self._master_name and role == "master":
            order = HostOrder([await self.named_master(limit_s)])

        def unfit(session: Session) -> ConnectFailed | None:
            if role == "any" or session.role == role:
                return None
            return ConnectFailed("wrong_role", f"is {session.role or 'of unknown role'}, not {role}")

        async def connect(host: Host) -> Session:
            return await Session.connect(self._access, host, ask_role=role != "any")

        host, session = await first_usable(order, connect, limit_s, unfit, self._drop)
        return host, session

    async def named_master(self, limit_s: float) -> Host:
        """The master as the first Sentinel that answers names it. ConnectFailed."""
        access = Access("", "", 0, False, False)

        async def ask(host: Host) -> tuple[str, ...]:
            session = await Session.connect(access, host, ask_role=False)
            try:
                found = await session.run(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._master_name))
            except RedisError as error:
                raise ConnectFailed(failure(error, sent=False)[0], describe(error)) from error
            finally:
                await session.drop()
            return tuple(map(str, found or ()))

        def unfit(found: tuple[str, ...]) -> ConnectFailed | None:
            return None if found else ConnectFailed("app_error", f"this Sentinel knows no master {self._master_name!r}")

        sentinel, (address, port) = await first_usable(self._sentinels, ask, limit_s, unfit, lambda _: None)
        self._sentinels.served(sentinel)
        return Host(self.node_of(address), address, int(port))

    def node_of(self, address: str) -> str:
        """The node's name, or the address where it is no node's."""
        return self._names.get(address, address)

    def served(self, host: Host) -> None:
        """`host` served what was asked for."""
        if not self._master_name:
            self._order.served(host)

    def _drop(self, session: Session) -> None:
        task = asyncio.ensure_future(session.drop())
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)
