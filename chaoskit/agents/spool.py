"""A spool: the SQLite file that one agent process writes its evidence to."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from chaoskit.agents.realtime import tune_thread
from chaoskit.model.errors import RecordingFailed
from chaoskit.model.history import SAMPLES_DDL
from chaoskit.model.packed_samples import PACKED_DDL

Row = Sequence[Any]

COMMIT_EVERY_S = 0.15
"""Rows handed in are committed at most this much later, so that a killed process leaves its evidence."""


class Spool:
    """Rows are handed in from any thread without waiting; a thread of the spool writes them in batches.

    When the file can no longer be written, `failure` says why and `on_failure` is called once, in the writer's thread.
    """

    def __init__(self, path: Path, on_failure: Callable[[str], None]) -> None:
        """Creates the file and its tables. RecordingFailed where that is not possible."""
        self._path = path
        self._on_failure = on_failure
        self._rows: deque[tuple[str, Row]] = deque()
        self._ending = threading.Event()
        self.failure: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
            # A rollback journal keeps all of the evidence in one file. Without fsync: what must survive is the end of this
            # process, not that of the machine, and an fsync would compete with the disks under test.
            self._database.execute("PRAGMA journal_mode = TRUNCATE")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.executescript(SAMPLES_DDL + PACKED_DDL)
            self._statements = {table: self._insert(table) for table in self._tables()}
        except (sqlite3.Error, OSError) as error:
            raise RecordingFailed(self._message(error)) from error
        self._thread = threading.Thread(target=self._write_until_closed, name="spool", daemon=True)
        self._thread.start()

    def put(self, table: str, row: Row) -> None:
        """Hand in one row, in the order of the table's columns. Never waits."""
        self._rows.append((table, row))

    def close(self, timeout_s: float) -> None:
        """Write what is left. RecordingFailed where that did not succeed in time, or writing failed earlier."""
        self._ending.set()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise RecordingFailed(f"{self._path}: still writing after {timeout_s} s, {len(self._rows)} rows left")
        if self.failure is not None:
            raise RecordingFailed(self.failure)

    def _tables(self) -> list[str]:
        return [name for (name,) in self._database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]

    def _insert(self, table: str) -> str:
        columns = self._database.execute(f"PRAGMA table_info({table})").fetchall()
        return f"INSERT INTO {table} VALUES ({', '.join('?' * len(columns))})"

    def _write_until_closed(self) -> None:
        tune_thread()
        try:
            while not self._ending.wait(COMMIT_EVERY_S):
                self._write_batch()
            self._write_batch()
            self._database.close()
        except sqlite3.Error as error:
            self.failure = self._message(error)
            self._on_failure(self.failure)

    def _write_batch(self) -> None:
        batches: dict[str, list[Row]] = {}
        for _ in range(len(self._rows)):
            table, row = self._rows.popleft()
            batches.setdefault(table, []).append(row)
        if not batches:
            return
        self._database.execute("BEGIN")
        for table, together in batches.items():
            self._database.executemany(self._statements[table], together)
        self._database.execute("COMMIT")

    def _message(self, error: Exception) -> str:
        try:
            free = f"{shutil.disk_usage(self._path.parent).free} bytes free"
        except OSError as unusable:
            free = str(unusable)
        return f"cannot record to {self._path}: {error} ({free}); figures from this run would be wrong"
