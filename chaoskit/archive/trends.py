"""Runs of one experiment -> how a figure went over time, and their trials together where that is honest. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from chaoskit.engine.pooling import doubts
from chaoskit.engine.statistics import summary, trial_value
from chaoskit.model.figures import Figure
from chaoskit.model.indexed import IndexedRun, Pooled, Trend, TrendPoint, TrialFigure


def trend(runs: Sequence[IndexedRun], figure: str = "rto") -> Trend:
    """Of runs of one experiment, in any order."""
    ordered = sorted(runs, key=lambda run: (run.started_s, run.name))
    points = tuple(_point(run, figure) for run in ordered)
    newest = ordered[-1]
    return Trend(
        experiment=newest.title,
        path=newest.path,
        figure=figure,
        unit=next((p.unit for p in points if p.trials and p.text != NOT_MEASURED), "s"),
        points=points,
        predicted_s=newest.predicted_rto_s if figure.startswith("rto") else None,
        pooled=pooled(ordered, figure),
    )


NOT_MEASURED = "not measured"


def _point(run: IndexedRun, figure: str) -> TrendPoint:
    found = run.figures.get(figure, ()) if run.state == "judged" else ()
    valid = [_figure(f) for f in found if f.valid]
    missing = max(0, run.trials - len(found))
    values = sorted(trial_value(f) for f in valid)
    median = (values[(len(values) - 1) // 2] + values[len(values) // 2]) / 2 if values else math.inf
    lows = [f.low if f.low is not None else trial_value(f) for f in valid]
    highs = [math.inf if f.censored or f.high is None else f.high for f in valid]
    reasons = tuple(_named(f) for f in found if not f.valid) + ((f"{missing} without {figure}",) if missing and found else ())
    single = valid[0] if len(valid) == 1 else None
    return TrendPoint(
        run=run.name,
        started=run.started,
        outcome=run.outcome,
        question=run.question,
        n=len(valid),
        trials=run.trials,
        point=(single.point if not single.censored else None) if single is not None else _finite(median),
        low=_finite(min(lows)) if lows else None,
        high=_finite(max(highs)) if highs else None,
        unit=found[0].unit if found else "s",
        censored=sum(f.censored for f in valid),
        invalid=reasons,
        text=_words(run, found, valid, median, highs),
        has_report=run.has_report,
    )


def _figure(f: TrialFigure) -> Figure:
    return Figure(
        point=f.point, low=f.low, high=f.high, unit=f.unit, censored=f.censored, valid=f.valid, reasons=f.reasons, text=f.text
    )


def _named(f: TrialFigure) -> str:
    return f"trial {f.trial}: {'; '.join(f.reasons) or 'invalid'}"


def _finite(value: float) -> float | None:
    return round(value, 9) if math.isfinite(value) else None


def _words(run: IndexedRun, found: Sequence[TrialFigure], valid: Sequence[Figure], median: float, highs: Sequence[float]) -> str:
    if run.state != "judged":
        return f"{run.state}: {run.reason}"
    if not found:
        return NOT_MEASURED
    if not valid:
        return f"invalid: {'; '.join(dict.fromkeys(r for f in found for r in f.reasons)) or 'no reason was given'}"
    if len(found) == 1:
        return valid[0].text or _alone(valid[0])
    unit, trials = valid[0].unit, f"{len(valid)} {'trial' if len(valid) == 1 else 'trials'}"
    least, worst = min(f.low if f.low is not None else trial_value(f) for f in valid), max(highs)
    censored = sum(f.censored for f in valid)
    tail = f"; never recovered in {censored} of {len(found)}" if censored else ""
    left = f"; {len(found) - len(valid)} of {len(found)} invalid" if len(valid) < len(found) else ""
    if unit != "s" and least == worst:
        return (
            f"{amount(least, unit)} in each of {trials}{left}" if len(valid) > 1 else f"{amount(least, unit)} in {trials}{left}"
        )
    middle = f"median {amount(median, unit)}" if math.isfinite(median) else "median: never recovered"
    ends = f" ({amount(least, unit)} to {amount(worst, unit)})" if math.isfinite(worst) else ""
    return f"{middle}{ends}, {trials}{tail}{left}"


def _alone(figure: Figure) -> str:
    if figure.censored:
        return f"more than {amount(figure.low, figure.unit)}: never recovered while anybody looked"
    if figure.point is None:
        return f"none seen, or less than {amount(figure.high, figure.unit)}"
    return f"{amount(figure.point, figure.unit)} ({amount(figure.low, figure.unit)} to {amount(figure.high, figure.unit)})"


def amount(value: float | None, unit: str) -> str:
    """A number with its unit, as short as its size allows."""
    if value is None:
        return "unknown"
    if unit == "s":
        return f"{value * 1000:.0f} ms" if 0 < abs(value) < 0.9995 else f"{value:.2f} s"
    return f"{value:.10g} {unit}" if unit != "count" else f"{value:.10g}"


# -- together --------------------------------------------------------------------------------------------------------------


def pooled(runs: Sequence[IndexedRun], figure: str) -> Pooled | None:
    """The trials of all runs that asked what the newest judged one asked; None where that is one run alone."""
    judged = [run for run in runs if run.state == "judged" and figure in run.figures]
    if not judged:
        return None
    question = max(judged, key=lambda run: (run.started_s, run.name)).question
    alike = [run for run in judged if run.question == question]
    if len(alike) < 2:
        return None
    together = summary([_figure(f) for run in alike for f in run.figures[figure]])
    return Pooled(
        runs=tuple(run.name for run in alike),
        summary=together.model_copy(update={"left_out": ()}),
        text=_pooled_words(together.n, together.trials, alike),
        doubts=doubts(alike, [run.machine for run in alike]),
        left_out=tuple(_left_out(runs, alike, figure)),
    )


def _pooled_words(n: int, trials: int, alike: Sequence[IndexedRun]) -> str:
    invalid = f" ({trials - n} more are invalid)" if trials > n else ""
    return f"{n} trials of {len(alike)} runs that asked the same{invalid}"


def _left_out(runs: Sequence[IndexedRun], alike: Sequence[IndexedRun], figure: str) -> list[str]:
    reasons: Counter[str] = Counter()
    for run in runs:
        if run in alike:
            continue
        if run.state != "judged":
            reasons[f"without a verdict: {run.state}"] += 1
        elif figure not in run.figures:
            reasons[f"without {figure}"] += 1
        else:
            reasons["that asked something else (experiment, lab, settings or backend differ)"] += 1
    return [f"{count} {'run' if count == 1 else 'runs'} {why}" for why, count in reasons.items()]
