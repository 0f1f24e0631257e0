"""psycopg's own connection pool, as an application uses it."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import AsyncConnection, AsyncRawCursor, OperationalError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import Diagnostic
from psycopg.errors import Error as DriverError
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from chaoskit.clients.failures import describe
from chaoskit.clients.hosts import Host
from chaoskit.clients.overseen import Overseer, Use
from chaoskit.clients.postgres.conninfo import Access, to_many
from chaoskit.clients.postgres.errors import connect_outcome
from chaoskit.clients.postgres.fresh import answer, refusal
from chaoskit.clients.postgres.session import Rows, StatementFailed
from chaoskit.clients.postgres.statements import TargetSessionAttrs
from chaoskit.model.errors import InputError, LabUnavailable, Problem
from chaoskit.ports.client import Answer

_OPEN_WITHIN_S = 10.0
_CLOSE_WITHIN_S = 1.0


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
        self._overseer = Overseer()

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
        return await self._overseer.attempt(self._execute(statement, parameters, use), use)

    async def close(self) -> None:
        """Close the pool; connections that are being cleaned up are given up."""
        await self._overseer.close()
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
            return use.broken(outcome, describe(error))

    async def _run(self, connection: AsyncConnection, statement: str, parameters: tuple[str, ...], use: Use) -> Answer:
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
            use.begin()
            cursor = await connection.execute(statement, parameters)
            row = await cursor.fetchone()
        finally:
            connection.remove_notice_handler(keep_warning)
        rows = [tuple(None if cell is None else str(cell) for cell in row)] if row else []
        found = answer(use.node, None, Rows(rows, 0, warnings))
        return found.model_copy(update={"t_first_byte": None})
