"""Stale reads: what clients were told, held against what had been acknowledged."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.figures import StaleReadFigures
from chaoskit.reporting.narrative import words
from chaoskit.reporting.text import count, instant, markdown, span, table
from chaoskit.reporting.view import View

SHOWN = 50
COLUMNS = ("Read", "By", "Returned", "Acknowledged before", "Behind", "For")


def _rows(figures: StaleReadFigures) -> list[tuple[str, str, str]]:
    """(what, value, remark)."""
    stale, writes, behind = words(figures.stale), words(figures.behind_writes), words(figures.behind)
    by = ", ".join(f"{node} {count(n)}" for node, n in figures.by_node.items())
    rows = [
        ("Reads", count(figures.reads), f"of the ledger of {figures.ledger}"),
        ("Stale", stale.main, stale.detail or (f"answered by {by}" if by else "")),
        ("Furthest behind, in writes", writes.main, writes.detail),
        ("Furthest behind, in time", behind.main, behind.detail),
    ]
    return rows + ([("Ahead of what was sent", count(figures.ahead), "")] if figures.ahead else [])


def _listed(figures: StaleReadFigures) -> list[tuple[str, ...]]:
    return [
        (
            instant(r.read_s),
            r.node or "unknown",
            f"#{r.returned}" if r.returned >= 0 else "nothing",
            f"#{r.acknowledged}",
            f"{count(r.behind_writes)} writes",
            span(r.behind_low_s, r.behind_high_s),
        )
        for r in figures.listed[:SHOWN]
    ]


class StalenessSection:
    name = "staleness"
    title = "Stale reads"
    order = 45

    def html(self, view: View) -> Markup:
        tables = [
            (trial, [(name, f, _rows(f), _listed(f)) for name, f in trial.stale_reads.items()])
            for trial in view.result.trials
            if trial.stale_reads
        ]
        return view.template("staleness.html.j2", view=view, tables=tables, columns=COLUMNS) if tables else Markup("")

    def markdown(self, view: View) -> str:
        parts = []
        for trial in view.result.trials:
            if trial.stale_reads:
                parts += [f"### Trial {trial.index}"] if len(view.result.trials) > 1 else []
            for name, figures in trial.stale_reads.items():
                parts.append(
                    table([markdown(name), "", "Remark"], [[markdown(c) for c in row] for row in _rows(figures)], right=(1,))
                )
                if figures.listed:
                    rows = [[markdown(c) for c in row] for row in _listed(figures)]
                    parts += [f"Stale reads; the first {len(rows)}:", table(list(COLUMNS), rows)]
                parts += [f"- **Defect:** {markdown(d)}" for d in figures.defects]
        return "\n\n".join(parts)
