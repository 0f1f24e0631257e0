"""Writes synthetic trials as a run directory, the way the recorder and the probes do."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from chaoskit.model.history import SAMPLES_DDL, Event
from chaoskit.model.packed_samples import PACKED_DDL, PACKED_ROW, Fate, PackedClient, packed
from chaoskit.model.plan import Plan
from chaoskit.model.recorded import MISSING, ClientSamples, FaultRecord, TrialRecord
from tests.measures.recorded import ENDED_S, event, ns


def _null(instant: int) -> int | None:
    return None if instant == MISSING else instant


def sample_rows(trial: int, c: ClientSamples) -> list[tuple[Any, ...]]:
    """Rows of `samples`, in the table's order."""
    columns = zip(
        c.probe.tolist(), c.token.tolist(), c.t_intended.tolist(), c.t_send.tolist(), c.t_connected.tolist(),
        c.t_first_byte.tolist(), c.t_end.tolist(), c.outcome.tolist(), c.certainty.tolist(), c.node.tolist(),
        c.value.tolist(), c.late_end.tolist(), c.tainted.tolist(), c.error.tolist(),
        strict=True,
    )  # fmt: skip
    return [
        (
            trial, c.client, probe, c.client_class, c.operation, c.vantage, c.target, seq, token or None, q, _null(s), _null(con),
            _null(first), _null(end), outcome, certainty, node or None, None, value or None, _null(late), 0, int(taint),
            error or None,
        )
        for seq, (probe, token, q, s, con, first, end, outcome, certainty, node, value, late, taint, error) in enumerate(columns)
    ]  # fmt: skip


def attempt_rows(trial: int, c: ClientSamples) -> list[tuple[Any, ...]]:
    """Rows of `attempts`; none of a client without a policy."""
    if c.attempts is None:
        return []
    a, numbers = c.attempts, {t: seq for seq, t in enumerate(c.t_intended.tolist())}
    columns = (a.t_intended, a.number, a.t_send, a.t_end, a.waited_ns, a.outcome, a.certainty, a.node)
    return [
        (trial, c.client, numbers[due], number, send, end, waited, outcome, certainty, node or None, None)
        for due, number, send, end, waited, outcome, certainty, node in zip(*(x.tolist() for x in columns), strict=True)
    ]


def write_database(file: Path, record: TrialRecord, clients: Sequence[ClientSamples], *, rest: bool = True) -> None:
    """One SQLite file with these clients' samples and, with `rest`, the roles, reads and hiccups of the trial."""
    file.parent.mkdir(parents=True, exist_ok=True)
    t = record.index
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(SAMPLES_DDL)
        for c in clients:
            db.executemany(f"INSERT INTO samples VALUES ({', '.join('?' * 23)})", sample_rows(t, c))
            db.executemany(f"INSERT INTO attempts VALUES ({', '.join('?' * 11)})", attempt_rows(t, c))
        if rest:
            for r in record.roles:
                rows = zip(r.t_begin.tolist(), r.t_end.tolist(), r.state.tolist(), strict=True)
                db.executemany(
                    "INSERT INTO roles VALUES (?, ?, ?, ?, ?, ?, NULL)",
                    [(t, r.role, r.node, begin, end, None if state == -1 else state) for begin, end, state in rows],
                )
            for b in record.read_backs:
                db.execute(
                    "INSERT INTO read_backs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                    (t, b.client, b.kind, b.node, b.t_ns, int(b.ok), sum(b.copies.values()), b.detail or None),
                )
                db.executemany(
                    "INSERT INTO reads VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(t, b.client, b.kind, b.node, b.t_ns, token, copies) for token, copies in b.copies.items()],
                )
            db.executemany("INSERT INTO hiccups VALUES (?, 'probe', ?, ?)", [(t, *row) for row in record.hiccups_ns.tolist()])
        db.commit()


def pack_samples(file: Path, probes: int) -> None:
    """What the file holds of `samples` as a probe on bare sockets hands it on: 100 attempts at a time."""
    with closing(sqlite3.connect(file)) as db, db:
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(PACKED_DDL)
        rows = db.execute("SELECT * FROM samples ORDER BY rowid").fetchall()
        for first in range(0, len(rows), 100):
            db.execute("INSERT INTO packed_samples VALUES (?, ?, ?)", packed_rows(rows[first : first + 100], probes))
        db.execute("DELETE FROM samples")


def packed_rows(rows: Sequence[tuple[Any, ...]], probes: int) -> tuple[str, str, bytes]:
    """Rows of `samples` as one of `packed_samples`."""
    trial, client, _, *between = rows[0][:7]
    fates: dict[Fate, int] = {}
    made = []
    for row in rows:
        fate = (row[14], row[15], row[16], row[18], row[22])
        instants = [-1 if t is None else t for t in (*row[9:14], row[19])]
        made.append(PACKED_ROW.pack(row[7], *instants, row[20], fates.setdefault(fate, len(fates)), row[21]))
    token = (rows[0][8] or "").removesuffix(str(rows[0][7]))
    return packed(PackedClient(trial, client, *between, probes, token), fates, made)


def fault_events(fault: FaultRecord, trial: int) -> list[Event]:
    """What the engine writes about one fault."""
    common = {"action": fault.action, "fault": fault.fault, "nodes": list(fault.nodes)}
    made = [
        ("fault.injecting", fault.began_ns, {"steps": []}),
        ("fault.injected", fault.injected_ns, {"began_ns": fault.began_ns, "ended_ns": fault.injected_ns}),
        (
            "fault.effect",
            fault.injected_ns,
            {"verified": fault.verified, "evidence": [{"means": "db1 is off"}], "effective_ns": fault.effective_ns},
        ),
    ]
    if fault.heal_began_ns is not None:
        made += [
            ("fault.healing", fault.heal_began_ns, {}),
            ("fault.healed", fault.healed_ns, {"began_ns": fault.heal_began_ns, "ended_ns": fault.healed_ns}),
            ("fault.gone", fault.healed_ns, {"verified": fault.gone, "evidence": []}),
        ]
    return [event((t_ns - ns(0)) / 1e9, kind, trial, **common, **data) for kind, t_ns, data in made if t_ns is not None]


def trial_events(record: TrialRecord) -> list[Event]:
    """The events of one trial."""
    t = record.index
    started = [
        event(
            -35, "client.started", t, client=c.client, interval_ns=c.interval_ns, spacing_ns=c.spacing_ns,
            deadline_ns=c.deadline_ns, probes=int(c.interval_ns // c.spacing_ns), window_ns=c.window_ns,
        )
        for c in record.clients.values()
    ]  # fmt: skip
    return [
        event(-40, "trial.started", t, index=t, seed=t),
        *started,
        event(-30, "baseline.started", t),
        event(0, "baseline.ended", t),
        *(e for f in record.faults for e in fault_events(f, t)),
        *(event(50, "problem", t, message=p) for p in record.problems),
        event(ENDED_S, "observation.ended", t),
        event(70, "trial.ended", t, index=t),
    ]


def write_run(run_dir: Path, plan: Plan, *records: TrialRecord, ended: bool = True, spooled: bool = False) -> Path:
    """A whole run directory. `spooled`: nothing was merged yet, each client's rows lie in a file of their own."""
    run_dir.mkdir(parents=True, exist_ok=True)
    (run_dir / "plan.json").write_text(plan.model_dump_json(by_alias=True))
    events = [event(-41, "run.started", None, run_id="20260131-115919-synthetic-0000")]
    for record in records:
        events += trial_events(record)
        if spooled:
            write_database(run_dir / "spool" / f"{record.index}-watcher.sqlite", record, ())
            for c in record.clients.values():
                write_database(run_dir / "spool" / f"{record.index}-{c.client}.sqlite", record, (c,), rest=False)
        else:
            write_database(run_dir / "samples.sqlite", record, tuple(record.clients.values()))
    if ended:
        events.append(event(71, "run.ended", None))
    (run_dir / "events.jsonl").write_text("".join(e.model_dump_json() + "\n" for e in events))
    return run_dir
