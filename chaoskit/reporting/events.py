"""events.jsonl: each event as one sentence, placed on the time line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.model.history import Event
from chaoskit.reporting.text import one_line, scalar, seconds
from chaoskit.reporting.view import FaultSpan, TimedEvent

KEY_KINDS = frozenset(
    {
        "fault.injected", "fault.healed", "fault.heal_failed", "role.changed", "service.exited", "clients.recovered",
        "recovery.timeout", "abort", "problem", "note",
    }
)  # fmt: skip
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
    return tuple(events), (f"events.jsonl: {len(broken)} line(s) are no complete event and are left out: {places}.",) if broken else ()


def zero_ns(events: Iterable[Event], trial: int) -> int | None:
    """When the baseline of a trial ended; None where it never did."""
    return next((e.t_ns for e in events if e.trial == trial and e.kind == "baseline.ended"), None)


def _named(data: Mapping[str, Any], *keys: str) -> str:
    value = next((data[k] for k in keys if data.get(k) not in (None, "", [])), "?")
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _fault(data: Mapping[str, Any]) -> str:
    fault, nodes = _named(data, "fault", "action"), _named(data, "nodes")
    return fault if nodes == "?" else f"{fault} on {nodes}"


_ROLE = {"yes": "holds", "no": "no longer holds", "unknown": "gives no answer about"}


def _role(data: Mapping[str, Any]) -> str:
    state = str(data.get("state", "unknown"))
    return f"{data.get('node', '?')} {_ROLE.get(state, state)} the role {data.get('role', '?')}"


def _rest(data: Mapping[str, Any]) -> str:
    return ", ".join(f"{k} {scalar(v) if not isinstance(v, (dict, list)) else json.dumps(v)}" for k, v in data.items())


def _took(data: Mapping[str, Any]) -> str:
    took = data.get("took_s")
    return f" after {seconds(float(took))}" if isinstance(took, (int, float)) else ""


def sentence(event: Event) -> str:
    """What happened, in one sentence. Kinds that are not known here are shown with all their data."""
    data = event.data
    texts = {
        "run.started": lambda: f"Run {_named(data, 'run_id')} began",
        "trial.started": lambda: f"Trial {_named(data, 'index')} began",
        "lab.creating": lambda: f"Building lab {_named(data, 'lab_id')}",
        "lab.up": lambda: f"Lab built{_took(data)}",
        "lab.ready": lambda: f"Lab ready{_took(data)}",
        "client.started": lambda: f"Client {_named(data, 'client')} began",
        "baseline.started": lambda: "Clean baseline began",
        "baseline.ended": lambda: "Clean baseline ended: time 0 of the method",
        "fault.preparing": lambda: f"Preparing {_fault(data)}",
        "fault.injecting": lambda: f"Injecting {_fault(data)}",
        "fault.injected": lambda: f"Injected {_fault(data)}",
        "fault.effect": lambda: f"Effect of {_fault(data)} {'verified' if data.get('verified') else 'NOT verified'}",
        "fault.healing": lambda: f"Healing {_fault(data)}",
        "fault.healed": lambda: f"Healed {_fault(data)}",
        "fault.gone": lambda: f"{_fault(data)} {'is gone' if data.get('verified') else 'is NOT verified as gone'}",
        "fault.heal_failed": lambda: f"Healing {_fault(data)} FAILED: {_named(data, 'error')}",
        "role.changed": lambda: _role(data),
        "service.exited": lambda: f"Service {_named(data, 'service')} on {_named(data, 'node')} exited with {_named(data, 'code')}",
        "service.started": lambda: f"Service {_named(data, 'service')} on {_named(data, 'node')} started",
        "clients.recovered": lambda: "All clients are back",
        "recovery.timeout": lambda: f"Gave up waiting for {_named(data, 'clients')}",
        "abort": lambda: f"Aborted: {_named(data, 'reason')}",
        "problem": lambda: f"Problem: {_named(data, 'message')}",
        "note": lambda: f"{data.get('author') or 'Note'}: {_named(data, 'text')}",
        "lab.down": lambda: f"Lab removed{_took(data)}",
        "trial.ended": lambda: f"Trial {_named(data, 'index')} ended",
        "run.ended": lambda: "Run ended",
    }  # fmt: skip
    known = texts.get(event.kind)
    return one_line(known() if known else f"{event.kind}: {_rest(data)}" if data else event.kind)


def timed_events(events: Sequence[Event], zeros: Mapping[int, int]) -> tuple[TimedEvent, ...]:
    """Every event in order, numbered; `zeros` has time 0 of each trial."""
    return tuple(
        TimedEvent(
            number=number,
            trial=event.trial,
            t_s=(event.t_ns - zeros[event.trial]) / 1e9 if event.trial in zeros else None,
            wall=event.wall,
            kind=event.kind,
            source=event.source,
            text=sentence(event),
            is_key=event.kind in KEY_KINDS and not (event.kind == "role.changed" and event.data.get("state") == "unknown"),
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
        later = [e for e in events if e.t_s is not None and e.t_s >= event.t_s and e.data.get("action") == event.data.get("action")]
        healed = next((e.t_s for e in later if e.kind == "fault.healed"), None)
        effect = next((e for e in later if e.kind == "fault.effect"), None)
        verified = effect is not None and bool(effect.data.get("verified"))
        spans.append(FaultSpan(_fault(event.data), event.t_s, healed, effect.t_s if effect and verified else None, verified))
    return tuple(spans)
