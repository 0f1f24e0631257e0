"""events.jsonl: each event as one sentence, placed on the time line."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.model.game_day import Remark
from chaoskit.model.history import EVENT_KINDS, Event
from chaoskit.model.units import Duration
from chaoskit.reporting.text import one_line, scalar, seconds
from chaoskit.reporting.view import FaultSpan, TimedEvent

KEY_KINDS = frozenset(
    {
        "action.triggered",
        "action.skipped",
        "fault.injected",
        "fault.healed",
        "fault.heal_failed",
        "role.changed",
        "address.owners",
        "log.mark",
        "watcher.observed",
        "service.exited",
        "container.died",
        "container.oom",
        "container.started",
        "container.health",
        "engine.lost",
        "engine.back",
        "clients.recovered",
        "recovery.timeout",
        "abort",
        "problem",
        "note",
    }
)
"""Events that get a mark on the time line."""


def recorded_events(path: Path) -> tuple[tuple[Event, ...], tuple[str, ...]]:
    """The events, and what must be said of lines that are none (a run that was killed leaves half a line)."""
    if not path.is_file():
        return (), ("There is no events.jsonl: the time line has no events, and time 0 is the first attempt.",)
    events: list[Event] = []
    broken: list[int] = []
    with path.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                events.append(Event.model_validate(json.loads(line)))
            except (json.JSONDecodeError, ValidationError):
                broken.append(number)
    events.sort(key=lambda event: event.t_ns)
    places = ", ".join(str(n) for n in broken[:10]) + (" …" if len(broken) > 10 else "")
    return tuple(events), (
        f"events.jsonl: {len(broken)} line(s) are no complete event and are left out: {places}.",
    ) if broken else ()


def remark_events(remarks: Iterable[Remark], events: Sequence[Event]) -> tuple[Event, ...]:
    """Notes that the experiment file holds, as events: those whose time is in a trial, so that they are on its time line."""
    found = []
    for remark in remarks:
        zero = next((e for e in events if e.kind == "baseline.ended" and remark.trial in (None, e.trial)), None)
        try:
            after = Duration.parse(remark.at)
            began = datetime.fromisoformat(zero.wall) if zero is not None else None
        except ValueError:
            continue  # an instant, or nobody said when: it stands in the section on the game day
        if zero is None or began is None:
            continue
        wall = (began + timedelta(seconds=float(after))).isoformat()
        data = {"text": remark.text, "author": remark.by}
        found.append(Event(t_ns=zero.t_ns + after.ns, wall=wall, trial=zero.trial, kind="note", source="person", data=data))
    return tuple(found)


def zero_ns(events: Iterable[Event], trial: int) -> int | None:
    """When the baseline of a trial ended; None where it never did."""
    return next((e.t_ns for e in events if e.trial == trial and e.kind == "baseline.ended"), None)


def _named(data: Mapping[str, Any], *keys: str) -> str:
    value = next((data[k] for k in keys if data.get(k) not in (None, "", [])), "?")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _list(data: Mapping[str, Any], key: str) -> list[str]:
    value = data.get(key) or []
    return (
        [str(item) for item in value]
        if isinstance(value, (list, tuple))
        else [json.dumps(value) if isinstance(value, dict) else str(value)]
    )


def _fault(data: Mapping[str, Any]) -> str:
    fault, nodes = _named(data, "fault", "action"), _named(data, "nodes")
    return fault if nodes == "?" else f"{fault} on {nodes}"


_ROLE = {"yes": "holds", "no": "no longer holds", "unknown": "gives no answer about"}


def _role(data: Mapping[str, Any]) -> str:
    state = str(data.get("state", "unknown"))
    return f"{data.get('node', '?')} {_ROLE.get(state, state)} the role {data.get('role', '?')}"


def _owners(data: Mapping[str, Any]) -> str:
    owners = _list(data, "owners")
    said = f"answered for by {' AND '.join(owners)}" if owners else "answered for by nobody"
    return f"Address {_named(data, 'name')} ({_named(data, 'address')}) is {said}"


def _observed(data: Mapping[str, Any]) -> str:
    where, more = data.get("node"), data.get("detail")
    return f"{_named(data, 'watcher')} saw {_named(data, 'what')}{f' on {where}' if where else ''}{f': {more}' if more else ''}"


def _announced(data: Mapping[str, Any]) -> str:
    vrid, priority = data.get("vrid"), data.get("priority")
    router = f", virtual router {vrid}, priority {priority}" if vrid is not None else ""
    verb = "resigns from" if priority == 0 else "announces"
    return f"{_named(data, 'owner')} {verb} {_named(data, 'address')} by {_named(data, 'how')}{router}"


_ABOUT = {"decision": "decided", "follow-up": "to do"}


def _note(data: Mapping[str, Any]) -> str:
    about = _ABOUT.get(str(data.get("about")), "")
    who = str(data.get("author") or "")
    return f"{who or 'Note'}{', ' * bool(about)}{about}: {_named(data, 'text')}"


def _rest(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {scalar(v) if not isinstance(v, (dict, list)) else json.dumps(v)}" for k, v in data.items())


def _took(data: Mapping[str, Any]) -> str:
    took = data.get("took_s")
    return f" after {seconds(float(took))}" if isinstance(took, (int, float)) else ""


_SENTENCES: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "run.started": lambda d: f"Run {_named(d, 'run_id')} began",
    "trial.started": lambda d: f"Trial {_named(d, 'index')} began",
    "lab.creating": lambda d: f"Building lab {_named(d, 'lab_id')}",
    "lab.reset": lambda d: f"The lab is as it was before the first trial{_took(d)}",
    "lab.joined": lambda d: f"Using lab {_named(d, 'lab_id')}, which was up already",
    "lab.up": lambda d: f"Lab built{_took(d)}",
    "lab.ready": lambda d: f"Lab ready{_took(d)}",
    "client.started": lambda d: f"Client {_named(d, 'client')} began",
    "baseline.started": lambda d: "Clean baseline began",
    "baseline.ended": lambda d: "Clean baseline ended: time 0 of the method",
    "action.waiting": lambda d: f"{_named(d, 'action')} waits until {_named(d, 'what')}",
    "action.triggered": lambda d: f"{_named(d, 'action')} was triggered: {_named(d, 'details', 'what')}",
    "action.skipped": lambda d: f"{_named(d, 'action')} was NOT injected: {_named(d, 'reason')}",
    "fault.preparing": lambda d: f"Preparing {_fault(d)}",
    "fault.injecting": lambda d: f"Injecting {_fault(d)}",
    "fault.injected": lambda d: f"Injected {_fault(d)}",
    "fault.effect": lambda d: f"Effect of {_fault(d)} {'verified' if d.get('verified') else 'NOT verified'}",
    "fault.healing": lambda d: f"Healing {_fault(d)}" + (f": {d['because']}" if d.get("because") else ""),
    "fault.healed": lambda d: f"Healed {_fault(d)}",
    "fault.gone": lambda d: f"{_fault(d)} {'is gone' if d.get('verified') else 'is NOT verified as gone'}",
    "fault.heal_failed": lambda d: f"Healing {_fault(d)} FAILED: {_named(d, 'error')}",
    "role.changed": _role,
    "address.owners": _owners,
    "address.announced": _announced,
    "log.mark": lambda d: f"{_named(d, 'node')} logs that it is {_named(d, 'mark')}: {_named(d, 'line')}",
    "watcher.observed": _observed,
    "service.exited": lambda d: f"Service {_named(d, 'service')} on {_named(d, 'node')} exited with {_named(d, 'code')}",
    "service.started": lambda d: f"Service {_named(d, 'service')} on {_named(d, 'node')} started",
    "container.died": lambda d: (
        f"Container of {_named(d, 'node')} ended with exit code {_named(d, 'exit_code')}, by {_named(d, 'by')}"
    ),
    "container.oom": lambda d: f"A process of {_named(d, 'node')} was killed for want of memory",
    "container.started": lambda d: f"Container of {_named(d, 'node')} was started by {_named(d, 'by')}: {_named(d, 'then')}",
    "container.health": lambda d: f"Container of {_named(d, 'node')} is {_named(d, 'status')}",
    "engine.lost": lambda d: f"The engine {_named(d, 'engine')} does not answer: {_named(d, 'why')}",
    "engine.back": lambda d: f"The engine {_named(d, 'engine')} answers again",
    "clients.recovered": lambda d: "All clients are back",
    "recovery.timeout": lambda d: f"Gave up waiting for {', '.join(_list(d, 'clients') + _list(d, 'roles')) or 'recovery'}",
    "observation.ended": lambda d: "Observation ended: what lies beyond is censored",
    "ledgers.read": lambda d: "Ledgers were read back",
    "abort": lambda d: f"Aborted: {_named(d, 'reason')}",
    "problem": lambda d: f"Problem: {_named(d, 'message')}",
    "note": _note,
    "lab.down": lambda d: f"Lab removed{_took(d)}",
    "run.decided": lambda d: f"Decided after {d.get('carried_out')} of {d.get('planned')} trials: {d.get('reason')}",
    "trial.ended": lambda d: f"Trial {_named(d, 'index')} ended",
    "run.ended": lambda d: "Run ended" + (f" early: {d['incomplete']}" if d.get("incomplete") else ""),
}


def sentence(event: Event) -> str:
    """What happened, in one sentence. Kinds that are not known here are shown with all their data."""
    known = _SENTENCES.get(event.kind)
    if known is not None:
        return one_line(known(event.data))
    return one_line(f"{event.kind}: {_rest(event.data)}" if event.data else event.kind)


def timed_events(events: Sequence[Event], zeros: Mapping[int, int]) -> tuple[TimedEvent, ...]:
    """Every event in order, numbered; `zeros` has time 0 of each trial."""
    return tuple(
        TimedEvent(
            number=number,
            trial=event.trial,
            t_s=None if event.trial is None or event.trial not in zeros else (event.t_ns - zeros[event.trial]) / 1e9,
            wall=event.wall,
            kind=event.kind,
            source=event.source,
            text=sentence(event),
            is_key=event.kind in KEY_KINDS and not (event.kind == "role.changed" and event.data.get("state") == "unknown"),
            style=event.kind.replace(".", "-") if event.kind in EVENT_KINDS else "",
            data=event.data,
        )
        for number, event in enumerate(events, start=1)
    )


def fault_spans(events: Sequence[TimedEvent]) -> tuple[FaultSpan, ...]:
    """Faults of one trial as the events tell them: for a trial that was never measured."""
    spans: list[FaultSpan] = []
    for event in events:
        if event.kind != "fault.injected" or event.t_s is None:
            continue
        later = [
            e for e in events if e.t_s is not None and e.t_s >= event.t_s and e.data.get("action") == event.data.get("action")
        ]
        healed = next((e.t_s for e in later if e.kind == "fault.healed"), None)
        effect = next((e for e in later if e.kind == "fault.effect"), None)
        verified = effect is not None and bool(effect.data.get("verified"))
        spans.append(FaultSpan(_fault(event.data), event.t_s, healed, effect.t_s if effect and verified else None, verified))
    return tuple(spans)
