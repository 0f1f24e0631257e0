"""What was broken: the lab with the fault on it."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.reporting.charts.topology import NODE_HEIGHT, NODE_WIDTH, Topology, topology
from chaoskit.reporting.narrative import leader_role
from chaoskit.reporting.text import instant, markdown
from chaoskit.reporting.view import TrialView, View


def _pictures(view: View) -> list[tuple[TrialView, Topology, tuple[str, ...]]]:
    """Of several trials that look alike only the first: where the roles were, and what was hit."""
    leader = leader_role(view)
    made: dict[tuple[object, ...], tuple[TrialView, Topology, tuple[str, ...]]] = {}
    for trial in view.trials:
        drawn = topology(view.plan, trial.result, leader)
        if drawn is not None:
            made.setdefault((drawn.nodes, drawn.addresses), (trial, drawn, _faults(trial)))
    return list(made.values())


def _faults(trial: TrialView) -> tuple[str, ...]:
    """Each fault in a sentence, with what proves it."""
    said = []
    for fault in trial.faults:
        until = f"healed at {instant(fault.until_s)}" if fault.until_s is not None else "still in force at the end"
        proof = "its effect was verified" if fault.verified else "its effect was not verified"
        said.append(f"{fault.label}, from {instant(fault.from_s)}, {until}; {proof}")
    return tuple(said)


class TopologySection:
    name = "topology"
    title = "What was broken"
    order = 19

    def html(self, view: View) -> Markup:
        pictures = _pictures(view)
        if not pictures:
            return Markup("")
        box = {"width": NODE_WIDTH, "height": NODE_HEIGHT}
        return view.template("topology.html.j2", view=view, pictures=pictures, box=box)

    def markdown(self, view: View) -> str:
        parts = []
        for trial, drawn, faults in _pictures(view):
            parts += [f"### Trial {trial.result.index}"] if view.is_repeated else []
            parts.append(f"{markdown(drawn.summary)}.")
            parts.append("\n".join(f"- {markdown(f)}" for f in faults))
        return "\n\n".join(p for p in parts if p)
