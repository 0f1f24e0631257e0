"""The index of a folder of run directories: a small SQLite database that may be thrown away at any time.

The run directories are the truth. Before every question the index is compared with them and whatever changed is read again; an
index that is missing, damaged or of another version is built anew. Everything happens under the database's write lock, so that
runs that end at once (pytest-xdist) neither lose nor overwrite each other's work. Where no file can be written, the index lives
in memory for as long as it is asked.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from chaoskit import __version__
from chaoskit.archive.examining import examined, run_directories
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.indexed import IndexedRun

INDEX_FILE = "index.sqlite"
APPLICATION_ID = 0x63686B74
LOCK_S = 60.0
"""How long one process waits for another that reads many new runs."""

_TABLES = """
CREATE TABLE runs(name TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, started_s REAL NOT NULL, outcome TEXT NOT NULL,
  title TEXT NOT NULL, path TEXT NOT NULL, lab TEXT NOT NULL, backend TEXT NOT NULL, data TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX runs_by_time ON runs(started_s, name);
CREATE TABLE tags(tag TEXT NOT NULL, run TEXT NOT NULL, PRIMARY KEY(tag, run)) WITHOUT ROWID;
"""
T = TypeVar("T")


@cache
def _version() -> int:
    """Of what is kept and how: an index that another chaoskit wrote, or tables that look otherwise, are built anew."""
    kept = json.dumps([__version__, _TABLES, IndexedRun.model_json_schema()], sort_keys=True)
    return zlib.crc32(kept.encode()) & 0x7FFFFFFF


@dataclass(frozen=True)
class Wanted:
    """Which runs; everything that is left out allows all."""

    experiments: Sequence[tuple[str, str]] | None = None
    """(title, path) of each."""
    lab: str | None = None
    backend: str | None = None
    outcomes: Sequence[str] = ()
    tags: Sequence[str] = ()
    """A run has all of them."""
    since_s: float | None = None
    until_s: float | None = None

    def condition(self) -> tuple[str, list[object]]:
        """SQL and its values."""
        parts, values = ["1"], list[object]()
        if self.experiments is not None:
            parts.append(f"({' OR '.join(['(title = ? AND path = ?)'] * len(self.experiments)) or '0'})")
            values += [part for pair in self.experiments for part in pair]
        for column, value in (("lab", self.lab), ("backend", self.backend)):
            if value is not None:
                parts.append(f"{column} = ?")
                values.append(value)
        if self.outcomes:
            parts.append(f"outcome IN ({','.join('?' * len(self.outcomes))})")
            values += self.outcomes
        for tag in self.tags:
            parts.append("name IN (SELECT run FROM tags WHERE tag = ?)")
            values.append(tag)
        for operator, instant in ((">=", self.since_s), ("<", self.until_s)):
            if instant is not None:
                parts.append(f"started_s {operator} ?")
                values.append(instant)
        return " AND ".join(parts), values


EVERYTHING = Wanted()


class Index:
    """Asked while it is open; see `opened`."""

    def __init__(self, reports: Path, anew: bool) -> None:
        self._reports = reports
        self._connection, self.note = _current(reports, anew)
        """Why nothing could be kept, where that is so."""

    def runs(self, wanted: Wanted = EVERYTHING, limit: int | None = None) -> list[IndexedRun]:
        """The newest first."""
        condition, values = wanted.condition()
        query = f"SELECT data FROM runs WHERE {condition} ORDER BY started_s DESC, name DESC LIMIT ?"
        return self._asked(query, [*values, -1 if limit is None else limit], IndexedRun.model_validate_json)

    def count(self, wanted: Wanted = EVERYTHING) -> int:
        condition, values = wanted.condition()
        return self._asked(f"SELECT count(*) FROM runs WHERE {condition}", values, int)[0]

    def named(self, name: str) -> IndexedRun | None:
        """The run of that directory."""
        return next(iter(self._asked("SELECT data FROM runs WHERE name = ?", [name], IndexedRun.model_validate_json)), None)

    def experiments(self) -> list[tuple[str, str]]:
        """(title, path) of every experiment that was run, the one that ran last first."""
        query = (
            "SELECT json_array(title, path) FROM runs WHERE title <> '' OR path <> '' "
            "GROUP BY title, path ORDER BY max(started_s) DESC, path"
        )
        return [(title, path) for title, path in self._asked(query, [], json.loads)]

    def labs(self) -> list[str]:
        return self._asked("SELECT DISTINCT lab FROM runs WHERE lab <> '' ORDER BY lab", [], str)

    def backends(self) -> list[str]:
        return self._asked("SELECT DISTINCT backend FROM runs WHERE backend <> '' ORDER BY backend", [], str)

    def tags(self) -> list[str]:
        return self._asked("SELECT DISTINCT tag FROM tags ORDER BY tag", [], str)

    def _asked(self, query: str, values: Sequence[object], read: Callable[[Any], T]) -> list[T]:
        """The first column of each row. An index whose damage shows only now is built anew, and asked again."""
        try:
            return _usable(lambda: [read(row[0]) for row in self._connection.execute(query, values)])
        except _Damaged:
            self._connection.close()
            self._connection, self.note = _current(self._reports, anew=True)
            return [read(row[0]) for row in self._connection.execute(query, values)]

    def close(self, *, keep: bool) -> None:
        try:
            if keep:
                self._connection.execute("COMMIT")
        finally:
            self._connection.close()


@contextmanager
def opened(reports: Path, *, anew: bool = False) -> Iterator[Index]:
    """The index of a folder, as its run directories are now. `anew`: read them all again.

    Until the block ends nobody else can change it, so that what is written from it (a page) is not older than what another run
    has written. InputError where the folder is not there or cannot be read.
    """
    index = Index(reports, anew)
    try:
        yield index
    except BaseException:
        index.close(keep=False)
        raise
    index.close(keep=True)


def _current(reports: Path, anew: bool) -> tuple[sqlite3.Connection, str]:
    file = reports / INDEX_FILE
    try:
        if anew:
            _throw_away(file)
        try:
            return _usable(lambda: _brought_up_to_date(str(file), reports)), ""
        except _Damaged:
            _throw_away(file)
            return _usable(lambda: _brought_up_to_date(str(file), reports)), ""
    except (_Damaged, sqlite3.OperationalError) as error:
        return _brought_up_to_date(":memory:", reports), f"{file} cannot be used ({error}): every run was read anew"


class _Damaged(Exception):
    """The file is no index, or not ours, or not of this version."""


def _usable(act: Callable[[], T]) -> T:
    try:
        return act()
    except sqlite3.OperationalError as error:
        if "no such" in str(error) or "no column" in str(error):
            raise _Damaged(str(error)) from error
        raise
    except (sqlite3.DatabaseError, ValidationError) as error:
        raise _Damaged(str(error)) from error


def _throw_away(file: Path) -> None:
    """It is rebuilt; where it cannot be removed, it cannot be written either, and memory does."""
    for name in (file, file.with_name(f"{file.name}-journal")):
        with suppress(OSError):
            name.unlink(missing_ok=True)


def _brought_up_to_date(database: str, reports: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, timeout=LOCK_S, isolation_level=None)
    try:
        connection.execute("BEGIN IMMEDIATE")
        _ready(connection)
        _synchronize(connection, reports)
    except BaseException:
        connection.close()
        raise
    return connection


def _ready(connection: sqlite3.Connection) -> None:
    """The tables, in a new file; _Damaged where the file is another's or another version's."""
    (version,), (application,) = (connection.execute(f"PRAGMA {name}").fetchone() for name in ("user_version", "application_id"))
    if (version, application) == (_version(), APPLICATION_ID):
        return
    if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise _Damaged(f"version {version} of application {application}")
    for statement in _TABLES.split(";\n"):
        connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {_version()}")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def _synchronize(connection: sqlite3.Connection, reports: Path) -> None:
    """Read what is new or changed, forget what is gone."""
    try:
        there = dict(run_directories(reports))
    except OSError as error:
        message = f"the folder of run directories cannot be read: {error.strerror}"
        raise InputError([Problem(message=message, path="--reports", value=str(reports))]) from error
    known = dict(connection.execute("SELECT name, fingerprint FROM runs"))
    gone = [(name,) for name in known if name not in there]
    changed = [name for name, mark in there.items() if known.get(name) != mark]
    stale = gone + [(name,) for name in changed if name in known]
    connection.executemany("DELETE FROM runs WHERE name = ?", stale)
    connection.executemany("DELETE FROM tags WHERE run = ?", stale)
    for name in changed:
        run = examined(reports / name)
        connection.execute(
            "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (name, there[name], run.started_s, run.outcome, *_texts(run), run.model_dump_json(exclude_defaults=True)),
        )
        connection.executemany("INSERT OR IGNORE INTO tags VALUES (?, ?)", [(tag, name) for tag in run.tags])


def _texts(run: IndexedRun) -> tuple[str, str, str, str]:
    return run.title, run.path, run.lab, run.backend
