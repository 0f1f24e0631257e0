"""psycopg's own connection pool, as an application uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg import AsyncConnection, AsyncRawCursor, OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import Diagnostic
from psycopg.errors import Error as DriverError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from chaoskit.clients.failures import describe
from chaoskit.clients.hosts import Host
from chaoskit.clients.postgres.conninfo import Access, to_many
from chaoskit.clients.postgres.errors import connect_outcome
from chaoskit.clients.postgres.fresh import answer, refusal
from chaoskit.clients.postgres.session import Rows, StatementFailed
from chaoskit.clients.postgres.statements import TargetSessionAttrs
from chaoskit.model.errors import InputError, LabUnavailable, Problem
from chaoskit.ports.client import Answer

_OPEN_WITHIN_S = 10.0
_CLOSE_WITHIN_S = 1.0


@dataclass(slots=True)
class Use:
    """How far one use of a pooled connection came."""

    sent: bool = False
    """A statement may have left."""
    answered: bool = False
    """The caller was told what became of it: when that was `fail`, nothing may be sent any more."""
    node: str = ""


class PooledWay:
    """Statements over pooled connections. The pool's defaults decide when it reconnects; statements are never retried."""

    def __init__(
        self, access: Access, hosts: Sequence[Host], attrs: TargetSessionAttrs, size: int, connect_timeout_s: float, further: str
    ) -> None:
        """InputError where `further` are no libpq parameters."""
        try:
            asked = {name: str(value) for name, value in conninfo_to_dict(further).items()}
        except DriverError as error:
            raise InputError([Problem(path="conninfo", message=str(error), value=further)]) from error
        always = {"target_session_attrs": attrs, "connect_timeout": str(max(2, round(connect_timeout_s)))}
        self._conninfo = to_many(access, hosts, {**always, **asked})
        self._nodes = {host.address: host.node for host in hosts}
        self._size = size
        self._pool: AsyncConnectionPool[AsyncConnection] | None = None
        self._leaving: set[asyncio.Task[Answer]] = set()

    async def open(self) -> None:
        """Fill the pool. LabUnavailable where it does not fill in time."""
        pool = AsyncConnectionPool(
            self._conninfo,
            kwargs={"autocommit": True, "cursor_factory": AsyncRawCursor},
            min_size=self._size,
            open=False,
            name="chaoskit",
        )
        try:
            await pool.open(wait=True, timeout=_OPEN_WITHIN_S)
        except PoolTimeout as error:
            raise LabUnavailable("the connection pool does not fill", describe(error)) from error
        self._pool = pool

    async def attempt(self, statement: str, parameters: tuple[str, ...]) -> Answer:
        """One statement. At the deadline the answer leaves at once; the driver's clean-up (up to 10 s) goes on behind it."""
        use = Use()
        task = asyncio.ensure_future(self._execute(statement, parameters, use))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            use.answered = True
            task.cancel()
            # held here until it has ended: the loop keeps only weak references
            self._leaving.add(task)
            task.add_done_callback(self._left)
            words = "deadline while waiting for the answer" if use.sent else "deadline while waiting for a pooled connection"
            return Answer(outcome="timeout", certainty="info" if use.sent else "fail", node=use.node, error=words)

    async def close(self) -> None:
        """Close the pool; connections that are being cleaned up are given up."""
        for task in self._leaving:
            task.cancel()
        if self._pool is not None:
            await self._pool.close(timeout=_CLOSE_WITHIN_S)

    async def _execute(self, statement: str, parameters: tuple[str, ...], use: Use) -> Answer:
        if self._pool is None:
            raise RuntimeError("attempt before open")
        try:
            async with self._pool.connection() as connection:
                return await self._run(connection, statement, parameters, use)
        except DriverError as error:
            if use.sent:
                return refusal(StatementFailed(str(error), error.sqlstate, error.diag.severity_nonlocalized), use.node, None)
            outcome = "timeout" if isinstance(error, PoolTimeout) else connect_outcome(str(error))
            return Answer(outcome=outcome, certainty="fail", node=use.node, error=describe(error))

    async def _run(self, connection: AsyncConnection, statement: str, parameters: tuple[str, ...], use: Use) -> Answer:
        if use.answered:
            # cancelling is not enough: asyncio.wait_for, in which the pool waits, swallows it before Python 3.12 when the
            # connection is handed over at the same instant
            raise asyncio.CancelledError
        if connection.closed:
            raise OperationalError("the connection is closed")
        address = connection.pgconn.hostaddr.decode()
        use.node = self._nodes.get(connection.pgconn.host.decode(), "") or self._nodes.get(address, "")
        warnings: list[str] = []

        def keep_warning(notice: Diagnostic) -> None:
            if notice.severity_nonlocalized == "WARNING":
                warnings.append(notice.message_primary or "a warning without words")

        connection.add_notice_handler(keep_warning)
        try:
            use.sent = True
            cursor = await connection.execute(statement, parameters)
            row = await cursor.fetchone()
        finally:
            connection.remove_notice_handler(keep_warning)
        rows = [tuple(None if cell is None else str(cell) for cell in row)] if row else []
        found = answer(use.node, None, Rows(rows, 0, warnings))
        return found.model_copy(update={"t_first_byte": None})

    def _left(self, task: asyncio.Task[Answer]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # its answer came too late for anyone; what it raised is the driver's word on a dead connection
