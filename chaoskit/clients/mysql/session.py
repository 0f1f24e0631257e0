"""MySQL connections by aiomysql that can be dropped at any instant."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import aiomysql
from pymysql.err import MySQLError

from chaoskit.clients.connecting import first_usable, resolved
from chaoskit.clients.failures import ConnectFailed, describe
from chaoskit.clients.hosts import Host, HostOrder
from chaoskit.clients.mysql.errors import failure

# Bytes that are no MySQL end in one of the last five somewhere in the driver.
ERRORS = (MySQLError, OSError, EOFError, struct.error, IndexError, ValueError, AssertionError, NameError)
_UNKNOWN_VARIABLE = 1193


@dataclass(frozen=True, slots=True)
class Access:
    """Who connects to what."""

    user: str
    password: str
    database: str
    tls: Any
    """An ssl.SSLContext, or None."""

    def arguments(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "password": self.password,
            "db": self.database,
            "ssl": self.tls,
            "autocommit": True,
            "charset": "utf8mb4",
            "program_name": "chaoskit",
        }


class Session:
    """One connection. Not for concurrent use; `drop` it in the end, whatever happened."""

    def __init__(self, connection: Any, t_connected: int) -> None:
        self._connection = connection
        self.t_connected = t_connected
        self.read_only = False

    @classmethod
    async def connect(cls, access: Access, host: Host, *, ask_role: bool) -> Session:
        """Connect, and ask whether it is read-only, which a Galera node outside the primary component refuses. ConnectFailed."""
        address = await resolved(host)
        made: Session | None = None
        try:
            connection = await aiomysql.connect(host=address, port=host.port, **access.arguments())
            made = cls(connection, time.monotonic_ns())
            if ask_role:
                ((read_only,),) = await made.rows("SELECT @@global.read_only")
                made.read_only = bool(read_only)
            return made
        except ERRORS as error:
            if made is not None:
                made.drop()
            raise ConnectFailed(failure(error, sent=False)[0], describe(error)) from error
        except BaseException:
            if made is not None:
                made.drop()
            raise

    async def rows(self, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; its rows. One of ERRORS."""
        return await rows(self._connection, statement, parameters)

    async def setting(self, name: str, value: int) -> None:
        """A session variable, where this server has it. One of ERRORS."""
        try:
            await self.rows(f"SET SESSION {name} = {value}")
        except MySQLError as error:
            if error.args[:1] != (_UNKNOWN_VARIABLE,):
                raise

    def drop(self) -> None:
        """Close the socket. Never waits."""
        self._connection.close()


async def rows(connection: Any, statement: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
    """Run one statement on a connection of aiomysql; its rows, or where it has none the last inserted id."""
    async with connection.cursor() as cursor:
        await cursor.execute(statement, parameters or None)
        if cursor.description is None:
            return [(cursor.lastrowid,)]
        return list(await cursor.fetchall())


async def connect_serving(access: Access, order: HostOrder, limit_s: float, role: str) -> tuple[Host, Session]:
    """A session with the first host of that role (writable, any). ConnectFailed; nothing stays open then."""

    async def connect(host: Host) -> Session:
        return await Session.connect(access, host, ask_role=role != "any")

    def unfit(session: Session) -> ConnectFailed | None:
        return ConnectFailed("wrong_role", "is read-only") if role != "any" and session.read_only else None

    return await first_usable(order, connect, limit_s, unfit, Session.drop)
