"""After a run: the index of its folder and the index page are brought up to date."""

from __future__ import annotations

import math
import sqlite3
from pathlib import Path

import click

from chaoskit.archive.baselines import baselines
from chaoskit.archive.index import Index, Wanted, opened
from chaoskit.archive.trends import NOT_MEASURED, trend
from chaoskit.model.errors import ChaoskitError
from chaoskit.model.indexed import IndexedRun, Trend
from chaoskit.reporting.index_page import Contents, write_index_page
from chaoskit.surfaces.terminal import printable

PAGE_RUNS = 500
PAGE_TRENDS = 40
TREND_POINTS = 40


def indexed(directory: Path, reports: Path) -> None:
    """Note a run that has just been judged. What cannot be noted is said on stderr, and changes nothing about the run.

    A run that lies elsewhere (`--out`) belongs to no folder of runs, and is not noted.
    """
    if directory.resolve().parent != reports.resolve():
        return
    try:
        with opened(reports) as index:
            write_page(index, reports)
    except (ChaoskitError, OSError, sqlite3.Error) as error:
        click.echo(
            printable(f"the index of {reports} could not be written: {error}; `chaoskit history rebuild` does it again"), err=True
        )


def write_page(index: Index, reports: Path) -> Path:
    """reports/index.html as the index is now. OSError where it cannot be written."""
    runs = index.runs(limit=PAGE_RUNS)
    trends = [_trends(index.runs(Wanted(experiments=[pair]), limit=TREND_POINTS)) for pair in index.experiments()[:PAGE_TRENDS]]
    contents = Contents(
        runs=runs,
        total=index.count(),
        rto={run.name: words(run, "rto") for run in runs},
        lost={run.name: lost_words(run) for run in runs},
        trends=[pair for pair in trends if pair[0].points],
        baselines=baseline_names(reports),
    )
    return write_index_page(reports, contents)


def words(run: IndexedRun, figure: str) -> str:
    """A figure of a run, in words; empty where it has none."""
    if run.state != "judged":
        return ""
    text = trend([run], figure).points[0].text
    return "" if text == NOT_MEASURED else text


def lost_words(run: IndexedRun) -> str:
    """How many acknowledged writes are gone, of the trial with the fewest and that with the most; empty where nobody counted."""
    valid = [f for f in run.figures.get("lost", ()) if f.valid]
    if run.state != "judged" or not run.figures.get("lost"):
        return ""
    if not valid:
        return "unknown"
    least = min(f.low if f.low is not None else f.point or 0.0 for f in valid)
    highs = [f.high if f.high is not None else math.inf for f in valid]
    most = f"{max(highs):.10g}" if math.isfinite(max(highs)) else "unknown"
    return most if f"{least:.10g}" == most else f"{least:.10g} to {most}"


def _trends(runs: list[IndexedRun]) -> tuple[Trend, Trend | None]:
    return trend(runs, "rto"), trend(runs, "lost") if any("lost" in run.figures for run in runs) else None


def baseline_names(reports: Path) -> dict[str, tuple[str, ...]]:
    """Run -> the baselines it belongs to."""
    found: dict[str, tuple[str, ...]] = {}
    for name, baseline in baselines(reports).items():
        for run in baseline.runs:
            found[run] = (*found.get(run, ()), name)
    return found
