"""How clients with a retry policy behaved, side by side."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.figures import BehaviourFigures, Figure
from chaoskit.model.result import TrialResult
from chaoskit.reporting.charts.storm import most_a_second, sparks, storms
from chaoskit.reporting.narrative import figure_text
from chaoskit.reporting.text import code, count, markdown, number, seconds, table
from chaoskit.reporting.view import View

FIGURES: tuple[tuple[str, str, str], ...] = (
    ("Attempts a request", "amplification", "during the outage"),
    ("Worst second", "peak_amplification", "attempts sent by requests due"),
    ("Given up", "abandoned", "requests without an ok answer"),
    ("Worst latency", "worst_latency", "of a request, as its user waited"),
    ("Noticed", "noticed", "share of the requests due during the outage"),
    ("First error", "first_error", "after the fault's effect"),
    ("Reconnects", "reconnects", "times attempts failed and lastingly succeeded again"),
    ("Time to reconnect", "time_to_reconnect", "from the first failed attempt"),
)
"""(heading, field, meaning)."""


def _errors(figures: BehaviourFigures) -> str:
    return ", ".join(f"{name} {count(n)}" for name, n in sorted(figures.errors.items(), key=lambda e: (-e[1], e[0]))) or "none"


def _cells(figures: BehaviourFigures) -> list[tuple[str, Figure]]:
    return [(heading, getattr(figures, field)) for heading, field, _ in FIGURES]


def _hidden(trial: TrialResult) -> str:
    """Why none of these clients tells how long the service was down."""
    plain = [name for name, c in trial.clients.items() if c.measures_outages]
    instead = (
        f"that is told by {', '.join(plain)}"
        if plain
        else "nobody in this run measured that: add a fresh client without a policy"
    )
    return f"A client that tries again hides outages, so none of these figures is how long the service was down; {instead}."


class BehaviourSection:
    name = "behaviour"
    title = "How clients behaved"
    order = 62

    def html(self, view: View) -> Markup:
        trials = [(t, storms(t.behaviour), _hidden(t)) for t in view.result.trials if t.behaviour]
        if not trials:
            return Markup("")
        return view.template("behaviour.html.j2", view=view, trials=trials, errors=_errors, cells=_cells, figures=FIGURES)

    def markdown(self, view: View) -> str:
        parts: list[str] = []
        for trial in view.result.trials:
            if not trial.behaviour:
                continue
            parts += [f"### Trial {trial.index}"] if len(view.result.trials) > 1 else []
            parts.append(markdown(_hidden(trial)))
            headers = ["Client", "Policy", "Time-out", *(heading for heading, _, _ in FIGURES), "Failed attempts"]
            parts.append(table(headers, [_row(name, f) for name, f in trial.behaviour.items()], right=(2,)))
            parts.append(_course(trial))
        return "\n\n".join(p for p in parts if p)


def _row(name: str, figures: BehaviourFigures) -> list[str]:
    said = [markdown(figure_text(figure)) for _, figure in _cells(figures)]
    policy = f"{figures.policy}; {figures.client_class}"
    return [code(name), markdown(policy), seconds(figures.deadline_s), *said, markdown(_errors(figures))]


def _course(trial: TrialResult) -> str:
    """Attempts a second over time, as text."""
    most = max((most_a_second(f) for f in trial.behaviour.values()), default=0.0)
    first = next(iter(trial.behaviour.values()))
    lines = [
        [code(name), f"`{sparks(f.bins, most, f.bin_s)}`", number(most_a_second(f), 1), count(f.attempts), count(f.requests)]
        for name, f in trial.behaviour.items()
        if f.bins
    ]
    if not lines:
        return ""
    span = f"{number(first.bins[0].from_s, 0)} to {number(first.bins[-1].from_s + first.bin_s, 0)} s"
    return table(["Client", f"Attempts a second, {span}", "Most", "Attempts", "Requests"], lines, right=(2, 3, 4))
