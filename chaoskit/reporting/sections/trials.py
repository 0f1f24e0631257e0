"""Figures over trials: order statistics, each trial with its bounds."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.over_trials import Summary
from chaoskit.reporting.charts.dots import DotRow, Dots, dots
from chaoskit.reporting.narrative import figure_text, rto_limit, words
from chaoskit.reporting.text import code, markdown, number, table
from chaoskit.reporting.view import View


def _clients(view: View) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for t in view.result.trials for name in t.clients))


def rto_summary(view: View, client: str) -> Summary | None:
    """The figure over trials of one client's RTO; None where the run has none."""
    return view.result.summary.get(f"rto:{client}")


def _dots(view: View, client: str) -> Dots | None:
    limit, label = rto_limit(view)
    figures = rto_summary(view, client)
    rows = [
        DotRow(
            f"trial {t.index}",
            t.clients[client].rto,
            words(t.clients[client].rto).main,
            about=t.verdict,
            href=f"#timeline-{t.index}",
        )
        for t in view.result.trials
        if client in t.clients
    ]
    return dots(
        rows,
        predicted=view.result.predicted_rto_s,
        limit_s=limit,
        limit_label=label,
        at_least_s=max(
            (f.high or f.low or 0.0 for t in view.result.trials for f in (c.rto for c in t.clients.values())), default=0.0
        ),
        median_s=figures.median if figures else None,
        median_ci=figures.ci if figures else None,
    )


def _interval(summary: Summary) -> str:
    if summary.ci is None:
        return summary.confidence or "none at this number of trials"
    low, high = summary.ci
    return f"{number(low, 3)} to {number(high, 3) if high is not None else 'infinity'}" + (
        f"; {summary.confidence}" if summary.confidence else ""
    )


class TrialsSection:
    name = "trials"
    title = "Trials"
    order = 15

    def html(self, view: View) -> Markup:
        if len(view.result.trials) < 2:
            return Markup("")
        charts = [(client, chart) for client in _clients(view) if (chart := _dots(view, client)) is not None]
        return view.template("trials.html.j2", view=view, clients=_clients(view), charts=charts, interval=_interval, value=_value)

    def markdown(self, view: View) -> str:
        if len(view.result.trials) < 2:
            return ""
        clients = _clients(view)
        rows = [
            [
                str(t.index),
                t.verdict,
                *(markdown(figure_text(t.clients[c].rto)) if c in t.clients else "not measured" for c in clients),
                markdown(figure_text(t.rpo.lost)) if t.rpo else "not measured",
            ]
            for t in view.result.trials
        ]
        parts = [table(["Trial", "Verdict", *(f"RTO {code(c)}" for c in clients), "Lost writes"], rows)]
        sums = [
            [code(name), str(s.n), _value(s.median, s), _value(s.max, s), markdown(_interval(s)), str(s.censored)]
            for name, s in view.result.summary.items()
        ]
        parts += [table(["Figure", "n", "Median", "Worst", "Interval of the median", "Censored"], sums)] if sums else []
        parts += [markdown(view.result.losses.text)] if view.result.losses else []
        return "\n\n".join(parts)


def _value(value: float | None, summary: Summary) -> str:
    """A median or worst without a number is infinite where trials are censored, and unknown otherwise."""
    return number(value, 3) if value is not None else "infinite" if summary.censored else "unknown"
