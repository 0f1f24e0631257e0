"""How sure we are: proof that the fault bit, the validity gates, and what went wrong while measuring."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from chaoskit.reporting.text import code, instant, markdown, scalar, table
from chaoskit.reporting.view import View


def checks(evidence: tuple[dict[str, Any], ...]) -> list[tuple[str, str, str, bool | None]]:
    """(what it means, expected, seen, holds). Anything the check does not say is shown as "–", and holds as unknown."""
    return [(_cell(e, "means"), _cell(e, "expected"), _seen(e), _holds(e)) for e in evidence]


def _seen(check: Mapping[str, Any]) -> str:
    """What was seen, with the dose where there is one: "as_asked (0.0501 s felt, 0.05 s asked)"."""
    felt, asked, unit = check.get("number"), check.get("asked"), check.get("unit")
    if not isinstance(asked, (int, float)):
        return _cell(check, "seen")
    said = f"{felt:.4g} {unit} felt" if isinstance(felt, (int, float)) else "nothing felt"
    return f"{_cell(check, 'seen')} ({said}, {asked:.4g} {unit} asked)"


def _cell(check: Mapping[str, Any], key: str) -> str:
    value = check.get(key)
    return " or ".join(map(scalar, value)) or "–" if isinstance(value, (list, tuple)) else scalar(value)


def _holds(check: Mapping[str, Any]) -> bool | None:
    return check["holds"] if isinstance(check.get("holds"), bool) else None


_SAID = {True: "yes", False: "**no**", None: "unknown"}


class EvidenceSection:
    name = "evidence"
    title = "How sure we are"
    order = 70

    def html(self, view: View) -> Markup:
        return view.template("evidence.html.j2", view=view, checks=checks)

    def markdown(self, view: View) -> str:
        parts = [f"- {markdown(note)}" for note in view.notes]
        for trial in view.trials:
            result = trial.result
            parts += [f"### Trial {result.index}"] if view.is_repeated else []
            parts += [f"- {markdown(r)}" for r in (*result.reasons, *result.problems)]
            for fault in result.faults:
                proof = "its effect was verified" if fault.verified else "its effect was **not verified**"
                gone = "gone after heal" if fault.gone else "**not verified as gone** after heal"
                at = f" at {instant(fault.injected_s)}" if fault.injected_s is not None else ""
                parts.append(f"{code(fault.name)} on {code(', '.join(fault.target))}{at}: {proof}; {gone}.")
                parts += [f"It waited: {markdown(fault.trigger)}."] if fault.trigger else []
                parts += [f"It was healed because: {markdown(fault.healed_because)}."] if fault.healed_because else []
                rows = [[markdown(m), markdown(e), markdown(s), _SAID[h]] for m, e, s, h in checks(fault.evidence)]
                parts += [table(["Check", "Expected", "Seen", "Holds"], rows)] if rows else []
            parts += [f"- {code(s.action)} was **not injected**: {markdown(s.reason)}" for s in result.skipped]
            gates = [
                [markdown(f"{g.name} ({g.client})" if g.client else g.name), markdown(g.wanted), markdown(g.seen), _SAID[g.met]]
                for g in result.gates
            ]
            parts += [table(["Gate", "Wanted", "Seen", "Met"], gates)] if gates else []
        return "\n\n".join(parts)
