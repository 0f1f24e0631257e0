"""Reads samples.sqlite for pictures: one pass over the table, integers only, split by trial and client with numpy."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from chaoskit.model.figures import RoleInterval
from chaoskit.model.history import LEDGER_OPERATION, OUTCOMES
from chaoskit.reporting.view import DEGRADED, DOWN, INVALID, OK, ClientSeries, ErrorText, Float, Int

LATE = len(OUTCOMES)
"""Stands behind the outcomes: answered correctly, but after the deadline W."""
OUTCOME_NAMES: tuple[str, ...] = (*OUTCOMES, "late")
_UNKNOWN_OUTCOME = OUTCOMES.index("app_error")
_CHUNK_ROWS = 100_000
_MESSAGES_MAX = 400
MESSAGES_A_CLIENT = 8


@dataclass(frozen=True, slots=True)
class ClientMeta:
    """What plan.json and the events say of a client."""

    deadline_s: float | None = None
    slo_s: float | None = None


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is the same in all of a client's rows."""

    name: str
    client_class: str
    operation: str
    target: str


@dataclass(frozen=True, slots=True, eq=False)
class Recorded:
    """The tables, still in CLOCK_MONOTONIC ns. Columns of `rows`: trial, client, t_intended, t_end, outcome, tainted, acked."""

    kinds: tuple[_Kind, ...]
    rows: Int
    ledgers: frozenset[str]
    messages: Mapping[tuple[int, str], tuple[ErrorText, ...]]
    roles: Mapping[int, tuple[tuple[str, str, int, int, int], ...]]
    """Trial -> (role, node, t_begin, t_end, state); state -1 where there was no answer."""

    def trials(self) -> tuple[int, ...]:
        return tuple(int(t) for t in np.unique(self.rows[:, 0]))

    def bounds_ns(self, trial: int) -> tuple[int, int] | None:
        """First intended and last ended instant of a trial; None where it has no samples."""
        rows = self.rows[self.rows[:, 0] == trial]
        return (int(rows[:, 2].min()), int(max(rows[:, 2].max(), rows[:, 3].max()))) if len(rows) else None


NOTHING = Recorded(kinds=(), rows=np.empty((0, 7), dtype=np.int64), ledgers=frozenset(), messages={}, roles={})


def recorded_samples(path: Path) -> Recorded:
    """Everything that pictures need from samples.sqlite. sqlite3.Error where it cannot be read."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as db:
        tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if "samples" not in tables:
            return NOTHING
        kinds = _kinds(db)
        backs = {name for (name,) in db.execute("SELECT DISTINCT client FROM read_backs")} if "read_backs" in tables else set()
        return Recorded(
            kinds=kinds,
            rows=_rows(db, kinds),
            ledgers=frozenset(backs | {k.name for k in kinds if k.operation == LEDGER_OPERATION}),
            messages=_messages(db),
            roles=_roles(db) if "roles" in tables else {},
        )


def _kinds(db: sqlite3.Connection) -> tuple[_Kind, ...]:
    # A bare column beside min() comes from the row that has the minimum: one scan, one row a client.
    found = db.execute(
        "SELECT client, class, operation, target, min(t_intended) FROM samples GROUP BY client ORDER BY client"
    ).fetchall()
    return tuple(_Kind(str(name), str(kind), str(operation), str(target)) for name, kind, operation, target, _ in found)


def _rows(db: sqlite3.Connection, kinds: tuple[_Kind, ...]) -> Int:
    if not kinds:
        return NOTHING.rows
    clients = " ".join("WHEN ? THEN %d" % i for i in range(len(kinds)))  # noqa: UP031
    outcomes = " ".join("WHEN '%s' THEN %d" % pair for pair in zip(OUTCOMES, range(LATE), strict=True))  # noqa: UP031
    cursor = db.execute(
        f"SELECT trial, CASE client {clients} ELSE -1 END, t_intended, ifnull(t_end, -1),"
        f" CASE outcome {outcomes} ELSE {_UNKNOWN_OUTCOME} END, tainted, certainty = 'ok' FROM samples",
        [k.name for k in kinds],
    )
    chunks: list[Int] = []
    while chunk := cursor.fetchmany(_CHUNK_ROWS):
        chunks.append(np.array(chunk, dtype=np.int64))
    return np.concatenate(chunks) if chunks else NOTHING.rows


def _messages(db: sqlite3.Connection) -> dict[tuple[int, str], tuple[ErrorText, ...]]:
    found: defaultdict[tuple[int, str], list[ErrorText]] = defaultdict(list)
    query = (
        "SELECT trial, client, outcome, substr(error, 1, 300) AS message, count(*) AS times FROM samples"
        " WHERE error IS NOT NULL AND error != '' AND outcome NOT IN ('ok', 'degraded')"
        " GROUP BY trial, client, outcome, message ORDER BY times DESC, trial, client, outcome, message LIMIT ?"
    )
    for trial, client, outcome, message, times in db.execute(query, (_MESSAGES_MAX,)):
        mine = found[(int(trial), str(client))]
        if len(mine) < MESSAGES_A_CLIENT:
            mine.append(ErrorText(str(outcome), str(message), int(times)))
    return {key: tuple(texts) for key, texts in found.items()}


def _roles(db: sqlite3.Connection) -> dict[int, tuple[tuple[str, str, int, int, int], ...]]:
    found: defaultdict[int, list[tuple[str, str, int, int, int]]] = defaultdict(list)
    query = "SELECT trial, role, node, t_begin, t_end, ifnull(state, -1) FROM roles ORDER BY trial, role, node, t_begin"
    for trial, role, node, begin, end, state in db.execute(query):
        found[int(trial)].append((str(role), str(node), int(begin), int(end), int(state)))
    return {trial: tuple(rows) for trial, rows in found.items()}


def client_series(recorded: Recorded, trial: int, zero_ns: int, meta: Mapping[str, ClientMeta]) -> tuple[ClientSeries, ...]:
    """One trial's clients, in order of name."""
    mine = recorded.rows[recorded.rows[:, 0] == trial]
    series: list[ClientSeries] = []
    for index, kind in enumerate(recorded.kinds):
        rows = mine[mine[:, 1] == index]
        if not len(rows):
            continue
        rows = rows[np.argsort(rows[:, 2], kind="stable")]
        about = meta.get(kind.name, ClientMeta())
        latency = np.where(rows[:, 3] >= 0, (rows[:, 3] - rows[:, 2]) / 1e9, np.nan)
        outcome = rows[:, 4].astype(np.int8)
        good = (outcome == OUTCOMES.index("ok")) | (outcome == OUTCOMES.index("degraded"))
        if about.deadline_s is not None:
            outcome[good & (latency > about.deadline_s)] = LATE
        ledger = kind.name in recorded.ledgers
        acknowledged = rows[(rows[:, 6] == 1) & (rows[:, 3] >= 0)][:, 3] if ledger else np.empty(0, dtype=np.int64)
        series.append(
            ClientSeries(
                name=kind.name,
                client_class=kind.client_class,
                operation=kind.operation,
                target=kind.target,
                deadline_s=about.deadline_s,
                slo_s=about.slo_s,
                is_ledger=ledger,
                t_s=(rows[:, 2] - zero_ns) / 1e9,
                latency_s=latency,
                state=_state(outcome, latency, rows[:, 5] != 0, about.slo_s),
                outcome=outcome,
                acknowledged_s=np.sort(acknowledged - zero_ns) / 1e9,
                messages=recorded.messages.get((trial, kind.name), ()),
            )
        )
    return tuple(series)


def _state(outcome: np.ndarray, latency: Float, tainted: np.ndarray, slo_s: float | None) -> np.ndarray:
    """What each attempt was to its user. A tainted attempt says nothing; so does one that was never sent."""
    state = np.full(len(outcome), DOWN, dtype=np.int8)
    state[outcome == OUTCOMES.index("ok")] = OK
    state[outcome == OUTCOMES.index("degraded")] = DEGRADED
    if slo_s is not None:
        state[(state == OK) & (latency > slo_s)] = DEGRADED
    state[(outcome == OUTCOMES.index("not_sent")) | tainted] = INVALID
    return state


def role_intervals(recorded: Recorded, trial: int, zero_ns: int) -> tuple[RoleInterval, ...]:
    """Runs of equal answers from the role samples, each from its first to its last: what lies between two is uncertain."""
    names = {1: "yes", 0: "no", -1: "unknown"}
    intervals: list[RoleInterval] = []
    run: tuple[str, str, int, int, int] | None = None
    for row in (*recorded.roles.get(trial, ()), None):
        if run is not None and row is not None and (row[0], row[1], row[4]) == (run[0], run[1], run[4]):
            run = (run[0], run[1], run[2], row[3], run[4])
            continue
        if run is not None:
            intervals.append(
                RoleInterval.model_validate(
                    {
                        "role": run[0],
                        "node": run[1],
                        "state": names.get(run[4], "unknown"),
                        "from_s": (run[2] - zero_ns) / 1e9,
                        "until_s": (run[3] - zero_ns) / 1e9,
                    }
                )
            )
        run = row
    return tuple(intervals)
