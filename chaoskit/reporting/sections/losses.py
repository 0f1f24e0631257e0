"""What was lost: the ledger's figures, and the writes that were acknowledged and are gone."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.result import LedgerFigures
from chaoskit.reporting.narrative import figure_text, words
from chaoskit.reporting.text import code, count, instant, markdown, table
from chaoskit.reporting.view import View

SHOWN = 50


def _bound(ledger: LedgerFigures) -> str:
    """What zero lost writes prove: at 95 % confidence the loss rate is below 3/n."""
    if not ledger.lost.valid or ledger.lost.point != 0 or ledger.acknowledged < 1:
        return ""
    share = 3 / ledger.acknowledged
    return (
        f"no loss in {count(ledger.acknowledged)} writes bounds the loss rate below {share:.2g} (95 % confidence)"
        if share < 1
        else ""
    )


def _rows(ledger: LedgerFigures) -> list[tuple[str, str, str]]:
    """(what, value, remark) in the order in which people ask."""
    lost, window, acks = words(ledger.lost), words(ledger.window), words(ledger.split_brain_acks)
    tail = {
        True: "the last writes before the fault, as asynchronous replication loses them",
        False: "not one contiguous tail: not plain asynchronous truncation",
        None: "",
    }[ledger.contiguous_tail]
    rows = [
        ("Acknowledged", count(ledger.acknowledged), ""),
        ("Lost", lost.main, lost.detail or _bound(ledger)),
        ("Window of the loss", window.main, window.detail or tail),
        ("Recovered", count(ledger.recovered), "in the data though never acknowledged: a time-out may take effect later"),
        ("Phantom", count(ledger.phantom), "in the data though never attempted"),
        ("Duplicated", count(ledger.duplicated), "in the data more than once"),
        ("Acknowledged by the old leader after the fault", acks.main, acks.detail),
    ]
    differ = ", ".join(f"{node} by {count(n)}" for node, n in ledger.divergence.items() if n)
    if ledger.divergence:
        rows.append(
            (
                "Nodes that differ from the final read",
                differ or "none",
                f"each node's own content: {', '.join(ledger.divergence)}",
            )
        )
    return rows


class LossesSection:
    name = "losses"
    title = "What was lost"
    order = 40

    def html(self, view: View) -> Markup:
        ledgers = [(t, t.rpo, _rows(t.rpo)) for t in view.result.trials if t.rpo is not None]
        return view.template("losses.html.j2", view=view, ledgers=ledgers, shown=SHOWN) if ledgers else Markup("")

    def markdown(self, view: View) -> str:
        parts = []
        for trial in view.result.trials:
            if trial.rpo is None:
                continue
            parts += [f"### Trial {trial.index}"] if len(view.result.trials) > 1 else []
            parts.append(table(["Writes", "", "Remark"], [[markdown(c) for c in row] for row in _rows(trial.rpo)], right=(1,)))
            lost = trial.rpo.lost_writes
            if lost:
                rows = [[code(w.client), code(w.token), instant(w.acknowledged_s), code(w.node)] for w in lost[:SHOWN]]
                parts.append(f"Lost writes: {markdown(figure_text(trial.rpo.lost))}; the first {len(rows)}:")
                parts.append(table(["Client", "Token", "Acknowledged", "By"], rows))
            parts += [f"- **Defect:** {markdown(d)}" for d in trial.rpo.defects]
        return "\n\n".join(parts)
