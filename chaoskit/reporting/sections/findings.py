"""What stands out, with its evidence, and what to try next."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.reporting.findings import findings, trials_needed
from chaoskit.reporting.narrative import leader_role
from chaoskit.reporting.suggestions import suggestions
from chaoskit.reporting.text import code, markdown, table
from chaoskit.reporting.view import View

NOTHING = "Nothing stands out: no rule for findings applies to these figures."
SHOWN = 6
"""Pieces of evidence for one finding; the rest are counted."""


class FindingsSection:
    name = "findings"
    title = "What stands out, and what to try next"
    order = 75

    def html(self, view: View) -> Markup:
        leader = leader_role(view)
        found, needed = findings(view.result, leader), trials_needed(view.result)
        following = suggestions(view, found, leader)
        return view.template("findings.html.j2", found=found, needed=needed, shown=SHOWN, suggestions=following)

    def markdown(self, view: View) -> str:
        leader = leader_role(view)
        found = findings(view.result, leader)
        parts = [] if found else [NOTHING]
        for finding in found:
            parts.append(f"- **{finding.title}.** {finding.advice} ({code(finding.reference)})")
            parts += [f"  - {markdown(e)}" for e in finding.evidence[:SHOWN]]
            parts += [f"  - and {len(finding.evidence) - SHOWN} more"] if len(finding.evidence) > SHOWN else []
        needed = trials_needed(view.result)
        parts += [f"\n{markdown(needed)}"] if needed else []
        following = suggestions(view, found, leader)
        rows = [[markdown(s.title), markdown(s.why), code(s.line)] for s in following]
        parts += ["\n" + table(["Try next", "Because", "How"], rows)] if rows else []
        return "\n".join(parts)
