"""How each class of client runs a statement, and how ledgers are read."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

import aiomysql

from chaoskit.clients.failures import ConnectFailed, describe
from chaoskit.clients.hosts import Host, HostOrder
from chaoskit.clients.mysql.errors import failure
from chaoskit.clients.mysql.session import ERRORS, Access, connect_serving, rows
from chaoskit.clients.overseen import Use
from chaoskit.model.errors import LabUnavailable
from chaoskit.ports.client import Answer, Tokens

_PATIENT_S = 3.0


Run = Callable[[str, Sequence[Any]], Awaitable[list[tuple[Any, ...]]]]
"""Runs one statement and returns its rows."""


class Way(Protocol):
    """How a class of client runs one statement."""

    async def open(self) -> None: ...

    async def attempt(self, statement: str, parameters: Sequence[Any], use: Use) -> Answer: ...

    async def close(self) -> None: ...


class FreshWay:
    """Connect, ask whether it may be written to, run, drop."""

    def __init__(self, access: Access, order: HostOrder, limit_s: float, role: str) -> None:
        self._access = access
        self._order = order
        self._limit_s = limit_s
        self._role = role

    async def open(self) -> None:
        """Nothing to prepare."""

    async def attempt(self, statement: str, parameters: Sequence[Any], use: Use) -> Answer:
        try:
            host, session = await connect_serving(self._access, self._order, self._limit_s, self._role)
        except ConnectFailed as failed:
            return use.broken(failed.outcome, failed.text)
        use.node, use.t_connected = host.node, session.t_connected
        try:
            answer = await _answer(session.rows, statement, parameters, use)
        finally:
            session.drop()
        if answer.outcome == "ok":
            self._order.served(host)
        return answer

    async def close(self) -> None:
        """Nothing is kept."""


class PooledWay:
    """aiomysql's own pool of one host. It decides when to reconnect."""

    def __init__(self, access: Access, host: Host, size: int, connect_timeout_s: float | None) -> None:
        self._host = host
        self._arguments = {**access.arguments(), "host": host.address, "port": host.port, "connect_timeout": connect_timeout_s}
        self._size = size
        self._pool: Any = None

    async def open(self) -> None:
        """LabUnavailable where the host cannot be reached."""
        pool = await aiomysql.create_pool(minsize=0, maxsize=self._size, **self._arguments)
        try:
            async with pool.acquire():
                pass
        except ERRORS as error:
            pool.terminate()
            raise LabUnavailable("the connection pool cannot connect", describe(error)) from error
        self._pool = pool

    async def attempt(self, statement: str, parameters: Sequence[Any], use: Use) -> Answer:
        if self._pool is None:
            self._pool = await aiomysql.create_pool(minsize=0, maxsize=self._size, **self._arguments)
        try:
            connection = await self._pool.acquire()
        except ERRORS as error:
            return use.broken(failure(error, sent=False)[0], describe(error))
        use.node = self._host.node

        async def run(asked: str, given: Sequence[Any]) -> list[tuple[Any, ...]]:
            return await rows(connection, asked, given)

        try:
            return await _answer(run, statement, parameters, use)
        finally:
            self._pool.release(connection)

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
            await self._pool.wait_closed()


async def _answer(run: Run, statement: str, parameters: Sequence[Any], use: Use) -> Answer:
    use.begin()
    try:
        found = await run(statement, parameters)
    except ERRORS as error:
        outcome, certainty = failure(error, sent=True)
        return use.answer(outcome, certainty, describe(error))
    use.t_first_byte = time.monotonic_ns()
    return use.answer("ok", "ok", value=str(found[0][0])[:200] if found else "")


class Ledger:
    """The table of one client's tokens. Its key is a number of its own: a token that was applied twice is there twice."""

    def __init__(self, access: Access, hosts: Sequence[Host], table: str, prefix: str) -> None:
        self._access = access
        self._hosts = hosts
        self._table = table
        self._prefix = prefix

    async def create(self) -> None:
        """Make the table where it is missing. LabUnavailable where no host can be written to."""
        try:
            _, session = await connect_serving(self._access, HostOrder(self._hosts), _PATIENT_S, "writable")
        except ConnectFailed as failed:
            raise LabUnavailable("no server can be written to", failed.text) from failed
        try:
            if not await session.rows("SHOW TABLES LIKE %s", (self._table,)):
                await session.rows(
                    f"CREATE TABLE {quoted(self._table)} (id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,"
                    " token VARCHAR(500) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL, seq BIGINT NOT NULL,"
                    " at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6)) ENGINE=InnoDB"
                )
        except ERRORS as error:
            raise LabUnavailable(f"cannot make the ledger {self._table}", describe(error)) from error
        finally:
            session.drop()

    async def read(self) -> Tokens:
        """All tokens of this run's trial from a writable host; a Galera node first applies what its cluster has."""
        return await self._tokens(self._hosts, "writable", "wsrep_sync_wait", 1)

    async def dump(self, node: str, address: str) -> Tokens:
        """All tokens of this run's trial as that node has them; a Galera node outside the primary component tells its own too."""
        found = await self._tokens([Host(node, address, self._hosts[0].port)], "any", "wsrep_dirty_reads", 1)
        return found.model_copy(update={"node": node})

    async def _tokens(self, hosts: Sequence[Host], role: str, setting: str, value: int) -> Tokens:
        try:
            host, session = await connect_serving(self._access, HostOrder(hosts), _PATIENT_S, role)
        except ConnectFailed as failed:
            return Tokens(ok=False, node="", detail=f"{failed.outcome}: {failed.text}")
        try:
            await session.setting(setting, value)
            asked = f"SELECT token, COUNT(*) FROM {quoted(self._table)} WHERE LEFT(token, %s) = %s GROUP BY token"
            found = await session.rows(asked, (len(self._prefix), self._prefix))
        except ERRORS as error:
            return Tokens(ok=False, node=host.node, detail=describe(error))
        finally:
            session.drop()
        return Tokens(ok=True, node=host.node, copies={str(token): int(count) for token, count in found})


def quoted(name: str) -> str:
    """An SQL identifier."""
    return "`" + name.replace("`", "``") + "`"
