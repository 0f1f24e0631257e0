"""One PostgreSQL connection that can be dropped at any instant without waiting for anything.

psycopg's own connection, when a wait is cancelled, sends a cancel request to the server and waits up to 10 s for it, which with a
dead server outlasts any deadline. Here libpq is driven directly (psycopg.pq), non-blocking: being cancelled closes the socket.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from psycopg import pq
from psycopg.errors import Error as DriverError
from psycopg.pq.abc import PGconn, PGresult

from chaoskit.clients.failures import ConnectFailed
from chaoskit.clients.postgres.errors import connect_outcome

_BAD = pq.ConnStatus.BAD
_READING = pq.PollingStatus.READING
_WRITING = pq.PollingStatus.WRITING
_POLL_OK = pq.PollingStatus.OK
_ROWS = (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK)
_FIELD = pq.DiagnosticField


class StatementFailed(Exception):
    """The server answered with an error, or the connection ended."""

    def __init__(self, text: str, sqlstate: str | None = None, severity: str | None = None) -> None:
        self.text = " ".join(text.split())
        self.sqlstate = sqlstate
        self.severity = severity
        super().__init__(f"{sqlstate}: {self.text}" if sqlstate else self.text)


@dataclass(slots=True)
class Rows:
    """What a statement returned."""

    values: list[tuple[str | None, ...]]
    t_first_byte: int
    """CLOCK_MONOTONIC ns at which the answer's first byte could be read."""
    warnings: list[str] = field(default_factory=list)


class Session:
    """A connection. Not for concurrent use; `drop` it in the end, whatever happened."""

    def __init__(self, connection: PGconn, t_connected: int) -> None:
        self._connection = connection
        self.t_connected = t_connected
        """CLOCK_MONOTONIC ns at which the server was ready for a statement."""
        self.sent = False
        """Whether a byte of a statement may have left."""

    @classmethod
    async def connect(cls, conninfo: str) -> Session:
        """Connect to the one host of `conninfo` (its `hostaddr`). ConnectFailed with the reason."""
        connection = pq.PGconn.connect_start(conninfo.encode())
        try:
            await _establish(connection)
            connection.nonblocking = 1
            return cls(connection, time.monotonic_ns())
        except DriverError as error:
            connection.finish()
            raise _connect_failure(str(error)) from error
        except BaseException:  # cancelled, above all: the socket must not outlive the attempt
            connection.finish()
            raise

    def state(self) -> tuple[bool, bool]:
        """(in hot standby, read-only by default), as the server told when it accepted the connection (PostgreSQL 14 or later).

        An older server tells neither; it is taken for writable, and the statement shows the rest.
        """
        return tuple(
            self._connection.parameter_status(name) == b"on" for name in (b"in_hot_standby", b"default_transaction_read_only")
        )  # type: ignore[return-value]

    async def execute(self, statement: str, parameters: Sequence[str] = ()) -> Rows:
        """Run one statement and return its rows. StatementFailed."""
        connection = self._connection
        warnings: list[str] = []
        connection.notice_handler = lambda notice: _keep_warning(notice, warnings)
        try:
            self.sent = True
            connection.send_query_params(statement.encode(), [value.encode() for value in parameters])
            while connection.flush() != 0:
                await _ready(connection.socket, reading=True, writing=True)
                connection.consume_input()
            first_byte = 0
            rows: list[tuple[str | None, ...]] = []
            failure: StatementFailed | None = None
            while True:
                while connection.is_busy():
                    await _ready(connection.socket, reading=True)
                    first_byte = first_byte or time.monotonic_ns()
                    connection.consume_input()
                result = connection.get_result()
                if result is None:
                    break
                if result.status in _ROWS:
                    rows.extend(_values(result))
                elif failure is None:
                    failure = _failure(result)
        except DriverError as error:
            raise StatementFailed(str(error)) from error
        finally:
            connection.notice_handler = None
        if failure is not None:
            raise failure
        return Rows(rows, first_byte or time.monotonic_ns(), warnings)

    def drop(self) -> None:
        """Close the socket. Never waits, and is safe to call twice."""
        self._connection.finish()


async def _establish(connection: PGconn) -> None:
    if connection.status == _BAD:
        raise _connect_failure(_words(connection))
    while (polled := connection.connect_poll()) != _POLL_OK:
        if polled not in (_READING, _WRITING):
            raise _connect_failure(_words(connection))
        await _ready(connection.socket, reading=polled == _READING, writing=polled == _WRITING)


def _words(connection: PGconn) -> str:
    return connection.get_error_message()


def _connect_failure(words: str) -> ConnectFailed:
    text = " ".join(words.split())
    return ConnectFailed(connect_outcome(text), text)


def _failure(result: PGresult) -> StatementFailed:
    return StatementFailed(
        _text(result, _FIELD.MESSAGE_PRIMARY) or result.get_error_message(),
        _text(result, _FIELD.SQLSTATE),
        _text(result, _FIELD.SEVERITY_NONLOCALIZED),
    )


def _keep_warning(notice: PGresult, warnings: list[str]) -> None:
    if _text(notice, _FIELD.SEVERITY_NONLOCALIZED) == "WARNING":
        warnings.append(_text(notice, _FIELD.MESSAGE_PRIMARY) or "a warning without words")


def _text(result: PGresult, which: pq.DiagnosticField) -> str | None:
    value = result.error_field(which)
    return None if value is None else value.decode(errors="replace")


def _values(result: PGresult) -> list[tuple[str | None, ...]]:
    return [tuple(_cell(result.get_value(row, column)) for column in range(result.nfields)) for row in range(result.ntuples)]


def _cell(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")


async def _ready(descriptor: int, *, reading: bool = False, writing: bool = False) -> None:
    """Wait until the socket can be read or written."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()
    if reading:
        loop.add_reader(descriptor, _wake, ready)
    if writing:
        loop.add_writer(descriptor, _wake, ready)
    try:
        await ready
    finally:
        if reading:
            loop.remove_reader(descriptor)
        if writing:
            loop.remove_writer(descriptor)


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
