"""Two or more groups of recorded runs -> how a figure shifted between them, and in what else they differ. Reads only."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.engine.judging import RESULT_FILE, series
from chaoskit.engine.pooling import doubts
from chaoskit.engine.recorded_plan import PLAN_FILE
from chaoskit.engine.shifts import Bounded, bounded, shift, shift_verdict
from chaoskit.engine.statistics import summary
from chaoskit.model.comparison import ComparedGroup, ComparedRun, Comparison, Difference, ShiftOutcome, ShiftVerdict
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.figures import Figure
from chaoskit.model.record import first_misfit
from chaoskit.model.result import Result
from chaoskit.model.units import Duration, Fraction

DEFAULT_TOLERANCE = "10%"
SHOWN_DIFFERENCES = 20
_WORST_FIRST: Sequence[ShiftVerdict] = ("regressed", "inconclusive", "improved", "equivalent")
_NOT_COMPARED = frozenset(
    ("title", "description", "tags", "repeat", "seed", "objectives", "over-trials", "stop-when", "failures-per-year",
     "availability-target", "abort-when", "secrets", "configuration", "injection-phase")
)  # fmt: skip
"""Keys of an experiment that change no trial's figures."""
_FORBIDDING = ("experiment.method", "experiment.clients", "lab.name")
"""Where these differ, two runs asked different questions."""
MACHINE_FACTS = ("chaoskit", "kernel", "machine", "system", "cpus")
"""Keys of the environment that may be the cause of a shift."""


@dataclass(frozen=True)
class Recorded:
    """One run, as far as it is compared."""

    path: Path
    result: Result
    facts: Mapping[str, str]
    """Dotted name -> value: everything that may be the cause of a shift."""


def recorded(path: Path) -> Recorded:
    """A judged run. InputError where its result or plan is not there or cannot be read."""
    try:
        result = Result.model_validate_json((path / RESULT_FILE).read_bytes())
        plan = json.loads((path / PLAN_FILE).read_bytes())
    except OSError as error:
        message = f"this run was not judged yet ({error.strerror}): `chaoskit report {path}` does that"
        raise InputError([Problem(message=message, file=str(error.filename or path))]) from error
    except ValueError as error:
        why = first_misfit(error) if isinstance(error, ValidationError) else str(error)
        message = f"cannot be read; `chaoskit report {path}` may write it again: {why}"
        raise InputError([Problem(message=message, file=str(path))]) from error
    return Recorded(path, result, dict(_facts(plan, result)))


def asked(plan: Mapping[str, Any]) -> dict[str, str]:
    """Dotted name -> value of everything that a plan asks of each trial: experiment, lab, settings, backend. Pure."""
    return dict(_asked(plan))


def _asked(plan: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    experiment, lab, survey = (plan.get(key) or {} for key in ("experiment", "lab", "survey"))
    yield from _leaves("experiment", {k: v for k, v in experiment.items() if k not in _NOT_COMPARED and k != "lab"})
    yield "lab.name", str(lab.get("name"))
    yield "lab.variant", str((experiment.get("lab") or {}).get("variant"))
    yield from _leaves("lab.settings", lab.get("settings") or {})
    yield "lab.sha256", str((plan.get("lab_source") or {}).get("sha256"))
    yield "backend", f"{survey.get('backend', '')} {survey.get('mode', '')}".strip()


def _facts(plan: Mapping[str, Any], result: Result) -> Iterator[tuple[str, str]]:
    yield from _asked(plan)
    for key in MACHINE_FACTS:
        yield f"environment.{key}", str(result.environment.get(key))


def _leaves(name: str, value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(f"{name}.{key}", inner)
    elif isinstance(value, list) and value:
        for i, inner in enumerate(value):
            yield from _leaves(f"{name}.{i}", inner)
    else:
        yield name, str(value)


def differences(label_a: str, a: Recorded, label_b: str, b: Recorded) -> tuple[Difference, ...]:
    """In what two runs differ; those that forbid a comparison first. A lab file's hash is named only where nothing else is."""
    names = [n for n in dict.fromkeys((*a.facts, *b.facts)) if a.facts.get(n) != b.facts.get(n)]
    found = [
        Difference(
            between=(label_a, label_b),
            what=name,
            a=a.facts.get(name, "not there"),
            b=b.facts.get(name, "not there"),
            forbids=any(name == f or name.startswith(f"{f}.") for f in _FORBIDDING),
        )
        for name in names
    ]
    return tuple(sorted(found, key=lambda d: not d.forbids))


def forbidding(a: Recorded, plan: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(what, in `a`, in the plan) of everything in which a plan asks another question than a run did."""
    other = asked(plan)
    names = [n for n in dict.fromkeys((*a.facts, *other)) if any(n == f or n.startswith(f"{f}.") for f in _FORBIDDING)]
    return [(n, a.facts.get(n, "not there"), other.get(n, "not there")) for n in names if a.facts.get(n) != other.get(n)]


# -- comparing -------------------------------------------------------------------------------------------------------------


def compare(
    groups: Sequence[tuple[str, Sequence[Recorded]]], figure: str = "rto", tolerance: str | None = None, *, anyway: bool = False
) -> Comparison:
    """Every group against the first. InputError for a figure nobody has, a bad tolerance, or runs that asked different things."""
    found = tuple(different for different in _all_differences(groups))
    forbidding = [d for d in found if d.forbids]
    if forbidding and not anyway:
        problems = [
            Problem(message=f"{d.what} differs between {d.between[0]} and {d.between[1]}", value=d.b, allowed=(d.a,))
            for d in forbidding[:SHOWN_DIFFERENCES]
        ]
        what = "these runs asked different questions, and a shift between them says nothing; --anyway compares them all the same"
        raise InputError([Problem(message=what), *problems])
    trials = [(label, runs, _figures(runs, figure)) for label, runs in groups]
    known = sorted({name for _, runs in groups for run in runs for name in series(run.result.trials)})
    if figure not in known:
        raise InputError([Problem(message="no run has this figure", path="--figure", value=figure, allowed=tuple(known))])
    made = [_group(label, runs, figures) for label, runs, figures in trials]
    unit = next((g.summary.unit for g in made if g.summary.trials), "s")
    allowed, said = _tolerance(tolerance, unit, made[0].summary.median)
    values = [[bounded(f) for _, f in figures if f.valid] for _, _, figures in trials]
    outcomes = tuple(_outcome(g.label, values[0], other, allowed) for g, other in zip(made[1:], values[1:], strict=True))
    return Comparison(
        figure=figure,
        unit=unit,
        tolerance=allowed,
        tolerance_text=said,
        verdict=min((o.verdict for o in outcomes), key=_WORST_FIRST.index),
        groups=tuple(g.model_copy(update={"rank": _rank(g, made)}) for g in made),
        outcomes=outcomes,
        differences=found,
        notes=tuple(_notes(groups)),
    )


def _all_differences(groups: Sequence[tuple[str, Sequence[Recorded]]]) -> Iterator[Difference]:
    """Each group's first run against the first of all, and the runs of a group against its first."""
    first_label, first_runs = groups[0]
    for number, (label, runs) in enumerate(groups):
        if number:
            yield from differences(first_label, first_runs[0], label, runs[0])
        for run in runs[1:]:
            yield from differences(runs[0].result.run_id, runs[0], run.result.run_id, run)


def _figures(runs: Sequence[Recorded], figure: str) -> list[tuple[str, Figure]]:
    """(trial, figure) of every trial of every run; one that has no such figure counts as invalid."""
    found = []
    for run in runs:
        own = dict(series(run.result.trials).get(figure, ()))
        for trial in run.result.trials:
            missing = Figure(valid=False, reasons=("; ".join(trial.reasons) or f"it has no {figure}",))
            found.append((f"trial {trial.index} of {run.result.run_id}", own.get(trial.index, missing)))
    return found


def _group(label: str, runs: Sequence[Recorded], figures: Sequence[tuple[str, Figure]]) -> ComparedGroup:
    return ComparedGroup(
        label=label,
        runs=tuple(ComparedRun(run_id=r.result.run_id, path=str(r.path), verdict=r.result.verdict) for r in runs),
        summary=summary([f for _, f in figures]),
        left_out=tuple(f"{name}: {'; '.join(f.reasons) or 'invalid'}" for name, f in figures if not f.valid),
    )


def _outcome(label: str, a: Sequence[Bounded], b: Sequence[Bounded], tolerance: float | None) -> ShiftOutcome:
    found = shift(a, b)
    verdict, reason = shift_verdict(found, tolerance)
    return ShiftOutcome(group=label, shift=found, verdict=verdict, reason=reason)


def _rank(group: ComparedGroup, groups: Sequence[ComparedGroup]) -> int:
    low, _ = _median_interval(group)
    return 1 + sum(1 for other in groups if _median_interval(other)[1] < low)


def _median_interval(group: ComparedGroup) -> tuple[float, float]:
    """Without an interval the median may be anything, so that the group is tied with all."""
    if group.summary.ci is None:
        return float("-inf"), float("inf")
    low, high = group.summary.ci
    return float("inf") if low is None else low, float("inf") if high is None else high


def _tolerance(text: str | None, unit: str, median: float | None) -> tuple[float | None, str]:
    """In the figure's unit, and as it was declared."""
    declared = text or DEFAULT_TOLERANCE
    said = declared if text else f"{declared} (none was declared)"
    try:
        if declared.strip().endswith("%"):
            share = float(Fraction.parse(declared))
            return None if median is None else round(share * median, 9), f"{said} of the first group's median"
        allowed = float(Duration.parse(declared)) if unit == "s" else float(declared)
    except ValueError as error:
        example = "2s" if unit == "s" else "2"
        message = f"a tolerance is {example} here, or a share of the first group's median such as 10%: {error}"
        raise InputError([Problem(message=message, path="--tolerance", value=declared)]) from error
    if not 0 <= allowed < float("inf"):
        raise InputError([Problem(message="a tolerance is not negative, and finite", path="--tolerance", value=declared)])
    return allowed, said


def _notes(groups: Sequence[tuple[str, Sequence[Recorded]]]) -> Iterator[str]:
    seen: dict[str, str] = {}
    for label, runs in groups:
        machines = [{key: run.facts[f"environment.{key}"] for key in MACHINE_FACTS} for run in runs]
        for doubt in doubts([run.result for run in runs], machines):
            yield f"{label}: {len(runs)} runs are taken together, and may be no one sample: {doubt}"
        for run in runs:
            if run.result.incomplete and len(runs) == 1:
                yield f"{run.result.run_id} is incomplete: {run.result.incomplete}"
            other = seen.setdefault(run.result.run_id, label)
            if other != label:
                yield f"{run.result.run_id} is in {other} and in {label}: it is compared with itself"
