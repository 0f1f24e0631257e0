"""What was lost: the ledger's figures, and the writes that were acknowledged and are gone."""

from __future__ import annotations

from markupsafe import Markup

from chaoskit.model.figures import DivergentWrite, LedgerFigures, RejoinedNode
from chaoskit.reporting.narrative import figure_text, words
from chaoskit.reporting.text import code, count, instant, markdown, seconds, table
from chaoskit.reporting.view import View

SHOWN = 50


def _bound(ledger: LedgerFigures) -> str:
    """What zero lost writes prove: at 95 % confidence the loss rate is below 3/n."""
    share = ledger.loss_rate_below
    if not ledger.lost.valid or share is None:
        return ""
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
    if ledger.unread:
        rows.append(("Nodes that could not be read", ", ".join(ledger.unread), "; ".join(dict.fromkeys(ledger.unread.values()))))
    return rows + [_rejoined(node) for node in ledger.rejoined]


def _rejoined(node: RejoinedNode) -> tuple[str, str, str]:
    """What a node had when it came back, before anything could be taken from it by a rewind."""
    name = f"On {node.node} when it came back"
    if node.only_there is None:
        why = node.detail or "there is no final read to hold it against"
        return name, "unknown", f"{node.client}: {why}; what it alone had may have been rewound since"
    only = f"{count(node.only_there)} that no final read has, {count(node.lost_there)} of them acknowledged"
    when = f"read {seconds(node.after_heal_s)} after the heal" if node.after_heal_s is not None else "read while the fault held"
    return name, only if node.only_there else "nothing of its own", f"{node.client}{', the old leader' * node.was_leader}: {when}"


DIVERGENT = ("Node", "Client", "Token", "There", "In the final read", "Acknowledged", "By")


def divergent_row(write: DivergentWrite) -> tuple[str, ...]:
    """One write by which a node differs from the final read."""
    acknowledged = "never" if write.acknowledged_s is None else instant(write.acknowledged_s)
    by = write.acknowledged_by or "unknown"
    return write.node, write.client, write.token, count(write.copies), count(write.final_copies), acknowledged, by


class LossesSection:
    name = "losses"
    title = "What was lost"
    order = 40

    def html(self, view: View) -> Markup:
        ledgers = [
            (t, t.rpo, _rows(t.rpo), [divergent_row(w) for w in t.rpo.divergent_writes[:SHOWN]])
            for t in view.result.trials
            if t.rpo is not None
        ]
        if not ledgers:
            return Markup("")
        return view.template("losses.html.j2", view=view, ledgers=ledgers, shown=SHOWN, divergent=DIVERGENT)

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
            if trial.rpo.divergent_writes:
                rows = [[code(c) for c in row] for row in map(divergent_row, trial.rpo.divergent_writes[:SHOWN])]
                parts.append(f"Writes by which nodes differ; the first {len(rows)}:")
                parts.append(table(list(DIVERGENT), rows))
            parts += [f"- **Defect:** {markdown(d)}" for d in trial.rpo.defects]
        return "\n\n".join(parts)
