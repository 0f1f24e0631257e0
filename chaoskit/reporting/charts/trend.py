"""A figure of one experiment, run by run: a bar from bound to bound, and a mark whose shape is the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit.model.indexed import Trend, TrendPoint
from chaoskit.reporting.charts.lanes import pct
from chaoskit.reporting.scale import Linear, nice_step
from chaoskit.reporting.text import number, one_line

HEIGHT_PX = 150.0
TOP_PX = 16.0
"""Above the plot: where the arrows of what never recovered point to."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One run."""

    x: str
    y: str
    """Of its point; where it has none, of the foot of the plot."""
    bar_y: str | None
    bar_height: str
    outcome: str
    has_figure: bool
    is_censored: bool
    is_another_question: bool
    """It asked something else than the run before it."""
    words: str


@dataclass(frozen=True, slots=True)
class TrendChart:
    figure: str
    unit: str
    ticks: tuple[tuple[str, str], ...]
    """(y, label)."""
    marks: tuple[Mark, ...]
    band_y: str | None
    band_height: str
    band_label: str
    first: str
    last: str
    """The days of the first and the last run."""
    label: str
    """Everything in one sentence, for whoever does not see it."""


def trend_chart(found: Trend) -> TrendChart | None:
    """None where no run has any number."""
    values = [v for p in found.points for v in (p.point, p.low, p.high) if v is not None]
    if not values:
        return None
    predicted = found.predicted_s
    top = max([*values, *(predicted or ())], default=1.0) or 1.0
    step = nice_step(top * 1.05, 4)
    axis = Linear(0.0, max(top * 1.05, step), HEIGHT_PX)
    return TrendChart(
        figure=found.figure,
        unit=found.unit,
        ticks=tuple((_y(axis, t), f"{number(t, 6)}{f' {found.unit}' if t else ''}") for t in axis.ticks(4)),
        marks=_marks(axis, found.points),
        band_y=None if predicted is None else _y(axis, predicted[1]),
        band_height="" if predicted is None else _px(max(axis(predicted[1]) - axis(predicted[0]), 1.5)),
        band_label="" if predicted is None else f"predicted: {number(predicted[0])} to {number(predicted[1])} s",
        first=found.points[0].started[:10],
        last=found.points[-1].started[:10] if len(found.points) > 1 else "",
        label=_label(found),
    )


def _marks(axis: Linear, points: Sequence[TrendPoint]) -> tuple[Mark, ...]:
    made = []
    for i, point in enumerate(points):
        high_y = TOP_PX if point.censored else _y_px(axis, point.high if point.high is not None else point.low)
        low_y = _y_px(axis, point.low)
        at = point.point if point.point is not None else point.low
        made.append(
            Mark(
                x=pct(100 * (i + 0.5) / len(points)),
                y=_px(_y_px(axis, at)),
                bar_y=None if point.low is None else _px(min(high_y, low_y)),
                bar_height="" if point.low is None else _px(max(abs(low_y - high_y), 2.0)),
                outcome=point.outcome,
                has_figure=point.n > 0,
                is_censored=point.censored > 0,
                is_another_question=i > 0 and point.question != points[i - 1].question != "",
                words=f"{point.run}: {point.outcome}, {one_line(point.text, 160)}",
            )
        )
    return tuple(made)


def _y_px(axis: Linear, value: float | None) -> float:
    return TOP_PX + HEIGHT_PX - (axis(value) if value is not None else 0.0)


def _y(axis: Linear, value: float) -> str:
    return _px(_y_px(axis, value))


def _px(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _label(found: Trend) -> str:
    points = [p.point for p in found.points if p.point is not None]
    span = f"; from {number(min(points))} to {number(max(points))} {found.unit}" if points else ""
    censored, invalid = sum(p.censored > 0 for p in found.points), sum(p.n == 0 for p in found.points)
    more = [f"{censored} with trials that never recovered"] if censored else []
    more += [f"{invalid} without a valid figure"] if invalid else []
    return f"{found.figure} over {len(found.points)} runs{span}{'; ' if more else ''}{', '.join(more)}"
