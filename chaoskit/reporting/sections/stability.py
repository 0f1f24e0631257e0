"""Whether the cluster flapped, and who led."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.figures import AddressFigures, FailbackFigures, FlappingFigures
from chaoskit.model.result import TrialResult
from chaoskit.reporting.narrative import Words, words
from chaoskit.reporting.text import count, markdown, seconds, table
from chaoskit.reporting.view import View


def _nagios(figures: FlappingFigures) -> list[tuple[str, str, Words]]:
    score = figures.nagios
    if score is None:
        return []
    said = words(score.highest)
    state = f"flapping for {seconds(score.flapping_s)}" if score.starts else "not flapping"
    meaning = "percent state change over 21 samples of 1 s, flapping from 20 % until below 5 %; not judged"
    return [("Nagios score", meaning, Words(said.state, said.main, said.detail or f"{score.client}, {state}"))]


def _transitions(figures: FlappingFigures) -> Words:
    counts = figures.transition_counts
    said = ", ".join(f"{name} {count(n)}" for name, n in counts.items() if n) or "none"
    return Words("measured", said)


def _rows(figures: FlappingFigures) -> list[tuple[str, str, Words]]:
    """(name, meaning, value)."""
    return [
        ("Flaps", "down again after having been back", words(figures.flaps)),
        ("Leader changes", "confirmed", words(figures.leader_changes)),
        ("Excess leader changes", "beyond the one that a failover needs", words(figures.excess_leader_changes)),
        ("Ping-pong", "back to the old leader within 60 s", Words("measured", str(figures.ping_pong))),
        ("Unstable time", "first failure to final recovery", words(figures.unstable_time)),
        ("Stability", "recovery time of the first outage by the unstable time", words(figures.stability)),
        ("Two leaders", "time with more than one owner of the role", words(figures.dual_owner_time)),
        ("No leader", "time with no owner of the role", words(figures.no_owner_time)),
        ("Raw transitions", "changes between ok and failed, undebounced; result.json has their instants", _transitions(figures)),
        *_nagios(figures),
    ]


def _failback_rows(figures: FailbackFigures) -> list[tuple[str, str, Words]]:
    rows = [(f"{figures.node} leads again", "the leader before the fault, after the fault's effect", words(figures.at))]
    if figures.after_heal is not None:
        rows.append((f"{figures.node} leads again, from the heal", "after the heal began", words(figures.after_heal)))
    cost = f"outage as {figures.client} met it" if figures.client else "outage of fresh clients"
    return [*rows, ("Cost of its return", f"{cost}, when {figures.stand_in} handed over", words(figures.outage))]


def _address_rows(name: str, figures: AddressFigures) -> list[tuple[str, str, Words]]:
    said = "; ".join(figures.announcements) or "nothing"
    return [
        (f"Moves of {name}", f"of {figures.address} from one node to another, as answered on the wire", words(figures.moves)),
        (f"Two owners of {name}", "time in which two nodes answered for it", words(figures.dual_owner_time)),
        (f"No owner of {name}", "time in which nobody answered for it", words(figures.no_owner_time)),
        (f"New owner of {name}", "after the fault's effect, its first announcement", words(figures.takeover)),
        (f"Announced {name}", "frames seen on the switch", Words("measured", said)),
    ]


def _all_rows(trial: TrialResult) -> list[tuple[str, str, Words]]:
    rows = _rows(trial.flapping) if trial.flapping is not None else []
    rows += _failback_rows(trial.failback) if trial.failback is not None else []
    return rows + [row for name, figures in sorted(trial.addresses.items()) for row in _address_rows(name, figures)]


class StabilitySection:
    name = "stability"
    title = "Stability and leadership"
    order = 60

    def html(self, view: View) -> Markup:
        tables = [(t, rows) for t in view.result.trials if (rows := _all_rows(t))]
        return view.template("stability.html.j2", view=view, tables=tables) if tables else Markup("")

    def markdown(self, view: View) -> str:
        parts = []
        for trial in view.result.trials:
            if found := _all_rows(trial):
                parts += [f"### Trial {trial.index}"] if len(view.result.trials) > 1 else []
                rows = [
                    [name, markdown(f"{said.main}" + (f" ({said.detail})" if said.detail else "")), meaning]
                    for name, meaning, said in found
                ]
                parts.append(table(["Figure", "Value", "Meaning"], rows))
        return "\n\n".join(parts)
