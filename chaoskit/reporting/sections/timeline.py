"""What happened when: one time axis for everything, a time line for each trial."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.history import OUTCOMES
from chaoskit.reporting.charts.timeline import timeline
from chaoskit.reporting.narrative import leader_role
from chaoskit.reporting.samples import OUTCOME_NAMES
from chaoskit.reporting.text import code, instant, markdown, seconds, span, table
from chaoskit.reporting.view import STATE_NAMES, TrialView, View

_RANK = {"unknown": 1, "failed": 2, "passed": 0}


def first_open(view: View) -> int | None:
    """The trial that is shown open: the worst one, the first among equals."""
    worst = max(view.trials, key=lambda t: (_RANK[t.result.verdict], -t.result.index), default=None)
    return worst.result.index if worst else None


def _outages(trial: TrialView) -> str:
    rows = [
        [
            code(name),
            instant(o.first_failure_s),
            instant(o.recovered_s) if o.recovered_s is not None else "not recovered",
            seconds(o.point_s),
            span(o.low_s, o.high_s),
            markdown(", ".join(f"{k} {n}" for k, n in o.errors.items())),
        ]
        for name, client in trial.result.clients.items()
        for o in client.outages
    ]
    return table(["Client", "First failure", "Back", "Length", "Bounds", "Errors"], rows) if rows else "No outage was seen."


def _tally(trial: TrialView) -> str:
    rows = []
    for series in trial.clients:
        by_state = [str(int((series.state == i).sum())) for i in range(len(STATE_NAMES))]
        kinds = {n: int((series.outcome == i).sum()) for i, n in enumerate(OUTCOME_NAMES) if n not in OUTCOMES[:2]}
        rows.append([code(series.name), *by_state, ", ".join(f"{n} {k}" for n, k in kinds.items() if k) or "none"])
    return table(["Client", *STATE_NAMES, "Failures by class"], rows, right=(1, 2, 3, 4)) if rows else ""


class TimelineSection:
    name = "timeline"
    title = "What happened when"
    order = 20

    def html(self, view: View) -> Markup:
        leader = leader_role(view)
        charts = [(trial, timeline(trial, leader)) for trial in view.trials]
        return view.template("timeline.html.j2", view=view, charts=charts, opened=first_open(view)) if charts else Markup("")

    def markdown(self, view: View) -> str:
        parts = []
        for trial in view.trials:
            if view.is_repeated:
                parts.append(f"### Trial {trial.result.index}: {trial.result.verdict}")
            for fault in trial.faults:
                until = f"healed at {instant(fault.until_s)}" if fault.until_s is not None else "still in force at the end"
                proof = "" if fault.verified else "; its effect was **not verified**"
                parts.append(f"{markdown(fault.label)}: injected at {instant(fault.from_s)}, {until}{proof}.")
            parts += [_outages(trial), _tally(trial)]
            held = [
                f"- {code(r.node)} held {markdown(r.role)} from {instant(r.from_s)} to {instant(r.until_s)}"
                for r in sorted(trial.roles, key=lambda r: (r.role, r.from_s, r.node))
                if r.state == "yes"
            ]
            parts += ["\n".join(held)] if held else []
        return "\n\n".join(p for p in parts if p)
