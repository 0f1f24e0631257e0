"""The SQLite side of the store: reading samples.sqlite, and merging into it what each probe process spooled."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaoskit.model.errors import RecordingFailed
from chaoskit.model.history import LEDGER_OPERATION, OUTCOMES, SAMPLES_DDL
from chaoskit.model.packed_samples import unpack_into
from chaoskit.model.recorded import AttemptSamples, Int, ReadBack, RoleSamples

SAMPLES_FILE = "samples.sqlite"
SPOOL = "spool"
TABLES = (
    "samples",
    "attempts",
    "hiccups",
    "roles",
    "address_answers",
    "address_announcements",
    "reads",
    "read_backs",
    "clocks",
)
PACKED = "packed_samples"
CERTAINTIES = ("ok", "fail", "info")
_MARKER_DDL = "CREATE TABLE IF NOT EXISTS merged (file TEXT PRIMARY KEY, inode INTEGER NOT NULL);"
_SIDE_FILES = ("", "-wal", "-shm", "-journal")
_TEXT_BUDGET_BYTES = 64 * 1024**2
"""What one fixed-width text column may take in memory; longer texts are cut in the arrays, never in the file."""


def merge_spool(run_dir: Path) -> int:
    """Move every spool/*.sqlite into samples.sqlite; returns how many files were merged.

    Call it once the processes that write the files have ended. A file is removed only after its rows were committed; a
    merge that was killed at any instant may be repeated: no row is lost or kept twice. RecordingFailed, naming the file,
    where one cannot be merged; the others are merged first, and that file is kept.
    """
    spool = run_dir / SPOOL
    failed: list[str] = []
    merged = 0
    try:
        with closing(sqlite3.connect(run_dir / SAMPLES_FILE, isolation_level=None)) as base:
            base.executescript(f"BEGIN;{SAMPLES_DDL}{_MARKER_DDL}COMMIT;")  # one wait for the disk, not one for each table
            _sweep_merged(base, spool)
            for file in _spool_files(run_dir):
                try:
                    _merge_file(base, file)
                    merged += 1
                except sqlite3.Error as error:
                    failed.append(f"{file} could not be merged: {error}")
    except (sqlite3.Error, OSError) as error:
        raise RecordingFailed(f"{run_dir / SAMPLES_FILE} could not be written: {error}") from error
    if failed:
        raise RecordingFailed("; ".join(failed) + ". The files are kept; free space or repair them and measure again.")
    return merged


def _spool_files(run_dir: Path) -> list[Path]:
    return sorted((run_dir / SPOOL).glob("*.sqlite"))


def _merge_file(base: sqlite3.Connection, file: Path) -> None:
    base.execute("ATTACH ? AS spooled", (str(file),))
    try:
        base.execute("BEGIN IMMEDIATE")
        try:
            there = {name for (name,) in base.execute("SELECT name FROM spooled.sqlite_master WHERE type = 'table'")}
            for table in TABLES:
                if table in there:
                    columns = ", ".join(_columns(base, table))
                    base.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM spooled.{table} ORDER BY rowid")
            if PACKED in there:
                unpack_into(base, "spooled")
            base.execute("INSERT INTO merged VALUES (?, ?)", (file.name, file.stat().st_ino))
            base.execute("COMMIT")
        except BaseException:
            base.execute("ROLLBACK")
            raise
    finally:
        base.execute("DETACH spooled")
    _remove(file)
    base.execute("DELETE FROM merged WHERE file = ?", (file.name,))


def _columns(base: sqlite3.Connection, table: str) -> list[str]:
    return [row[1] for row in base.execute(f"PRAGMA main.table_info({table})")]


def _remove(file: Path) -> None:
    for suffix in reversed(_SIDE_FILES):
        file.with_name(file.name + suffix).unlink(missing_ok=True)


def _sweep_merged(base: sqlite3.Connection, spool: Path) -> None:
    """Finish what a killed merge left: its rows are in, its file is not yet gone."""
    for name, inode in base.execute("SELECT file, inode FROM merged").fetchall():
        file = spool / name
        if file.exists() and file.stat().st_ino == inode:
            _remove(file)
        base.execute("DELETE FROM merged WHERE file = ?", (name,))


@dataclass(frozen=True, slots=True, eq=False)
class SampleColumns:
    """One client's rows of `samples`, sorted by intended instant, in columns."""

    probe: Int
    t_intended: Int
    t_send: Int
    t_connected: Int
    t_first_byte: Int
    t_end: Int
    late_end: Int
    tainted: NDArray[np.bool_]
    outcome: NDArray[np.str_]
    certainty: NDArray[np.str_]
    node: NDArray[np.str_]
    token: NDArray[np.str_]
    value: NDArray[np.str_]
    error: NDArray[np.str_]
    labels: dict[str, str]
    """What is the same in every row: class, operation, vantage, target."""

    def __len__(self) -> int:
        return len(self.t_intended)


_INSTANTS = ("t_send", "t_connected", "t_first_byte", "t_end", "late_end")
_NUMBERS = 3 + len(_INSTANTS)
"""rowid, codes, t_intended, and the instants: what costs time is how many numbers become objects of Python."""
_LABELS = ("class", "operation", "vantage", "target")


class SampleFiles:
    """samples.sqlite and every spool file that is not in it yet, read as one. Nothing is written."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        self.problems: list[str] = []
        """Files that could not be read, for the figures' reasons."""
        self._sources: list[sqlite3.Connection] = []

    @classmethod
    @contextmanager
    def open(cls, run_dir: Path) -> Iterator[SampleFiles]:
        files = cls(run_dir)
        try:
            files._open_all()
            yield files
        finally:
            for source in files._sources:
                source.close()

    def _open_all(self) -> None:
        base = self.run_dir / SAMPLES_FILE
        already: set[tuple[str, int]] = set()
        if base.exists():
            source = self._open_one(base)
            if source is not None and _has_table(source, "merged"):
                already = {(name, inode) for name, inode in source.execute("SELECT file, inode FROM merged")}
        for file in _spool_files(self.run_dir):
            if (file.name, file.stat().st_ino) not in already:
                self._open_one(file)

    def _open_one(self, file: Path) -> sqlite3.Connection | None:
        # A file whose writer was killed needs its log replayed, which wants write access; a read-only copy of a run has none.
        failure: sqlite3.Error | None = None
        for uri in (file.absolute().as_uri(), f"{file.absolute().as_uri()}?immutable=1"):
            source = sqlite3.connect(uri, uri=True)
            try:
                whole = _whole(source)
            except sqlite3.Error as error:
                failure = error
                source.close()
                continue
            self._sources.append(whole)
            return whole
        self.problems.append(f"{file.name} could not be read ({failure}): what it held is missing")
        return None

    def rows(self, table: str, select: str, where: str, parameters: Sequence[Any], then: str = "") -> list[tuple[Any, ...]]:
        """Rows of every file. `select`, `where` and `then` are SQL fragments of this module, never input."""
        found: list[tuple[Any, ...]] = []
        for source in self._sources:
            if _has_table(source, table):
                found.extend(source.execute(f"SELECT {select} FROM {table} WHERE {where} {then}", tuple(parameters)))
        return found

    def clients(self, trial: int) -> tuple[str, ...]:
        """Clients with samples in a trial, sorted."""
        return tuple(sorted({name for (name,) in self.rows("samples", "DISTINCT client", "trial = ?", (trial,))}))

    def samples(self, trial: int, client: str) -> SampleColumns:
        """All attempts of one client in one trial."""
        parts = [_client_columns(s, trial, client) for s in self._sources if _has_table(s, "samples")]
        return _joined([p for p in parts if len(p)] or [_client_columns(None, trial, client)])

    def attempts(self, trial: int, client: str) -> AttemptSamples:
        """Every attempt of a client with a policy whose request was recorded. Empty in runs of versions without policies."""
        key = (trial, client)
        due = dict(self.rows("samples", "seq, t_intended", _WHERE, key))
        columns = "seq, attempt, t_send, t_end, waited_ns, outcome, certainty, ifnull(node, '')"
        found = [row for row in self.rows("attempts", columns, _WHERE, key) if row[0] in due]
        found.sort(key=lambda row: (row[2], row[0], row[1]))
        numbers = np.array([(due[row[0]], *row[1:5]) for row in found], dtype=np.int64).reshape(-1, 5)
        words = np.array([row[5:] for row in found], dtype=np.str_).reshape(-1, 3)
        if not np.isin(words[:, 0], OUTCOMES).all() or not np.isin(words[:, 1], CERTAINTIES).all():
            raise RecordingFailed(_FROM_ELSEWHERE.format(what=f"attempts of {client} in trial {trial}"))
        intended, number, send, end, waited = (np.ascontiguousarray(c) for c in numbers.T)
        return AttemptSamples(intended, number, send, end, waited, words[:, 0], words[:, 1], words[:, 2])

    def hiccups(self, trial: int) -> Int:
        """Rows of (instant, stall), by time."""
        found = sorted(self.rows("hiccups", "t_ns, stall_ns", "trial = ?", (trial,)))
        return np.array(found, dtype=np.int64).reshape(-1, 2)

    def roles(self, trial: int) -> tuple[RoleSamples, ...]:
        """Role samples by (role, node), each by time."""
        found = sorted(
            self.rows("roles", "role, node, t_begin, t_end, ifnull(state, -1)", "trial = ?", (trial,)),
            key=lambda r: (r[0], r[1], r[2], r[3]),
        )
        by_key: dict[tuple[str, str], list[tuple[int, int, int]]] = {}
        for role, node, begin, end, state in found:
            by_key.setdefault((role, node), []).append((begin, end, state))
        made = []
        for (role, node), rows in by_key.items():
            table = np.array(rows, dtype=np.int64)
            made.append(RoleSamples(role, node, table[:, 0].copy(), table[:, 1].copy(), table[:, 2].astype(np.int8)))
        return tuple(made)

    def read_backs(self, trial: int) -> tuple[ReadBack, ...]:
        """Every read of a ledger, by (client, kind, node, time)."""
        copies: dict[tuple[str, str, str, int], dict[str, int]] = {}
        for client, kind, node, t_ns, token, count in self.rows(
            "reads", "client, kind, node, t_ns, token, copies", "trial = ?", (trial,)
        ):
            copies.setdefault((client, kind, node, t_ns), {})[token] = count
        made = []
        for client, kind, node, t_ns, ok, tokens, detail in sorted(
            self.rows("read_backs", "client, kind, node, t_ns, ok, tokens, ifnull(detail, '')", "trial = ?", (trial,))
        ):
            found = copies.get((client, kind, node, t_ns), {})
            present = sum(found.values())
            if ok and present != tokens:  # the writer was killed between the header and its rows, or rows were lost
                ok, detail = 0, f"{present} of {tokens} tokens were recorded"
            made.append(ReadBack(client, kind, node, t_ns, bool(ok), dict(sorted(found.items())), detail))
        return tuple(made)


def _whole(source: sqlite3.Connection) -> sqlite3.Connection:
    """The same, with what a probe handed on by the thousand as rows; in memory, since reading writes nothing."""
    if not _has_table(source, PACKED) or source.execute(f"SELECT 1 FROM {PACKED} LIMIT 1").fetchone() is None:
        return source
    whole = sqlite3.connect(":memory:")
    try:
        source.backup(whole)
        unpack_into(whole, "main")
    except sqlite3.Error:
        whole.close()
        raise
    source.close()
    return whole


def _has_table(source: sqlite3.Connection, table: str) -> bool:
    return source.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone() is not None


_WHERE = "trial = ? AND client = ?"


def _client_columns(source: sqlite3.Connection | None, trial: int, client: str) -> SampleColumns:
    """One file's rows of one client. Numbers come row by row in one pass; texts that repeat are fetched as codes."""
    key = (trial, client)
    nodes, labels = [""], dict[str, str]()
    numbers = np.empty((0, _NUMBERS), dtype=np.int64)
    token = value = error = np.empty(0, dtype="U1")
    if source is not None:
        nodes += sorted(n for (n,) in source.execute(f"SELECT DISTINCT node FROM samples WHERE {_WHERE}", key) if n)
        numbers = _numbers(source, nodes, key)
        first = source.execute(f"SELECT {', '.join(_LABELS)} FROM samples WHERE {_WHERE} LIMIT 1", key).fetchone()
        labels = dict(zip(_LABELS, first, strict=True)) if first else {}
        token = np.zeros(len(numbers), dtype="U1")
        if labels.get("operation") == LEDGER_OPERATION:
            token = np.array([t for (t,) in source.execute(f"SELECT ifnull(token, '') FROM samples WHERE {_WHERE}", key)])
        value = _sparse_text(source, "value", key, numbers[:, 0])
        error = _sparse_text(source, "error", key, numbers[:, 0])
    if np.any(numbers[:, 1] & 15 == _UNKNOWN_OUTCOME) or np.any(numbers[:, 1] >> 4 & 3 == _UNKNOWN_CERTAINTY):
        raise RecordingFailed(_FROM_ELSEWHERE.format(what=f"samples of {client} in trial {trial}"))
    order = _order(numbers[:, 1] >> _PROBE_BITS, numbers[:, 2])
    _, codes, intended, send, connected, first_byte, end, late = (np.ascontiguousarray(c[order]) for c in numbers.T)
    return SampleColumns(
        probe=codes >> _PROBE_BITS,
        t_intended=intended,
        t_send=send,
        t_connected=connected,
        t_first_byte=first_byte,
        t_end=end,
        late_end=late,
        tainted=(codes & 64) != 0,
        outcome=np.array(OUTCOMES)[codes & 15],
        certainty=np.array(CERTAINTIES)[(codes >> 4) & 3],
        node=np.array(nodes)[codes >> 7 & _NODE_MASK],
        token=token[order],
        value=value[order],
        error=error[order],
        labels=labels,
    )


_FROM_ELSEWHERE = (
    "{what} have an outcome or certainty that this version does not know; "
    "measure the run with the version that recorded it, or a later one"
)
_UNKNOWN_OUTCOME = 15
_UNKNOWN_CERTAINTY = 3
_PROBE_BITS = 32
_NODE_MASK = (1 << _PROBE_BITS - 7) - 1


def _numbers(source: sqlite3.Connection, nodes: list[str], key: tuple[int, str]) -> Int:
    """Rows of (rowid, codes, t_intended, the instants). Codes: outcome + 16 certainty + 64 tainted + 128 node + 2^32 probe."""
    outcome = " ".join(f"WHEN '{word}' THEN {code}" for code, word in enumerate(OUTCOMES))
    certainty = " ".join(f"WHEN '{word}' THEN {code}" for code, word in enumerate(CERTAINTIES))
    node = " ".join(f"WHEN ? THEN {128 * code}" for code in range(1, len(nodes)))
    code = (
        f"(CASE outcome {outcome} ELSE {_UNKNOWN_OUTCOME} END) + 16 * (CASE certainty {certainty} ELSE {_UNKNOWN_CERTAINTY} END)"
    )
    code += f" + 64 * (tainted != 0) + (probe << {_PROBE_BITS})" + (f" + (CASE node {node} ELSE 0 END)" if node else "")
    instants = ", ".join(f"ifnull({name}, -1)" for name in _INSTANTS)
    rows = source.execute(f"SELECT rowid, {code}, t_intended, {instants} FROM samples WHERE {_WHERE}", (*nodes[1:], *key))
    return np.fromiter(chain.from_iterable(rows), dtype=np.int64).reshape(-1, _NUMBERS)


def _sparse_text(source: sqlite3.Connection, column: str, key: tuple[int, str], rowids: Int) -> NDArray[np.str_]:
    """A text column that is empty in most rows, as wide as its longest text and the memory budget allow."""
    found = source.execute(
        f"SELECT rowid, {column} FROM samples WHERE {_WHERE} AND {column} IS NOT NULL AND {column} != ''", key
    ).fetchall()
    if not found:
        return np.zeros(len(rowids), dtype="U1")
    widest = max(len(str(text)) for _, text in found)
    width = min(widest, max(16, _TEXT_BUDGET_BYTES // (4 * len(rowids))))
    texts = np.zeros(len(rowids), dtype=f"U{width}")
    by_rowid = np.argsort(rowids, kind="stable")
    places = by_rowid[np.searchsorted(rowids[by_rowid], [rowid for rowid, _ in found])]
    texts[places] = [str(text)[:width] for _, text in found]
    return texts


def _order(probe: Int, intended: Int) -> NDArray[np.intp] | slice:
    """Sorts by intended instant, then probe; a slice (no copy) where the rows lie so already."""
    step = np.diff(intended)
    if np.all((step > 0) | ((step == 0) & (np.diff(probe) >= 0))):
        return slice(None)
    return np.lexsort((probe, intended))


def _joined(parts: list[SampleColumns]) -> SampleColumns:
    if len(parts) == 1:
        return parts[0]
    names = [n for n in SampleColumns.__slots__ if n != "labels"]
    together = {n: np.concatenate([getattr(p, n) for p in parts]) for n in names}
    order = _order(together["probe"], together["t_intended"])
    return SampleColumns(**{n: column[order] for n, column in together.items()}, labels=parts[0].labels)
