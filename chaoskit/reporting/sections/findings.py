"""What stands out, with its evidence, and what to try next."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.reporting.findings import findings, trials_needed
from chaoskit.reporting.text import markdown
from chaoskit.reporting.view import View

SHOWN = 6
"""Pieces of evidence for one finding; the rest are counted."""


class FindingsSection:
    name = "findings"
    title = "Findings"
    order = 18

    def html(self, view: View) -> Markup:
        found, needed = findings(view.result), trials_needed(view.result)
        return view.template("findings.html.j2", found=found, needed=needed, shown=SHOWN) if found or needed else Markup("")

    def markdown(self, view: View) -> str:
        parts = []
        for finding in findings(view.result):
            parts.append(f"- **{finding.title}.** {finding.advice}")
            parts += [f"  - {markdown(e)}" for e in finding.evidence[:SHOWN]]
            parts += [f"  - and {len(finding.evidence) - SHOWN} more"] if len(finding.evidence) > SHOWN else []
        needed = trials_needed(view.result)
        return "\n".join(parts) + (f"\n\n{markdown(needed)}" if needed else "")
