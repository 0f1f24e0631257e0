"""Dots with bounds on one axis: RTO by client or by trial, beside what was predicted and what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit.model.figures import Figure
from chaoskit.reporting.charts.lanes import pct
from chaoskit.reporting.scale import Linear, nice_step
from chaoskit.reporting.text import number, span


@dataclass(frozen=True, slots=True)
class Dot:
    """One row."""

    label: str
    about: str
    text: str
    x: str | None
    """None: there is no point to show (invalid, not measured, none seen)."""
    low_x: str | None
    width: str | None
    is_censored: bool
    is_valid: bool
    href: str


@dataclass(frozen=True, slots=True)
class Band:
    x: str
    width: str
    label: str
    kind: str
    """predicted | median."""


@dataclass(frozen=True, slots=True)
class Dots:
    ticks: tuple[tuple[str, str], ...]
    rows: tuple[Dot, ...]
    bands: tuple[Band, ...]
    limit_x: str | None
    limit_label: str
    median_x: str | None
    unit: str = "s"


@dataclass(frozen=True, slots=True)
class DotRow:
    """What goes in: a label, its figure and the figure's words."""

    label: str
    figure: Figure
    text: str
    about: str = ""
    href: str = ""


def _reach(rows: Sequence[DotRow], others: Sequence[float | None]) -> float:
    values = [v for r in rows for v in (r.figure.point, r.figure.low, r.figure.high) if v is not None]
    return max([v for v in (*values, *others) if v is not None], default=1.0)


def dots(
    rows: Sequence[DotRow],
    *,
    predicted: tuple[float, float] | None = None,
    limit_s: float | None = None,
    limit_label: str = "",
    median_s: float | None = None,
    median_ci: tuple[float | None, float | None] | None = None,
    at_least_s: float = 0.0,
) -> Dots | None:
    """None where no row has any number. The axis begins at 0 and has room for the limit and the prediction.

    `at_least_s`: how far it reaches at least, so that several pictures share one scale.
    """
    if not any(v is not None for r in rows for v in (r.figure.point, r.figure.low, r.figure.high)):
        return None
    top = max(at_least_s, _reach(rows, (*(predicted or ()), limit_s, median_s, *(median_ci or ()))))
    step = nice_step(top * 1.06, 6) if top > 0 else 0.2
    axis = Linear(0.0, max(top * 1.08, step))
    bands = []
    if predicted is not None:
        x, width = axis(predicted[0]), max(axis(predicted[1]) - axis(predicted[0]), 0.4)
        bands.append(Band(pct(x), pct(width), f"predicted {span(*predicted)}", "predicted"))
    if median_ci is not None and median_ci[0] is not None:
        upper = axis(median_ci[1]) if median_ci[1] is not None else 100.0
        bands.append(Band(pct(axis(median_ci[0])), pct(upper - axis(median_ci[0])), "interval of the median", "median"))
    return Dots(
        ticks=tuple((pct(axis(t)), number(t, 6)) for t in axis.ticks(6)),
        rows=tuple(_dot(axis, row) for row in rows),
        bands=tuple(bands),
        limit_x=pct(axis(limit_s)) if limit_s is not None else None,
        limit_label=limit_label,
        median_x=pct(axis(median_s)) if median_s is not None else None,
    )


def _dot(axis: Linear, row: DotRow) -> Dot:
    figure = row.figure
    low = figure.low if figure.low is not None else figure.point
    high = None if figure.censored else figure.high if figure.high is not None else figure.point
    has_line = low is not None and (high is not None or figure.censored)
    right = 100.0 if figure.censored else axis(high) if high is not None else 0.0
    return Dot(
        label=row.label,
        about=row.about,
        text=row.text,
        x=pct(axis(figure.point)) if figure.point is not None and not figure.censored else None,
        low_x=pct(axis(low)) if low is not None and has_line else None,
        width=pct(max(right - axis(low), 0.0)) if low is not None and has_line else None,
        is_censored=figure.censored,
        is_valid=figure.valid,
        href=row.href,
    )
