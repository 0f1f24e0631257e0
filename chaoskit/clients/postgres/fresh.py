"""A new connection for each attempt, and the reading of ledgers."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chaoskit.clients.connecting import first_usable, resolved
from chaoskit.clients.failures import ConnectFailed
from chaoskit.clients.hosts import Host, HostOrder
from chaoskit.clients.postgres import statements
from chaoskit.clients.postgres.conninfo import Access, to_one
from chaoskit.clients.postgres.errors import UNREPLICATED, statement_failure
from chaoskit.clients.postgres.session import Rows, Session, StatementFailed
from chaoskit.clients.postgres.statements import TargetSessionAttrs
from chaoskit.model.errors import LabUnavailable
from chaoskit.ports.client import Answer, Tokens

_PATIENT_S = 3.0
"""How long one host may take where no deadline is measured: making and reading ledgers."""


class FreshWay:
    """Connect, run one statement, drop. Hosts are asked one after the other until one may serve."""

    def __init__(self, access: Access, order: HostOrder, attrs: TargetSessionAttrs, limit_s: float) -> None:
        self._access = access
        self._order = order
        self._attrs = attrs
        self._limit_s = limit_s

    async def open(self) -> None:
        """Nothing to prepare."""

    async def close(self) -> None:
        """Nothing is kept."""

    async def attempt(self, statement: str, parameters: tuple[str, ...]) -> Answer:
        """One statement; the certainty says whether it may have been applied, at the deadline too."""
        session: Session | None = None
        host: Host | None = None
        try:
            host, session = await connect_serving(self._access, self._order, self._attrs, self._limit_s)
            rows = await session.execute(statement, parameters)
            self._order.served(host)
            return answer(host.node, session.t_connected, rows)
        except ConnectFailed as failed:
            return Answer(outcome=failed.outcome, certainty="fail", error=failed.text)
        except StatementFailed as failed:
            return refusal(failed, host.node if host else "", session.t_connected if session else None)
        except asyncio.CancelledError:
            sent = session is not None and session.sent
            return Answer(
                outcome="timeout",
                certainty="info" if sent else "fail",
                t_connected=session.t_connected if session else None,
                node=host.node if host and sent else "",
                error="deadline while waiting for the answer" if sent else "deadline while connecting",
            )
        finally:
            if session is not None:
                session.drop()


class Ledger:
    """The table of one client's tokens. No deadline of an attempt applies here, but every wait is bounded."""

    def __init__(self, access: Access, hosts: Sequence[Host], client: str, prefix: str) -> None:
        self._access = access
        self._hosts = hosts
        self._client = client
        self._table = statements.ledger_table(client)
        self._prefix = prefix

    async def create(self) -> None:
        """Make the table where it is missing. LabUnavailable where no host can be written to."""
        try:
            _, session = await connect_serving(self._access, HostOrder(self._hosts), "read-write", _PATIENT_S)
        except ConnectFailed as failed:
            raise LabUnavailable("no server can be written to", failed.text) from failed
        try:
            await session.execute(statements.create_ledger(self._table))
            await session.execute(statements.index_ledger(self._table, self._client))
        except StatementFailed as failed:
            raise LabUnavailable(f"cannot make the ledger {self._table}", str(failed)) from failed
        finally:
            session.drop()

    async def read(self, attrs: TargetSessionAttrs) -> Tokens:
        """All tokens of this run's trial, from the first host that may serve."""
        return await self._read(HostOrder(self._hosts), attrs)

    async def dump(self, node: str, address: str) -> Tokens:
        """All tokens of this run's trial as that node has them."""
        tokens = await self._read(HostOrder([Host(node, address, self._hosts[0].port)]), "any")
        return tokens.model_copy(update={"node": node})

    async def _read(self, order: HostOrder, attrs: TargetSessionAttrs) -> Tokens:
        try:
            host, session = await connect_serving(self._access, order, attrs, _PATIENT_S)
        except ConnectFailed as failed:
            return Tokens(ok=False, node="", detail=f"{failed.outcome}: {failed.text}")
        try:
            rows = await session.execute(statements.ledger_tokens(self._table), (self._prefix,))
        except StatementFailed as failed:
            return Tokens(ok=False, node=host.node, detail=str(failed))
        finally:
            session.drop()
        return Tokens(ok=True, node=host.node, copies={token: int(count) for token, count in rows.values if token and count})


async def connect_serving(access: Access, order: HostOrder, attrs: TargetSessionAttrs, limit_s: float) -> tuple[Host, Session]:
    """A session with the first host that is what `attrs` asks for. ConnectFailed; nothing stays open then."""

    async def connect(host: Host) -> Session:
        return await Session.connect(to_one(access, host, await resolved(host)))

    if attrs == "prefer-standby":
        try:
            return await first_usable(order, connect, limit_s, lambda session: _unfit(session, "standby"), Session.drop)
        except ConnectFailed:
            attrs = "any"
    wanted = attrs
    return await first_usable(order, connect, limit_s, lambda session: _unfit(session, wanted), Session.drop)


def _unfit(session: Session, attrs: TargetSessionAttrs) -> ConnectFailed | None:
    standby, read_only = session.state()
    if statements.serves(attrs, standby, read_only):
        return None
    what = "a standby" if standby else "read-only" if read_only else "a primary"
    return ConnectFailed("wrong_role", f"is {what}, not {attrs}")


def answer(node: str, t_connected: int | None, rows: Rows) -> Answer:
    """The answer for what a statement of `statements` returned."""
    if not rows.values:
        return Answer(outcome="wrong_data", certainty="info", node=node, t_connected=t_connected, error="no row came back")
    term, server, *value = rows.values[0]
    shown = value[0] if value else server
    return Answer(
        outcome="app_error" if rows.warnings else "ok",
        certainty="info" if rows.warnings else "ok",
        t_connected=t_connected,
        t_first_byte=rows.t_first_byte,
        node=node,
        term=term or "",
        value=shown or "",
        error=f"{UNREPLICATED}: {'; '.join(rows.warnings)}" if rows.warnings else "",
    )


def refusal(failed: StatementFailed, node: str, t_connected: int | None) -> Answer:
    """The answer for a statement that failed."""
    outcome, certainty = statement_failure(failed.sqlstate, failed.severity, failed.text)
    return Answer(outcome=outcome, certainty=certainty, t_connected=t_connected, node=node, error=str(failed))
