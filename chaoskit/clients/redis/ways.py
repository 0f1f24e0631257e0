"""How each class of client runs a command, and how ledgers are read."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Protocol

from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, SSLConnection
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool
from redis.exceptions import RedisError

from chaoskit.clients.failures import ConnectFailed, describe
from chaoskit.clients.hosts import Host
from chaoskit.clients.overseen import Use
from chaoskit.clients.redis.errors import failure
from chaoskit.clients.redis.session import Access, Command, Servers
from chaoskit.model.errors import LabUnavailable
from chaoskit.ports.client import Answer, Tokens

_PATIENT_S = 3.0
"""How long one host may take where no deadline is measured."""
_PAGE = 10_000
"""Tokens read at once: a server that reads a long list serves nobody else meanwhile."""


Shown = Callable[[Any], str]
"""What is kept of the last reply."""


class Run(Protocol):
    """Sends one command and returns the reply."""

    async def __call__(self, command: Command) -> Any: ...


class Way(Protocol):
    """How a class of client runs the commands of one attempt; the last one's reply is what counts."""

    async def open(self) -> None: ...

    async def attempt(self, commands: tuple[Command, ...], use: Use, shown: Shown) -> Answer: ...

    async def close(self) -> None: ...


class FreshWay:
    """Connect, ask for the role, run, drop."""

    def __init__(self, servers: Servers, limit_s: float, role: str) -> None:
        self._servers = servers
        self._limit_s = limit_s
        self._role = role

    async def open(self) -> None:
        """LabUnavailable where no server of the role can be asked."""
        try:
            _, session = await self._servers.session(_PATIENT_S, self._role)
        except ConnectFailed as failed:
            raise LabUnavailable(f"no server that is {self._role}", failed.text) from failed
        await session.drop()

    async def attempt(self, commands: tuple[Command, ...], use: Use, shown: Shown) -> Answer:
        try:
            host, session = await self._servers.session(self._limit_s, self._role)
        except ConnectFailed as failed:
            return use.broken(failed.outcome, failed.text)
        use.node, use.t_connected = host.node, session.t_connected
        try:
            answer = await outcome_of_commands(session.run, commands, use, shown)
        finally:
            await session.drop()
        if answer.outcome == "ok":
            self._servers.served(host)
        return answer

    async def close(self) -> None:
        """Nothing is kept."""


class PooledWay:
    """redis-py's own pool of one server, or of the master that Sentinels name. It decides when to reconnect."""

    def __init__(self, access: Access, servers: Servers, host: Host, size: int, further: dict[str, Any]) -> None:
        arguments = {**access.arguments(), **further}
        self._servers = servers
        self._pool: ConnectionPool = BlockingConnectionPool(
            connection_class=SSLConnection if access.tls else Connection,
            max_connections=size,
            timeout=None,
            host=host.address,
            port=host.port,
            **arguments,
        )

    async def open(self) -> None:
        """LabUnavailable where the server cannot be reached."""
        try:
            connection = await self._pool.get_connection()
        except (RedisError, OSError) as error:
            raise LabUnavailable("the connection pool cannot connect", describe(error)) from error
        await self._pool.release(connection)

    async def attempt(self, commands: tuple[Command, ...], use: Use, shown: Shown) -> Answer:
        try:
            connection = await self._pool.get_connection()
        except (RedisError, OSError, EOFError) as error:
            return use.broken(failure(error, sent=False)[0], describe(error))

        async def run(command: Command) -> Any:
            await connection.send_command(*command)
            return await connection.read_response()

        try:
            use.node = self._servers.node_of(str(getattr(connection, "host", "")))
            return await outcome_of_commands(run, commands, use, shown)
        finally:
            await self._pool.release(connection)

    async def close(self) -> None:
        await self._pool.disconnect()


class SentinelWay(PooledWay):
    """The same with redis-py's pool that asks Sentinels whenever it connects."""

    def __init__(
        self, access: Access, servers: Servers, sentinels: list[Host], master_name: str, size: int, further: dict[str, Any]
    ) -> None:
        arguments = {**access.arguments(), **further}
        limits = {name: value for name, value in further.items() if name.startswith("socket_")}
        self._servers = servers
        self._manager = Sentinel(
            [(host.address, host.port) for host in sentinels],
            sentinel_kwargs={"retry": arguments["retry"], "protocol": 2, **limits},
        )
        self._pool = SentinelConnectionPool(master_name, self._manager, max_connections=size, ssl=access.tls, **arguments)

    async def close(self) -> None:
        await super().close()
        for sentinel in self._manager.sentinels:
            await sentinel.aclose()


async def outcome_of_commands(run: Run, commands: tuple[Command, ...], use: Use, shown: Shown) -> Answer:
    """Run the commands of one attempt one after the other. A WAIT that finds too few replicas is no acknowledgement."""
    reply: Any = None
    applied = False
    use.begin()
    try:
        for command in commands:
            reply = await run(command)
            use.t_first_byte = use.t_first_byte or time.monotonic_ns()
            if command[0] == "WAIT" and int(reply) < int(command[1]):
                return use.answer("app_error", "info", f"{reply} of {command[1]} replicas acknowledged it in time")
            applied = True
    except (RedisError, OSError, EOFError) as error:
        outcome, certainty = failure(error, sent=True)
        return use.answer(outcome, "info" if applied else certainty, describe(error))
    return use.answer("ok", "ok", value=shown(reply))


class Ledger:
    """The list of one client's tokens: RPUSH appends, and a token that was applied twice is there twice."""

    def __init__(self, access: Access, servers: Servers, key: str, prefix: str, port: int) -> None:
        self._access = access
        self._servers = servers
        self._key = key
        self._prefix = prefix
        self._port = port

    async def read(self) -> Tokens:
        """All tokens of this run's trial, from the master."""
        return await self._tokens(self._servers, "master")

    async def dump(self, node: str, address: str) -> Tokens:
        """All tokens of this run's trial as that node has them, whatever its role."""
        servers = Servers(self._access, [Host(node, address, self._port)], [], "")
        return (await self._tokens(servers, "any")).model_copy(update={"node": node})

    async def _tokens(self, servers: Servers, role: str) -> Tokens:
        try:
            host, session = await servers.session(_PATIENT_S, role)
        except ConnectFailed as failed:
            return Tokens(ok=False, node="", detail=f"{failed.outcome}: {failed.text}")
        copies: Counter[str] = Counter()
        try:
            for begin in range(0, int(await session.run(("LLEN", self._key))), _PAGE):
                page = await session.run(("LRANGE", self._key, str(begin), str(begin + _PAGE - 1)))
                copies.update(str(token) for token in page if str(token).startswith(self._prefix))
        except (RedisError, OSError, EOFError) as error:
            return Tokens(ok=False, node=host.node, detail=describe(error))
        finally:
            await session.drop()
        return Tokens(ok=True, node=host.node, copies=dict(copies))
