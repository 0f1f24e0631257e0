"""The answer: verdict, what users felt, what was lost, each objective, and the measured RTO beside the predicted one."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.result import ObjectiveOutcome
from chaoskit.reporting.charts.dots import DotRow, Dots, dots
from chaoskit.reporting.findings import findings
from chaoskit.reporting.narrative import (
    VERDICT_WORDS,
    downtime_sentence,
    figure_text,
    leader_role,
    loss_sentence,
    objectives_sentence,
    rto_limit,
    words,
)
from chaoskit.reporting.text import code, markdown, span, table
from chaoskit.reporting.view import View

STANDING = 4
"""Findings named on the first screen."""
STATUS = {True: "met", False: "missed", None: "unknown"}


def outcomes(view: View) -> tuple[ObjectiveOutcome, ...]:
    """The run's objectives; where the run has none of its own, those of its trials."""
    if view.result.objectives:
        return view.result.objectives
    return tuple(o.model_copy(update={"trial": t.index}) for t in view.result.trials for o in t.objectives)


def _dots(view: View) -> Dots | None:
    """RTO of each client for one trial. Several trials have a section of their own."""
    trials = view.result.trials
    if len(trials) != 1:
        return None
    limit, label = rto_limit(view)
    rows = [
        DotRow(name, client.rto, words(client.rto).main, about=_about(view, name)) for name, client in trials[0].clients.items()
    ]
    return dots(rows, predicted=view.result.predicted_rto_s, limit_s=limit, limit_label=label)


def _about(view: View, client: str) -> str:
    figures = view.result.trials[0].clients[client]
    return f"{figures.operation}, {figures.client_class}" if figures.operation else figures.client_class


class VerdictSection:
    name = "verdict"
    title = "Verdict"
    order = 10

    def html(self, view: View) -> Markup:
        return view.template(
            "verdict.html.j2",
            view=view,
            result=view.result,
            outcomes=outcomes(view),
            status=STATUS,
            dots=_dots(view),
            verdict=VERDICT_WORDS[view.result.verdict],
            downtime=downtime_sentence(view),
            loss=loss_sentence(view),
            summary=objectives_sentence(view),
            standing=findings(view.result, leader_role(view))[:STANDING],
        )

    def markdown(self, view: View) -> str:
        result = view.result
        parts = []
        if result.undo.dirty:
            owed = "\n".join(f"- {code(item)}" for item in result.undo.dirty)
            parts.append(f"> **SOMETHING IS STILL BROKEN.** Not everything could be put back. Run `chaoskit recover`.\n\n{owed}")
        if result.incomplete:
            parts.append(f"> **The run ended early:** {markdown(result.incomplete)}")
        parts.append(f"**{VERDICT_WORDS[result.verdict]}.** {markdown(downtime_sentence(view))} {markdown(loss_sentence(view))}")
        parts += [f"- {markdown(reason)}" for reason in result.reasons]
        parts += [f"- **{f.title}:** {markdown(f.evidence[0])}" for f in findings(result, leader_role(view))[:STANDING]]
        rows = [
            [
                markdown(o.name),
                markdown(o.subject),
                "" if o.trial is None else str(o.trial),
                code(o.target),
                markdown(o.actual),
                f"**{STATUS[o.met]}**" if o.met is not True else "met",
                markdown("; ".join(o.reasons)),
            ]
            for o in outcomes(view)
        ]
        if rows:
            parts.append(table(["Objective", "Of", "Trial", "Target", "Actual", "Outcome", "Why"], rows))
        if result.predicted_rto_s:
            measured = "; ".join(
                f"{code(name)} {markdown(figure_text(c.rto))}" for t in result.trials[:1] for name, c in t.clients.items()
            )
            beside = f"; measured: {measured}" if len(result.trials) == 1 and measured else ""
            parts.append(f"Predicted RTO from the settings: {span(*result.predicted_rto_s)}{beside}.")
        return "\n\n".join(parts)
