"""How each client fared."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.figures import ClientFigures, Figure
from chaoskit.model.result import TrialResult
from chaoskit.reporting.narrative import figure_text
from chaoskit.reporting.text import code, count, markdown, seconds, table
from chaoskit.reporting.view import ClientSeries, View

HIDDEN = "(felt through its policy: not that of the service)"


def _series(view: View, trial: TrialResult) -> dict[str, ClientSeries]:
    return {c.name: c for t in view.trials if t.result.index == trial.index for c in t.clients}


def _errors(client: ClientFigures) -> str:
    return ", ".join(f"{name} {count(n)}" for name, n in sorted(client.errors.items(), key=lambda e: (-e[1], e[0]))) or "none"


Row = tuple[str, str, Figure, Figure, int]
"""(name, meaning, RTO, user RTO, outages)."""


def _vantages(client: ClientFigures) -> list[Row]:
    """How the client fared as seen from several places: by how many were down at once, then from each of them."""
    found = client.vantages
    if found is None:
        return []
    levels = (
        ("Any vantage", "the headline", found.any_down),
        ("No majority of the vantages", "so many that no majority is ok", found.quorum_down),
        ("All vantages", "nobody is served", found.all_down),
    )
    rows = [
        (name, f"{meaning}: {x.needed} of {len(found.each)} down", x.rto, x.user_rto, len(x.outages))
        for name, meaning, x in levels
    ]
    return rows + [(f"From {name}", "this vantage alone", f.rto, f.user_rto, len(f.outages)) for name, f in found.each.items()]


def _states(client: ClientFigures) -> str:
    """The three downtimes."""
    return ", ".join(
        f"{state} {seconds(client.downtime[state])}" for state in ("ok", "degraded", "down") if state in client.downtime
    )


class ClientsSection:
    name = "clients"
    title = "How each client fared"
    order = 61

    def html(self, view: View) -> Markup:
        trials = [(t, _series(view, t)) for t in view.result.trials if t.clients]
        return (
            view.template("clients.html.j2", view=view, trials=trials, errors=_errors, states=_states, vantages=_vantages)
            if trials
            else Markup("")
        )

    def markdown(self, view: View) -> str:
        parts = []
        for trial in view.result.trials:
            if not trial.clients:
                continue
            parts += [f"### Trial {trial.index}"] if len(view.result.trials) > 1 else []
            rows = [
                [
                    code(name),
                    markdown(figure_text(c.rto)) + (f" {HIDDEN}" if c.policy else ""),
                    markdown(figure_text(c.availability)),
                    count(c.operations),
                    *(seconds(c.latency.get(q)) for q in ("p50", "p95", "p99", "max")),
                    markdown(_states(c)),
                    markdown(_errors(c)),
                    markdown(figure_text(c.reconnect)) if c.reconnect else "",
                ]
                for name, c in trial.clients.items()
            ]
            headers = ["Client", "RTO", "Availability", "Operations", "p50", "p95", "p99", "max", "Time", "Errors", "Reconnect"]
            parts.append(table(headers, rows, right=(3, 4, 5, 6, 7)))
            for name, c in trial.clients.items():
                if c.vantages is not None:
                    seen = [
                        [
                            markdown(what),
                            markdown(figure_text(rto)),
                            markdown(figure_text(user)),
                            count(outages),
                            markdown(meaning),
                        ]
                        for what, meaning, rto, user, outages in _vantages(c)
                    ]
                    parts.append(
                        f"{code(name)} from {len(c.vantages.each)} vantages; lost {markdown(figure_text(c.vantages.lost_time))}."
                    )
                    parts.append(table(["Down", "RTO", "As users waited", "Outages", "Meaning"], seen, right=(3,)))
            texts = [
                [code(name), code(m.outcome), count(m.count), code(m.message)]
                for name, series in _series(view, trial).items()
                for m in series.messages
            ]
            parts += [table(["Client", "Class", "Times", "Message"], texts, right=(2,))] if texts else []
        return "\n\n".join(parts)
