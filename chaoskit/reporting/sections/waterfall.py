"""Where the time went: the phases of the failover beside the prediction."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from chaoskit.model.figures import Phase
from chaoskit.reporting.charts.lanes import pct
from chaoskit.reporting.narrative import Words, figure_text, words
from chaoskit.reporting.scale import Linear
from chaoskit.reporting.text import markdown, number, seconds, span, table
from chaoskit.reporting.view import View


@dataclass(frozen=True, slots=True)
class Bar:
    """From the end of the phase before to the end of this one; `unsure` spans the bounds of its end."""

    name: str
    source: str
    x: str | None
    width: str | None
    unsure_x: str | None
    unsure_width: str | None
    took: str
    said: Words
    before: bool
    """The length stands before the bar, where there is no room after it."""
    text_x: str


@dataclass(frozen=True, slots=True)
class Waterfall:
    trial: int
    ticks: tuple[tuple[str, str], ...]
    bars: tuple[Bar, ...]
    predicted: tuple[str, str, str] | None


def waterfall(trial: int, phases: tuple[Phase, ...], predicted: tuple[float, float] | None) -> Waterfall | None:
    """None where no phase has a valid instant."""
    known = [v for p in phases if p.at.valid for v in (p.at.point, p.at.low, p.at.high) if v is not None]
    if not known:
        return None
    axis = Linear(min(0.0, *known), max(*known, *(predicted or ()), 0.1) * 1.02)
    bars: list[Bar] = []
    before = 0.0
    for phase in phases:
        at = phase.at
        said = words(at)
        if not at.valid or at.point is None:
            bars.append(Bar(phase.name, phase.source, None, None, None, None, "", said, False, "0%"))
            continue
        left, right = sorted((axis(before), axis(at.point)))
        low, high = axis(at.low if at.low is not None else at.point), axis(at.high if at.high is not None else at.point)
        bars.append(
            Bar(
                phase.name,
                phase.source,
                pct(left),
                pct(max(right - left, 0.3)),
                pct(low),
                pct(max(high - low, 0.0)),
                seconds(at.point - before),
                said,
                high > 85,
                pct(min(left, low) if high > 85 else max(right, high)),
            )
        )
        before = at.point
    band = None
    if predicted is not None:
        band = (pct(axis(predicted[0])), pct(max(axis(predicted[1]) - axis(predicted[0]), 0.4)), f"predicted {span(*predicted)}")
    return Waterfall(trial, tuple((pct(axis(t)), number(t, 6)) for t in axis.time_ticks(7)), tuple(bars), band)


class WaterfallSection:
    name = "waterfall"
    title = "Where the time went"
    order = 30

    def html(self, view: View) -> Markup:
        charts = [
            chart for t in view.result.trials if (chart := waterfall(t.index, t.phases, view.result.predicted_rto_s)) is not None
        ]
        return view.template("waterfall.html.j2", view=view, charts=charts) if charts else Markup("")

    def markdown(self, view: View) -> str:
        parts = []
        for trial in view.result.trials:
            rows = [[markdown(p.name), markdown(figure_text(p.at)), markdown(p.source)] for p in trial.phases]
            if rows:
                parts += [f"### Trial {trial.index}"] if len(view.result.trials) > 1 else []
                parts.append(table(["Phase", "Reached after the fault took effect", "Source"], rows))
        return "\n\n".join(parts)
