"""reports/index.html: every run of a folder in one offline page, and how each experiment's figures went."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from urllib.parse import quote

from markupsafe import Markup

from chaoskit.model.indexed import IndexedRun, Outcome, Trend
from chaoskit.reporting.charts.trend import HEIGHT_PX, TOP_PX, TrendChart, trend_chart
from chaoskit.reporting.render import template
from chaoskit.reporting.writing import write_whole

INDEX_PAGE = "index.html"
ORDER: Sequence[Outcome] = ("failed", "unknown", "passed", "running", "dead", "unjudged", "unreadable")


@dataclass(frozen=True, slots=True)
class Row:
    """One run, with the words of its figures."""

    run: IndexedRun
    href: str
    started: str
    rto: str
    rto_sort: str
    """For sorting; what never recovered comes last, what is not known after that."""
    lost: str
    lost_sort: str
    baselines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TrendView:
    trend: Trend
    charts: tuple[TrendChart, ...]
    words: tuple[tuple[str, str, str, str, str], ...]
    """(run, its report, verdict, RTO, lost writes), newest first."""


@dataclass(frozen=True, slots=True)
class Contents:
    """What the page shows."""

    runs: Sequence[IndexedRun]
    """The newest first."""
    total: int
    """All there are; more than `runs` where the folder has many."""
    rto: Mapping[str, str]
    """Run -> words of its RTO."""
    lost: Mapping[str, str]
    trends: Sequence[tuple[Trend, Trend | None]]
    """RTO and, where it was measured, lost writes of each experiment."""
    baselines: Mapping[str, tuple[str, ...]]
    """Run -> the baselines it belongs to."""


@cache
def _static(name: str) -> str:
    return files("chaoskit.reporting").joinpath("static", name).read_text(encoding="utf-8")


def index_page(contents: Contents) -> str:
    """The page; the same contents give the same bytes."""
    counted = Counter(run.outcome for run in contents.runs)
    return (
        str(
            template(
                "index.html.j2",
                rows=[_row(run, contents) for run in contents.runs],
                total=contents.total,
                counts=[(outcome, counted[outcome]) for outcome in ORDER if counted[outcome]],
                trends=[_trend_view(rto, lost) for rto, lost in contents.trends],
                plot={"height": HEIGHT_PX + TOP_PX, "foot": HEIGHT_PX + TOP_PX, "top": TOP_PX},
                style=Markup(_static("report.css") + _static("index.css")),
                script=Markup(_static("index.js")),
            )
        )
        + "\n"
    )


def write_index_page(reports: Path, contents: Contents) -> Path:
    """Write it into the folder, whole or not at all. OSError where that cannot be done."""
    path = reports / INDEX_PAGE
    write_whole(path, index_page(contents))
    return path


def _href(name: str, has_report: bool) -> str:
    return f"./{quote(name, safe='')}/report.html" if has_report else ""


def _row(run: IndexedRun, contents: Contents) -> Row:
    return Row(
        run=run,
        href=_href(run.name, run.has_report),
        started=_day(run.started),
        rto=contents.rto.get(run.name, ""),
        rto_sort=_sort_key(run, "rto"),
        lost=contents.lost.get(run.name, ""),
        lost_sort=_sort_key(run, "lost"),
        baselines=contents.baselines.get(run.name, ()),
    )


def _day(iso: str) -> str:
    """An ISO instant as "22 Nov 2026, 17:36 UTC"; text that is none comes back as it is."""
    try:
        moment = datetime.fromisoformat(iso).astimezone(UTC)
    except (ValueError, OverflowError):
        return iso
    return f"{moment.day} {moment.strftime('%b %Y, %H:%M')} UTC"


def _sort_key(run: IndexedRun, figure: str) -> str:
    """The worst trial's upper bound."""
    valid = [f for f in run.figures.get(figure, ()) if f.valid]
    if not valid:
        return "1e300"
    if any(f.censored for f in valid):
        return "1e299"
    return f"{max(f.high if f.high is not None else f.point or 0.0 for f in valid):.9g}"


def _trend_view(rto: Trend, lost: Trend | None) -> TrendView:
    losses = {} if lost is None else {p.run: p.text for p in lost.points}
    charts = [trend_chart(t) for t in (rto, lost) if t is not None]
    return TrendView(
        trend=rto,
        charts=tuple(c for c in charts if c is not None),
        words=tuple((p.run, _href(p.run, p.has_report), p.outcome, p.text, losses.get(p.run, "")) for p in reversed(rto.points)),
    )
