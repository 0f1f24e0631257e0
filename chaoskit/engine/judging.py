"""Judging: measures.json and the plan -> result.json. Pure but for reading the run directory and writing that one file.

A trial passed only where at least one objective was stated and every one was met. An objective that was missed fails it, on
valid evidence: where the fault's effect was not verified, or anything else leaves nothing to be judged, all is unknown.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaoskit.engine import quantiles, registry
from chaoskit.engine.downtime import yearly_downtime
from chaoskit.engine.measuring import read_measures
from chaoskit.engine.run_directory import RunDirectory
from chaoskit.engine.statistics import pooled_losses, summary
from chaoskit.engine.store import read_events, read_plan
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.figures import Figure
from chaoskit.model.game_day import NOTE_KIND, with_recorded
from chaoskit.model.history import Event
from chaoskit.model.over_trials import Summary, YearlyDowntime
from chaoskit.model.plan import Plan
from chaoskit.model.result import (
    ExperimentRef,
    LabRef,
    ObjectiveOutcome,
    Result,
    TrialMeasures,
    TrialResult,
    UndoSummary,
    Verdict,
)
from chaoskit.ports.measure import Objective

RESULT_FILE = "result.json"
ENVIRONMENT_FILE = "environment.json"
JUDGED_TOGETHER = "it has no objective of its own: all trials are judged together"
NO_OBJECTIVE = "no objective was stated: there is nothing to pass; add `objectives:` to the experiment"


def judge_run(
    run_dir: Path,
    undo: UndoSummary = UndoSummary(),  # noqa: B008 - frozen
    incomplete: str | None = None,
    stated: Mapping[str, Any] | None = None,
) -> Result:
    """Judge a measured run and write result.json; the same run and arguments give the same bytes.

    `incomplete`: why the run ended early, where the caller knows better than the record does. `stated`: fields of the experiment
    that decide no verdict (a failure rate, an availability target), instead of what the plan says.
    InputError where the run was not recorded or not measured, RecordingFailed where the file cannot be written.
    """
    plan = read_plan(run_dir)
    if stated:
        plan = plan.model_copy(update={"experiment": plan.experiment.model_copy(update=dict(stated))})
    events = read_events(run_dir)
    made = result(
        plan,
        read_measures(run_dir),
        events,
        undo,
        objectives=registered_objectives(plan),
        run_id=_run_id(events, run_dir),
        environment=_environment(run_dir),
        incomplete=incomplete,
    )
    text = json.dumps(made.model_dump(mode="json", by_alias=True), indent=1, sort_keys=True, ensure_ascii=False)
    RunDirectory(run_dir).write_text(RESULT_FILE, text + "\n")
    return made


def registered_objectives(plan: Plan) -> dict[str, Objective]:
    """What judges each key of the plan's `objectives`."""
    loaded = {name: registry.load("objectives", name) for name in plan.experiment.objectives}
    return {name: made() if isinstance(made, type) else made for name, made in loaded.items()}


def _run_id(events: Sequence[Event], run_dir: Path) -> str:
    return next((str(e.data["run_id"]) for e in events if e.kind == "run.started" and "run_id" in e.data), run_dir.resolve().name)


def _environment(run_dir: Path) -> dict[str, Any]:
    file = run_dir / ENVIRONMENT_FILE
    if not file.exists():
        return {}
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise InputError([Problem(message=f"not JSON: {error}", file=str(file))]) from error
    return dict(found)


def result(
    plan: Plan,
    measures: Sequence[TrialMeasures],
    events: Sequence[Event],
    undo: UndoSummary,
    *,
    objectives: Mapping[str, Objective],
    run_id: str,
    environment: Mapping[str, Any],
    incomplete: str | None = None,
) -> Result:
    """The whole result. Pure."""
    experiment = plan.experiment
    trials = tuple(trial_result(m, experiment.objectives, objectives, together=bool(experiment.over_trials)) for m in measures)
    ended_early, stopped = incomplete or _incomplete(events), _stopped(events)
    together = together_outcomes(plan, trials)
    verdict, reasons = run_verdict(
        trials, len(plan.trials), ended_early, undo, together=together, alone=bool(experiment.objectives), stopped=stopped
    )
    # A note may be added long after the run: it neither begins nor ends it.
    own = [e for e in events if e.kind != NOTE_KIND]
    first, last = (own[0].wall, own[-1].wall) if own else ("", "")
    return Result(
        run_id=run_id,
        experiment=ExperimentRef(
            title=plan.experiment.title,
            path=plan.experiment_source.path,
            sha256=plan.experiment_source.sha256,
            description=plan.experiment.description,
            tags=plan.experiment.tags,
        ),
        lab=LabRef(
            name=plan.lab.name,
            backend=plan.survey.backend,
            mode=plan.survey.mode,
            variant=plan.experiment.lab.variant,
            settings=plan.lab.settings,
        ),
        verdict=verdict,
        reasons=reasons,
        started=first,
        ended=last,
        seed=plan.seed,
        environment=dict(environment),
        trials=trials,
        summary=summaries(trials),
        losses=pooled_losses(trials),
        objectives=(*over_trials(trials), *together),
        yearly=_yearly(plan, trials),
        predicted_rto_s=plan.predicted_rto_s,
        undo=undo,
        game_day=with_recorded(experiment.game_day, events),
        incomplete=ended_early,
        stopped=stopped,
    )


def _stopped(events: Sequence[Event]) -> str | None:
    return next((str(e.data.get("reason")) for e in events if e.kind == "run.decided"), None)


def together_outcomes(plan: Plan, trials: Sequence[TrialResult]) -> tuple[ObjectiveOutcome, ...]:
    """What was promised of quantiles over all trials."""
    figures = series(trials)
    return tuple(quantiles.outcome(asked, figures.get(asked.figure, ())) for asked in plan.experiment.over_trials)


def _yearly(plan: Plan, trials: Sequence[TrialResult]) -> YearlyDowntime | None:
    experiment = plan.experiment
    if experiment.failures_per_year is None:
        return None
    target = None if experiment.availability_target is None else float(experiment.availability_target)
    return yearly_downtime([f for _, f in series(trials).get("rto", ())], experiment.failures_per_year, target)


def _incomplete(events: Sequence[Event]) -> str | None:
    ended = [e for e in events if e.kind == "run.ended"]
    if not ended:
        return "the run did not end by itself: chaoskit was killed, or still runs"
    said = ended[-1].data.get("incomplete")
    return str(said) if said else None


def trial_result(
    measured: TrialMeasures, limits: Mapping[str, Any], objectives: Mapping[str, Objective], *, together: bool = False
) -> TrialResult:
    """One trial, judged. `together`: something is promised of all trials, so that one without objectives of its own may stand."""
    outcomes = tuple(o for name, limit in limits.items() for o in objectives[name].judge(limit, measured))
    blockers = blocking_reasons(measured)
    if blockers:
        outcomes = tuple(o.model_copy(update={"met": None, "reasons": _once(*o.reasons, *blockers)}) for o in outcomes)
    verdict, reasons = _trial_verdict(outcomes, blockers)
    if together and not outcomes and not blockers:
        reasons = (JUDGED_TOGETHER,)
    return TrialResult(**dict(measured), verdict=verdict, objectives=outcomes, reasons=reasons)


def blocking_reasons(measured: TrialMeasures) -> tuple[str, ...]:
    """What leaves nothing of a trial to be judged."""
    gates = tuple(
        f"{g.client}: {g.name}: {g.seen}" if g.client else f"{g.name}: {g.seen}" for g in measured.gates if g.blocks and not g.met
    )
    return _once(*measured.problems, *gates)


def _trial_verdict(outcomes: Sequence[ObjectiveOutcome], blockers: tuple[str, ...]) -> tuple[Verdict, tuple[str, ...]]:
    missed = tuple(f"{_named(o)}: {o.actual}; wanted {o.target}" for o in outcomes if o.met is False)
    unknown = tuple(f"{_named(o)} is unknown: {'; '.join(o.reasons) or o.actual}" for o in outcomes if o.met is None)
    if blockers:
        return "unknown", blockers
    if missed:
        return "failed", missed + unknown
    if unknown:
        return "unknown", unknown
    return ("passed", ()) if outcomes else ("unknown", (NO_OBJECTIVE,))


def _named(outcome: ObjectiveOutcome) -> str:
    return f"{outcome.name} of {outcome.subject}" if outcome.subject else outcome.name


def _once(*reasons: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(r for r in reasons if r))


def run_verdict(
    trials: Sequence[TrialResult],
    planned: int,
    incomplete: str | None,
    undo: UndoSummary,
    *,
    together: Sequence[ObjectiveOutcome] = (),
    alone: bool = True,
    stopped: str | None = None,
) -> tuple[Verdict, tuple[str, ...]]:
    """Failed where a trial failed; passed only where all that were planned passed and nothing is left broken.

    `together`: what was promised of all trials; `alone`: each trial has objectives of its own as well. `stopped`: why fewer
    trials than planned were enough.
    """
    reasons = [
        f"trial {t.index}: {reason}" if planned > 1 else reason
        for t in trials
        for reason in t.reasons
        if reason != JUDGED_TOGETHER
    ]
    reasons += [f"{o.name}: {o.actual}; wanted {o.target}" for o in together if o.met is False]
    reasons += [f"{o.name} is unknown: {o.actual}; {'; '.join(o.reasons)}" for o in together if o.met is None]
    if incomplete:
        reasons.append(f"the run is incomplete: {incomplete}")
    elif stopped:
        reasons.append(f"stopped after {len(trials)} of {planned} trials: {stopped}")
    elif len(trials) < planned:
        reasons.append(f"{len(trials)} of {planned} trials were carried out")
    reasons.extend(f"still broken: {what}" for what in undo.dirty)
    if any(t.verdict == "failed" for t in trials) or any(o.met is False for o in together):
        return "failed", _once(*reasons)
    whole = not incomplete and (len(trials) == planned or bool(stopped)) and not undo.dirty and planned > 0
    by_themselves = all(t.verdict == "passed" for t in trials) if alone or not together else True
    if whole and by_themselves and all(o.met for o in together):
        return "passed", _once(*reasons)
    return "unknown", _once(*reasons) or ("nothing was measured",)


def series(trials: Sequence[TrialResult]) -> dict[str, list[tuple[int, Figure]]]:
    """Figures by trial: `rto` (the worst fresh client of each), `rto:<client>`, `lost`, `rpo_window`, `flaps`."""
    found: dict[str, list[tuple[int, Figure]]] = {}
    for trial in trials:
        named: dict[str, Figure] = {}
        fresh = [c.rto for c in trial.clients.values() if c.measures_outages]
        if fresh:
            named["rto"] = worst(fresh)
        named |= {f"rto:{name}": figures.rto for name, figures in sorted(trial.clients.items())}
        if trial.rpo is not None:
            named |= {"lost": trial.rpo.lost, "rpo_window": trial.rpo.window}
        if trial.flapping is not None:
            named["flaps"] = trial.flapping.flaps
        blockers = blocking_reasons(trial)
        for name, figure in named.items():
            found.setdefault(name, []).append((trial.index, blocked(figure, blockers)))
    return found


def blocked(figure: Figure, blockers: tuple[str, ...]) -> Figure:
    """A figure of a trial of which nothing may be judged counts nowhere over trials either."""
    return figure.model_copy(update={"valid": False, "reasons": _once(*figure.reasons, *blockers)}) if blockers else figure


def summaries(trials: Sequence[TrialResult]) -> dict[str, Summary]:
    """Order statistics of each series."""
    return {name: summary([f for _, f in figures], [i for i, _ in figures]) for name, figures in series(trials).items()}


def worst(figures: Sequence[Figure]) -> Figure:
    """An invalid one outranks all (the worst is then not known), a censored one every finite one."""
    return max(figures, key=lambda f: (not f.valid, f.censored, f.high if f.high is not None else f.low or 0.0))


def over_trials(trials: Sequence[TrialResult]) -> tuple[ObjectiveOutcome, ...]:
    """Each objective over all trials: missed where one missed it, met only where all met it."""
    grouped: dict[tuple[str, str, str], list[ObjectiveOutcome]] = {}
    for trial in trials:
        for outcome in trial.objectives:
            grouped.setdefault((outcome.name, outcome.subject, outcome.target), []).append(outcome)
    return tuple(outcomes[0] if len(outcomes) == 1 else _together(outcomes, len(trials)) for outcomes in grouped.values())


def _together(outcomes: Sequence[ObjectiveOutcome], trials: int) -> ObjectiveOutcome:
    met = sum(1 for o in outcomes if o.met)
    verdict = False if any(o.met is False for o in outcomes) else True if met == trials else None
    shown = "; ".join(f"trial {o.trial}: {o.actual}" for o in sorted(outcomes, key=lambda o: (o.met is True, o.met is None))[:5])
    return outcomes[0].model_copy(
        update={
            "met": verdict,
            "trial": None,
            "actual": f"met in {met} of {trials} trials ({shown}{'; ...' if len(outcomes) > 5 else ''})",
            "reasons": _once(*(f"trial {o.trial}: {r}" for o in outcomes for r in o.reasons)),
        }
    )
