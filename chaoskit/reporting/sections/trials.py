"""Figures over trials: order statistics, each trial with its bounds."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.result import Summary
from chaoskit.reporting.charts.dots import DotRow, Dots, dots
from chaoskit.reporting.narrative import figure_text, rto_limit, words
from chaoskit.reporting.text import code, count, markdown, seconds, span, table
from chaoskit.reporting.view import View


def _clients(view: View) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for t in view.result.trials for name in t.clients))


def rto_summary(view: View, client: str) -> Summary | None:
    """The summary that belongs to a client's RTO: `<client>.rto` or `rto.<client>`; `rto` where there is only one client."""
    summary = view.result.summary
    names = [f"{client}.rto", f"rto.{client}", *(["rto"] if len(_clients(view)) == 1 else [])]
    return next((summary[name] for name in names if name in summary), None)


def _dots(view: View, client: str) -> Dots | None:
    limit, label = rto_limit(view)
    figures = rto_summary(view, client)
    rows = [
        DotRow(f"trial {t.index}", t.clients[client].rto, words(t.clients[client].rto).main, about=t.verdict, href=f"#timeline-{t.index}")
        for t in view.result.trials
        if client in t.clients
    ]
    return dots(
        rows, predicted=view.result.predicted_rto_s, limit_s=limit, limit_label=label,
        median_s=figures.median if figures else None, median_ci=figures.ci if figures else None,
    )  # fmt: skip


def _interval(summary: Summary) -> str:
    if summary.ci is None:
        return summary.confidence or "none at this number of trials"
    return f"{span(*summary.ci)}" + (f" ({summary.confidence})" if summary.confidence else "")


class TrialsSection:
    name = "trials"
    title = "Trials"
    order = 15

    def html(self, view: View) -> Markup:
        if len(view.result.trials) < 2:
            return Markup("")
        charts = [(client, chart) for client in _clients(view) if (chart := _dots(view, client)) is not None]
        return view.template("trials.html.j2", view=view, clients=_clients(view), charts=charts, interval=_interval)

    def markdown(self, view: View) -> str:
        if len(view.result.trials) < 2:
            return ""
        clients = _clients(view)
        rows = [
            [str(t.index), t.verdict, *(markdown(figure_text(t.clients[c].rto)) if c in t.clients else "not measured" for c in clients),
             markdown(figure_text(t.rpo.lost)) if t.rpo else "not measured"]
            for t in view.result.trials
        ]  # fmt: skip
        parts = [table(["Trial", "Verdict", *(f"RTO {code(c)}" for c in clients), "Lost writes"], rows)]
        sums = [
            [code(name), str(s.n), _value(name, s.median), _value(name, s.max), markdown(_interval(s)), str(s.censored)]
            for name, s in view.result.summary.items()
        ]
        parts += [table(["Figure", "n", "Median", "Worst", "Interval of the median", "Censored"], sums)] if sums else []
        return "\n\n".join(parts)


def _value(name: str, value: float | None) -> str:
    return "–" if value is None else seconds(value, 2) if "rto" in name or "time" in name else count(value)
