"""The reading side of the store: a run directory as recorded trials. Reads only; the same directory gives the same records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from chaoskit.engine.address_store import address_samples
from chaoskit.engine.recorded_plan import read_plan
from chaoskit.engine.sample_store import SampleColumns, SampleFiles, merge_spool
from chaoskit.model.errors import RecordingFailed
from chaoskit.model.experiment import Prober, probers
from chaoskit.model.history import Event
from chaoskit.model.plan import Plan
from chaoskit.model.record import first_misfit
from chaoskit.model.recorded import MISSING, ClientSamples, FaultRecord, TrialRecord

__all__ = ["merge_spool", "read_events", "read_plan", "read_run"]

EVENTS_FILE = "events.jsonl"
LEAST_WINDOW_NS = 5_000_000_000


def read_events(run_dir: Path) -> tuple[Event, ...]:
    """events.jsonl in the order written. A last line cut short by a kill is left out; any other bad line is RecordingFailed."""
    file = run_dir / EVENTS_FILE
    if not file.exists():
        return ()
    lines = file.read_bytes().split(b"\n")
    # Whatever follows the last newline was never finished, even where it happens to parse.
    lines.pop()
    events = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            events.append(Event.model_validate_json(line))
        except ValidationError as error:
            if number == len(lines):
                break
            raise RecordingFailed(
                f"{file}:{number}: not an event: {first_misfit(error)}. The record is damaged; no figure is made from it."
            ) from error
    return tuple(events)


def read_run(run_dir: Path, only: int | None = None) -> Iterator[TrialRecord]:
    """Every trial that was started, in order, or only one. Only one trial's samples are in memory at a time.

    InputError where `run_dir` is no run directory, RecordingFailed where its record is damaged.
    """
    plan = read_plan(run_dir)
    events = read_events(run_dir)
    with SampleFiles.open(run_dir) as files:
        for index in sorted(
            {e.trial for e in events if e.trial is not None and e.kind == "trial.started" and only in (None, e.trial)}
        ):
            yield _trial(plan, index, [e for e in events if e.trial == index], files)


def _trial(plan: Plan, index: int, events: Sequence[Event], files: SampleFiles) -> TrialRecord:
    first = {kind: e.t_ns for e in reversed(events) for kind in (e.kind,)}
    known = probers(plan.experiment.clients)
    names = sorted({*files.clients(index), *(e.data["client"] for e in events if e.kind == "client.started")})
    clients = {}
    problems = [str(e.data.get("message", "")) for e in events if e.kind == "problem"]
    for name in names:
        if name not in known:
            problems.append(f"there are samples of a client {name!r} that the plan does not know")
            continue
        started = next((e.data for e in events if e.kind == "client.started" and e.data.get("client") == name), {})
        client = _client(known[name], started, files.samples(index, name))
        clients[name] = client if client.policy is None else replace(client, attempts=files.attempts(index, name))
    return TrialRecord(
        index=index,
        plan=plan,
        started_ns=first["trial.started"],
        baseline_began_ns=first.get("baseline.started"),
        baseline_ended_ns=first.get("baseline.ended"),
        ended_ns=_ended_ns(events, clients),
        events=tuple(events),
        clients=clients,
        roles=files.roles(index),
        addresses=address_samples(files, index, plan),
        read_backs=files.read_backs(index),
        faults=_faults(events),
        hiccups_ns=files.hiccups(index),
        problems=tuple(problems + files.problems),
    )


def _ended_ns(events: Sequence[Event], clients: dict[str, ClientSamples]) -> int:
    """The last instant of observation: as the engine says; where it never got there, the last attempt, or the last event."""
    said = [e.t_ns for e in events if e.kind == "observation.ended"]
    if said:
        return said[0]
    observed = [int(np.max(c.t_send)) for c in clients.values() if len(c.t_send) and np.max(c.t_send) != MISSING]
    return max(observed) if observed else max(e.t_ns for e in events)


def _client(prober: Prober, started: dict[str, Any], columns: SampleColumns) -> ClientSamples:
    spec = prober.spec
    probes = int(started.get("probes") or spec.probes or 1)
    interval_ns = int(started.get("interval_ns") or round(probes * 1e9 / float(spec.rate)))
    deadline_ns = int(started.get("deadline_ns") or spec.request_deadline.ns)
    slo_ns = spec.slo.ns if spec.slo is not None else None
    answered = np.isin(columns.outcome, ("ok", "degraded")) & (columns.t_end != MISSING)
    return ClientSamples(
        client=prober.label,
        type=spec.type,
        client_class=columns.labels.get("class", spec.client_class),
        operation=columns.labels.get("operation", spec.operation),
        vantage=columns.labels.get("vantage", prober.place or ""),
        target=columns.labels.get("target", spec.endpoint or spec.target or ""),
        interval_ns=interval_ns,
        spacing_ns=int(started.get("spacing_ns") or interval_ns // probes),
        deadline_ns=deadline_ns,
        window_ns=int(started.get("window_ns") or max(LEAST_WINDOW_NS, 10 * interval_ns, 2 * spec.deadline.ns)),
        slo_ns=slo_ns,
        t_intended=columns.t_intended,
        t_send=columns.t_send,
        t_connected=columns.t_connected,
        t_first_byte=columns.t_first_byte,
        t_end=columns.t_end,
        late_end=columns.late_end,
        ok=answered & (columns.t_end - columns.t_intended <= deadline_ns),
        tainted=columns.tainted,
        outcome=columns.outcome,
        certainty=columns.certainty,
        node=columns.node,
        token=columns.token,
        value=columns.value,
        error=columns.error,
        probe=columns.probe,
        policy=spec.policy,
        attempt_deadline_ns=0 if spec.policy is None else spec.deadline.ns,
    )


def _faults(events: Sequence[Event]) -> tuple[FaultRecord, ...]:
    """One record for each action whose injection was begun, in the order in which they began."""
    actions = list(dict.fromkeys(str(e.data["action"]) for e in events if e.kind == "fault.injecting"))
    return tuple(
        _fault([e for e in events if e.kind.startswith(("fault.", "action.")) and e.data.get("action") == action])
        for action in actions
    )


def _fault(events: Sequence[Event]) -> FaultRecord:
    last = {e.kind: e for e in events}
    injecting = last["fault.injecting"]
    injected, effect = last.get("fault.injected"), last.get("fault.effect")
    healing, healed, gone = last.get("fault.healing"), last.get("fault.healed"), last.get("fault.gone")
    verified = bool(effect is not None and effect.data.get("verified"))
    evidence = [{**item, "stage": "in_force"} for item in (effect.data.get("evidence", ()) if effect else ())]
    evidence += [{**item, "stage": "healed"} for item in (gone.data.get("evidence", ()) if gone else ())]
    return FaultRecord(
        action=str(injecting.data["action"]),
        fault=str(injecting.data.get("fault", "")),
        nodes=tuple(injecting.data.get("nodes", ())),
        began_ns=_instant(injected, "began_ns") or injecting.t_ns,
        injected_ns=_instant(injected, "ended_ns"),
        effective_ns=_instant(effect, "effective_ns") if verified else None,
        heal_began_ns=_instant(healed, "began_ns") or (healing.t_ns if healing else None),
        healed_ns=_instant(healed, "ended_ns"),
        verified=verified,
        gone=bool(gone is not None and gone.data.get("verified")),
        evidence=tuple(evidence),
        trigger=_trigger(last.get("action.triggered")),
        healed_because=str(healing.data.get("because") or "") if healing is not None else "",
    )


def _trigger(event: Event | None) -> str:
    return "" if event is None else f"{event.data.get('what')}: {event.data.get('details')}"


def _instant(event: Event | None, key: str) -> int | None:
    """An instant of an event's data; the event's own where it does not say."""
    if event is None:
        return None
    value = event.data.get(key)
    return int(value) if value is not None else event.t_ns
