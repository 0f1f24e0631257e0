"""`history trend`: a figure of one experiment, run by run."""

from __future__ import annotations

import itertools
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import click

from chaoskit.archive.index import Index, Wanted, opened
from chaoskit.archive.trends import trend
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.indexed import IndexedRun, Trend, TrendPoint
from chaoskit.surfaces.asking import experiments_like, instant_s
from chaoskit.surfaces.options import JSON, REPORTS
from chaoskit.surfaces.over_trials import interval, value
from chaoskit.surfaces.terminal import on_terminal, say, say_json, say_table

BARS, PLAIN_BARS = "▁▂▃▄▅▆▇█", "_.-=+*#@"
"""The second for terminals that know no Unicode."""
NEVER, NONE = "^", "x"
"""A run with trials that never recovered, and one without a valid figure."""
NARROW = 90


@click.command(name="trend")
@click.argument("experiment", metavar="EXPERIMENT")
@click.option("--figure", metavar="NAME", default=None, help="A key of `summary` in result.json; rto and lost when left out.")
@click.option("--since", metavar="TIME", default=None, help="Started in the last 90d ..., or since a date; UTC.")
@click.option("--until", metavar="TIME", default=None, help="Started before that.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="The newest N runs.")
@REPORTS
@JSON
def show_trend(
    experiment: str, figure: str | None, since: str | None, until: str | None, limit: int, reports: Path, as_json: bool
) -> None:
    """Show how RTO and lost writes of EXPERIMENT went, run by run, with bounds.

    EXPERIMENT is a title, a file, or a part of either that names one alone. Runs that never recovered and runs without a valid
    figure are marked. Runs that asked the same of the same kind of lab are also taken together; what speaks against that is said.
    """
    now_s = time.time()
    if not reports.is_dir():
        message = "there is no such folder of run directories"
        raise InputError([Problem(message=message, path="--reports", value=str(reports))])
    with opened(reports) as index:
        pair = _one(index, experiment)
        limits = Wanted(
            experiments=[pair], since_s=instant_s(since, "--since", now_s), until_s=instant_s(until, "--until", now_s)
        )
        runs = index.runs(limits, limit)
    if not runs:
        say_json({"schema": "chaoskit.trends/1", "trends": []}) if as_json else say("no run of it in that time", "warn")
        return
    made = [trend(runs, name) for name in _figures(runs, figure)]
    if as_json:
        say_json({"schema": "chaoskit.trends/1", "trends": [t.model_dump(mode="json", by_alias=True) for t in made]})
        return
    say(f"{made[0].experiment}", "head")
    say(f"  {made[0].path}")
    for one in made:
        say()
        _say_trend(one)
    changes = _changes(made[0])
    if changes:
        say()
        what = "what was asked (experiment, lab, settings or backend) changed"
        say(f"{what} {'once' if changes == 1 else f'{changes} times'}; a trend across that is none", "warn")


def _one(index: Index, asked: str) -> tuple[str, str]:
    """The one experiment that a word names. InputError where it names several."""
    found = experiments_like(index, asked)
    if len(found) == 1:
        return found[0]
    same_file = {path for _, path in found}
    if len(same_file) == 1 and "" not in same_file:
        return found[0]
    names = tuple(path or title for title, path in found[:20])
    message = f"{asked!r} names {len(found)} experiments; name one"
    raise InputError([Problem(message=message, path="experiment", value=asked, allowed=names)])


def _figures(runs: Sequence[IndexedRun], asked: str | None) -> list[str]:
    known = sorted({name for run in runs for name in run.figures})
    if asked is None:
        return [name for name in ("rto", "lost") if name in known] or ["rto"]
    if asked not in known:
        message = f"no run of it has the figure {asked!r}"
        problem = Problem(message=message, path="--figure", value=asked, allowed=tuple(known), nearest=nearest(asked, known))
        raise InputError([problem])
    return [asked]


def _say_trend(made: Trend) -> None:
    say(f"{made.figure}{'' if made.unit == 'count' else f', {made.unit}'}   {sparkline(made.points)}", "head")
    if on_terminal() and shutil.get_terminal_size().columns < NARROW:
        for point in made.points:
            say(f"{_when(point)}  {point.outcome}: {point.text}", _style(point))
            say(f"  {point.run}", "dim")
    else:
        rows = [(_mark(p), _when(p), p.outcome, p.text, p.run) for p in made.points]
        styles = {(i, 2): _style(p) for i, p in enumerate(made.points)}
        say_table(("", "started (UTC)", "verdict", made.figure, "run"), rows, widths_fixed=3, styles=styles)
    for note in _notes(made):
        say(f"  {note}")


def _style(point: TrendPoint) -> str:
    return {"passed": "good", "failed": "bad", "unknown": "warn"}.get(point.outcome, "")


def _when(point: TrendPoint) -> str:
    try:
        return datetime.fromisoformat(point.started).strftime("%Y-%m-%d %H:%M")
    except ValueError:
        return "unknown"


def _mark(point: TrendPoint) -> str:
    return NEVER if point.censored else NONE if point.n == 0 else " "


def sparkline(points: Sequence[TrendPoint]) -> str:
    """A character a run: a bar from 0 to the largest, `^` where trials never recovered, `x` where there is no valid figure."""
    top = max((p.point for p in points if p.point is not None), default=0.0)
    bars = BARS if "utf" in (sys.stdout.encoding or "").lower() else PLAIN_BARS
    return "".join(_bar(p, top, bars) for p in points)


def _bar(point: TrendPoint, top: float, bars: str) -> str:
    if _mark(point) != " ":
        return _mark(point)
    if point.point is None or top <= 0:
        return bars[0]
    return bars[min(len(bars) - 1, round(point.point / top * (len(bars) - 1)))]


def _notes(made: Trend) -> list[str]:
    notes = []
    if any(p.censored for p in made.points):
        notes.append(f"{NEVER} never recovered while anybody looked: the figure has no upper bound")
    if any(p.n == 0 for p in made.points):
        notes.append(f"{NONE} no valid figure")
    if made.predicted_s is not None:
        notes.append(f"predicted from the newest run's settings: {made.predicted_s[0]:.2f} s to {made.predicted_s[1]:.2f} s")
    together = made.pooled
    if together is not None:
        s = together.summary
        middle = f"median {value(s, s.median)}, 95 % interval {interval(s)}, worst {value(s, s.max)}" if s.n else "none valid"
        notes.append(f"together: {together.text}: {middle}")
        notes += [f"not in it: {why}" for why in together.left_out]
        notes += [f"doubtful as one sample: {why}" for why in together.doubts]
    return notes


def _changes(made: Trend) -> int:
    asked = [p.question for p in made.points if p.question]
    return sum(1 for before, after in itertools.pairwise(asked) if before != after)
