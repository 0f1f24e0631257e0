"""Reads a run directory into a `View`. Reads only; what cannot be read becomes a note, not a failure, save result.json."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.model.errors import InputError, Problem
from chaoskit.model.experiment import client_of
from chaoskit.model.figures import FaultFigures, RoleInterval
from chaoskit.model.game_day import GameDay, Remark
from chaoskit.model.history import Event
from chaoskit.model.result import Result, TrialResult
from chaoskit.model.units import Duration
from chaoskit.reporting.events import fault_spans, recorded_events, remark_events, timed_events, zero_ns
from chaoskit.reporting.logs import log_excerpts
from chaoskit.reporting.narrative import leader_named
from chaoskit.reporting.samples import NOTHING, ClientMeta, Recorded, client_series, recorded_samples, role_intervals
from chaoskit.reporting.view import ClientSeries, FaultSpan, Templates, TimedEvent, TrialView, View

BASELINE_SHARE = 0.5
"""Of the baseline, the time line shows at most this share of what was observed after it."""


def recorded_result(run_dir: Path) -> Result:
    """result.json. InputError where there is none, or where it is no result of this schema."""
    path = run_dir / "result.json"
    if not run_dir.is_dir():
        raise InputError([Problem(message="there is no such run directory; give one that a run wrote", file=str(run_dir))])
    try:
        return Result.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        message = "this run has no result.json, so there is nothing to report yet: measure and judge it first"
        raise InputError([Problem(message=message, file=str(path))]) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        message = f"is not a result of schema chaoskit.result/1: {first['msg']} ({error.error_count()} problem(s))"
        raise InputError([Problem(message=message, file=str(path), path=place)]) from error


def _plan(path: Path) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """plan.json as it lies there: the report shows it, and needs no more of its shape than that."""
    try:
        plan = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}, ()
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        return {}, (f"plan.json is not readable ({error}): what the clients were asked to do is not shown.",)
    return (plan, ()) if isinstance(plan, dict) else ({}, ("plan.json is no JSON object and is left out.",))


def leader_of_run(run_dir: Path, result: Result) -> str | None:
    """The role whose holder leads, by the plan of a run and what was watched in it."""
    return leader_named(_plan(run_dir / "plan.json")[0], {r.role for t in result.trials for r in t.roles})


def _samples(path: Path) -> tuple[Recorded, tuple[str, ...]]:
    if not path.is_file():
        return NOTHING, ("There is no samples.sqlite: availability, latency and ledger pictures are missing.",)
    try:
        return recorded_samples(path), ()
    except sqlite3.Error as error:
        return NOTHING, (f"samples.sqlite could not be read ({error}): availability, latency and ledger pictures are missing.",)


def _plan_seconds(value: Any) -> float | None:
    """A duration of plan.json, which is text such as "500ms"."""
    try:
        return float(Duration.parse(value))
    except ValueError:
        return None


def _written_notes(plan: Mapping[str, Any]) -> tuple[Remark, ...]:
    """Notes of the experiment file; none where the plan is of another shape (a plan that cannot be read is said elsewhere)."""
    experiment = plan.get("experiment")
    try:
        return GameDay.model_validate((experiment or {}).get("game-day") or {}).notes if isinstance(experiment, dict) else ()
    except ValidationError:
        return ()


def _metas(plan: Mapping[str, Any], events: Sequence[Event], trial: int) -> dict[str, ClientMeta]:
    """W and the SLO of each client: from the plan, and from what the probes said when they began."""
    experiment = plan.get("experiment")
    clients = experiment.get("clients") if isinstance(experiment, dict) else None
    metas = {
        str(name): ClientMeta(_plan_seconds(spec.get("deadline")), _plan_seconds(spec.get("slo")))
        for name, spec in (clients or {}).items()
        if isinstance(spec, dict)
    }
    for event in events:
        deadline = event.data.get("deadline_ns")
        if event.kind == "client.started" and event.trial == trial and isinstance(deadline, int):
            name = str(event.data.get("client"))
            metas[name] = ClientMeta(deadline / 1e9, metas.get(client_of(name), ClientMeta()).slo_s)
    return metas


def _zero(events: Sequence[Event], recorded: Recorded, trial: int) -> tuple[int | None, str]:
    """Time 0 of a trial in CLOCK_MONOTONIC ns, and what it is."""
    ended = zero_ns(events, trial)
    if ended is not None:
        return ended, "the end of the clean baseline"
    bounds = recorded.bounds_ns(trial)
    if bounds is not None:
        return bounds[0], "the first attempt: the baseline never ended"
    began = next((e.t_ns for e in events if e.trial == trial), None)
    return began, "the beginning of the trial: the baseline never ended"


def _unmeasured(index: int, events: Sequence[Event], spans: Sequence[FaultSpan], reason: str) -> TrialResult:
    """A trial that was recorded and never measured, so that its evidence is not lost from the report."""
    mine = [e for e in events if e.trial == index]
    first, last = (mine[0].wall, mine[-1].wall) if mine else ("", "")
    faults = tuple(
        FaultFigures(
            name=s.label,
            action=s.label,
            target=(),
            injected_s=s.from_s,
            effective_s=s.effective_s,
            healed_s=s.until_s,
            verified=s.verified,
            gone=s.until_s is not None,
        )
        for s in spans
    )
    return TrialResult(
        index=index,
        started=first,
        ended=last,
        baseline_s=0.0,
        observed_s=0.0,
        faults=faults,
        verdict="unknown",
        reasons=(reason,),
    )


def _spans(trial: TrialResult) -> tuple[FaultSpan, ...]:
    spans = []
    for fault in trial.faults:
        began = fault.injected_s if fault.injected_s is not None else fault.effective_s
        if began is not None:
            label = f"{fault.name} on {', '.join(fault.target)}" if fault.target else fault.name
            spans.append(FaultSpan(label, began, fault.healed_s, fault.effective_s, fault.verified))
    return tuple(spans)


def _extent(
    trial: TrialResult,
    clients: Sequence[ClientSeries],
    roles: Sequence[RoleInterval],
    spans: Sequence[FaultSpan],
    events: Sequence[TimedEvent],
) -> tuple[float, float]:
    """Where the recorded time of a trial begins and ends; at least a second, so that an empty trial has an axis too."""
    begins = [-trial.baseline_s, 0.0, *(float(c.t_s[0]) for c in clients)]
    ends = [trial.observed_s, *(s.until_s if s.until_s is not None else s.from_s for s in spans)]
    if trial.observed_s <= 0:
        ends += [float(c.t_s[-1]) for c in clients]
        ends += [r.until_s for r in roles]
        ends += [e.t_s for e in events if e.t_s is not None]
    return min(begins), max(1.0, *ends)


def _trial_view(
    index: int,
    result: TrialResult | None,
    reason: str,
    events: Sequence[Event],
    timed: Sequence[TimedEvent],
    recorded: Recorded,
    plan: Mapping[str, Any],
) -> TrialView:
    zero, zero_is = _zero(events, recorded, index)
    mine = tuple(e for e in timed if e.trial == index)
    spans = _spans(result) if result else fault_spans(mine)
    shown = result or _unmeasured(index, events, spans, reason)
    clients = client_series(recorded, index, zero, _metas(plan, events, index)) if zero is not None else ()
    roles = shown.roles or (role_intervals(recorded, index, zero) if zero is not None else ())
    begin, end = _extent(shown, clients, roles, spans, mine)
    return TrialView(
        result=shown,
        measured=result is not None,
        from_s=max(begin, -BASELINE_SHARE * end),
        until_s=end,
        recorded_from_s=begin,
        zero_is=zero_is,
        faults=spans,
        clients=clients,
        roles=roles,
        events=mine,
    )


def recorded_view(run_dir: Path, template: Templates) -> View:
    """The run as sections see it. InputError where there is no result.json."""
    result = recorded_result(run_dir)
    plan, plan_notes = _plan(run_dir / "plan.json")
    events, event_notes = recorded_events(run_dir / "events.jsonl")
    events = tuple(sorted((*events, *remark_events(_written_notes(plan), events)), key=lambda event: event.t_ns))
    recorded, sample_notes = _samples(run_dir / "samples.sqlite")
    measured = {t.index: t for t in result.trials}
    indexes = sorted({*measured, *recorded.trials(), *(e.trial for e in events if e.trial is not None)})
    zeros = {i: zero for i in indexes if (zero := _zero(events, recorded, i)[0]) is not None}
    timed = timed_events(events, zeros)
    reason = f"not measured: {result.incomplete}" if result.incomplete else "not measured: result.json does not have this trial"
    trials = tuple(_trial_view(i, measured.get(i), reason, events, timed, recorded, plan) for i in indexes)
    logs, log_notes = log_excerpts(run_dir, result.trials)
    return View(
        result=result,
        plan=plan,
        trials=trials,
        events=timed,
        logs=logs,
        notes=(*plan_notes, *event_notes, *sample_notes, *log_notes),
        template=template,
    )
