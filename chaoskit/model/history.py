"""What a run writes down: the event record, and the tables of samples.sqlite.

Run directory: experiment.yaml, lab.yaml (as given), plan.json, environment.json, events.jsonl, samples.sqlite, undo.jsonl,
logs/<trial>/<node>/<service>.log, spool/ (each probe process writes its own SQLite file with these tables and that of
model/packed_samples.py; the recorder merges them into samples.sqlite when a trial ends), then measures.json, result.json,
report.html, report.md, junit.xml.
"""

from __future__ import annotations

from typing import Any, Literal

from chaoskit.model.record import Record

SCHEMA_VERSION = 1


class Event(Record):
    """One line of events.jsonl."""

    t_ns: int
    """CLOCK_MONOTONIC."""
    wall: str
    """ISO 8601 UTC, of the same instant."""
    trial: int | None
    kind: str
    """See EVENT_KINDS."""
    source: str
    """Who says so: engine, backend, watcher, client, person."""
    data: dict[str, Any] = {}


EVENT_KINDS = {
    "run.started": "run_id",
    "trial.started": "index, seed, injection_phase_s",
    "lab.creating": "lab_id",
    "lab.up": "took_s",
    "lab.joined": "lab_id (a lab that was up already)",
    "lab.reset": "took_s: a shared lab is as it was before the first trial",
    "lab.ready": "took_s, roles {role: [node]}",
    "client.started": "client, interval_ns (D of one probe), spacing_ns (d), deadline_ns (W), probes, window_ns (S)",
    "baseline.started": "",
    "baseline.ended": "the clean baseline is over: time 0 of the method",
    "action.waiting": "action, fault, what (it waits for), within_s",
    "action.triggered": "action, fault, what, at_ns (when it happened), details",
    "action.skipped": "action, fault, reason: it was not injected",
    "fault.preparing": "action, fault, nodes",
    "fault.injecting": "action, fault, nodes, steps",
    "fault.injected": "action, fault, nodes, began_ns, ended_ns (first step begun, last step done)",
    "fault.effect": "action, fault, verified (bool), evidence [{means, expected, seen, at_ns, holds}], effective_ns",
    "fault.healing": "action, fault, nodes, because (why now)",
    "fault.healed": "action, fault, nodes, began_ns, ended_ns",
    "fault.gone": "action, fault, verified (bool), evidence [...]",
    "fault.heal_failed": "action, fault, error",
    "role.changed": "role, node, state (yes|no|unknown), between_ns [last seen before, first seen after]",
    "address.owners": "address, name, owners [node], before [node], between_ns [last seen before, first seen after]",
    "address.announced": "address, name, owner (node), how, between_ns (bounds of the frame's arrival), vrid, priority (VRRP)",
    "log.mark": "mark, node, service, line, between_ns [not logged yet, logged]: a line that the lab's marks name",
    "watcher.observed": "watcher, what, node, detail, between_ns: what a watcher of an installed package saw",
    "service.exited": "node, service, code",
    "service.started": "node, service, pid",
    "container.died": "node, exit_code, by (chaoskit, or the engine or somebody else)",
    "container.oom": "node: the kernel killed a process of it for want of memory",
    "container.started": "node, by, then (what became of it): nobody here had asked for that",
    "container.health": "node, status (healthy|unhealthy|starting), as the engine's own check says",
    "engine.lost": "engine, why: nothing of its containers is heard until it is back",
    "engine.back": "engine",
    "clients.recovered": "",
    "recovery.timeout": "clients [name], roles (what is missing)",
    "observation.ended": "clients send no more: what lies beyond is censored",
    "ledgers.read": "",
    "abort": "reason",
    "problem": "message (something that makes figures invalid)",
    "note": "text, author, about (note|decision|follow-up), owner, retest (of a follow-up)",
    "lab.down": "took_s",
    "run.decided": "reason, carried_out, planned: no more trials are needed",
    "trial.ended": "index",
    "run.ended": "",
}
"""Kind -> the keys of its data."""

Outcome = Literal[
    "ok", "degraded", "timeout", "refused", "reset", "unreachable", "dns", "tls",
    "wrong_role", "wrong_data", "app_error", "not_sent",
]  # fmt: skip
OUTCOMES: tuple[Outcome, ...] = Outcome.__args__  # type: ignore[attr-defined]
LEDGER_OPERATION = "append"
"""What writes a token of its own each time, which is looked for again at the end."""

Certainty = Literal["ok", "fail", "info"]

SAMPLES_DDL = """
CREATE TABLE IF NOT EXISTS samples (
  trial INTEGER NOT NULL, client TEXT NOT NULL, probe INTEGER NOT NULL, class TEXT NOT NULL, operation TEXT NOT NULL,
  vantage TEXT NOT NULL, target TEXT NOT NULL, seq INTEGER NOT NULL, token TEXT,
  t_intended INTEGER NOT NULL, t_send INTEGER, t_connected INTEGER, t_first_byte INTEGER, t_end INTEGER,
  outcome TEXT NOT NULL, certainty TEXT NOT NULL, node TEXT, term TEXT, value TEXT,
  late_end INTEGER, in_flight INTEGER NOT NULL DEFAULT 0, tainted INTEGER NOT NULL DEFAULT 0, error TEXT
);
CREATE TABLE IF NOT EXISTS attempts (
  trial INTEGER NOT NULL, client TEXT NOT NULL, seq INTEGER NOT NULL, attempt INTEGER NOT NULL,
  t_send INTEGER NOT NULL, t_end INTEGER NOT NULL, waited_ns INTEGER NOT NULL,
  outcome TEXT NOT NULL, certainty TEXT NOT NULL, node TEXT, error TEXT
);
CREATE TABLE IF NOT EXISTS hiccups (
  trial INTEGER NOT NULL, worker TEXT NOT NULL, t_ns INTEGER NOT NULL, stall_ns INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS roles (
  trial INTEGER NOT NULL, role TEXT NOT NULL, node TEXT NOT NULL, t_begin INTEGER NOT NULL, t_end INTEGER NOT NULL,
  state INTEGER, detail TEXT
);
CREATE TABLE IF NOT EXISTS address_answers (
  trial INTEGER NOT NULL, address TEXT NOT NULL, t_asked INTEGER NOT NULL, t_answered INTEGER, owner TEXT
);
CREATE TABLE IF NOT EXISTS address_announcements (
  trial INTEGER NOT NULL, address TEXT NOT NULL, owner TEXT NOT NULL, mac TEXT NOT NULL, how TEXT NOT NULL,
  t_low INTEGER NOT NULL, t_high INTEGER NOT NULL, vrid INTEGER, priority INTEGER
);
CREATE TABLE IF NOT EXISTS reads (
  trial INTEGER NOT NULL, client TEXT NOT NULL, kind TEXT NOT NULL, node TEXT NOT NULL, t_ns INTEGER NOT NULL,
  token TEXT NOT NULL, copies INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS read_backs (
  trial INTEGER NOT NULL, client TEXT NOT NULL, kind TEXT NOT NULL, node TEXT NOT NULL, t_ns INTEGER NOT NULL,
  ok INTEGER NOT NULL, tokens INTEGER NOT NULL, detail TEXT
);
CREATE TABLE IF NOT EXISTS clocks (
  trial INTEGER NOT NULL, worker TEXT NOT NULL, mono_ns INTEGER NOT NULL, wall_ns INTEGER NOT NULL
);
"""
"""All instants CLOCK_MONOTONIC ns. `samples.t_end`: when the answer, error or deadline W came; `late_end`: when an answer after W
came, if it did. `roles.state`: 1 holds the role, 0 does not, NULL no answer. `address_answers` has a row for each answer to a
question who has an address, and one without an `owner` for a question that nobody answered; owners are nodes, or hardware
addresses that are no node's. Nodes' own addresses are asked for as well, to know that whoever asks is heard. `reads.kind`:
`final` (strong read on the leader), `dump` (that node's own content in the end) or `rejoined` (the same as soon as its fault was
healed); `read_backs` has one row for each of them, so that an empty or failed read is told from "all lost". `samples` has one row
a request. Of clients with a retry policy that is what became of the request in the end (`t_send` of its first attempt, outcome of
its last, certainty of all together), and `attempts` has each attempt, from 1, and the wait before it. `samples.certainty` follows
MEASUREMENT.md section 3 (ok: acknowledged; fail: surely not applied; info: unknown).
"""
