"""What became of acknowledged writes: lost, kept, doubled, never asked for; and who acknowledged them.

A ledger is a client whose operation is `append`: each acknowledged attempt (certainty ok) with a token must be found by the
final read. The rules are those of MEASUREMENT.md section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit.measures.divergence import divergence, divergent_writes, rejoined_nodes, unread_nodes
from chaoskit.measures.ledger import Ack, Ledger, below_floor, ledgers, loss_windows, superseded_acks
from chaoskit.measures.validity import fault_began_ns, trial_gates, unmet_reasons
from chaoskit.measures.wording import between_text, duration_text, invalid, seconds, share_text, unknown
from chaoskit.model.figures import Figure, LedgerFigures, LostWrite
from chaoskit.model.recorded import TrialRecord

LOST_RULE = "acknowledged tokens that the final read did not find; zero lost of n bounds the loss rate at 3/n (95 %)"
WINDOW_RULE = "last ack by the node that lost writes minus the first lost ack; resolution: one write interval"
SPLIT_RULE = "acks by a node after another took over its role; high counts those within the samples' brackets"
MOST_LISTED = 1000


class Rpo:
    """The measure behind `rpo` of a trial."""

    name = "rpo"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"rpo": LedgerFigures}, or {"rpo": None} where no client keeps a ledger."""
        kept = ledgers(trial)
        return {"rpo": ledger_figures(trial, kept) if kept else None}


def ledger_figures(trial: TrialRecord, kept: Sequence[Ledger]) -> LedgerFigures:
    """Every append ledger of the trial together."""
    reasons = _why_unknown(trial, kept)
    asked = {token for ledger in kept for token in ledger.attempted}
    acknowledged = sum(len(ledger.acks) for ledger in kept)
    lost = [ack for ledger in kept for ack in ledger.acks.values() if ack.token not in ledger.found]
    lost.sort(key=lambda a: (a.ended_ns, a.client, a.token))
    readable = all(ledger.final is not None for ledger in kept)
    remarks = tuple(f"the content of {r.node} could not be read: {r.detail}" for ledger in kept for r in ledger.failed_dumps)
    trial_reasons = unmet_reasons(trial_gates(trial)) + tuple(trial.problems)
    zero = trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns
    return LedgerFigures(
        acknowledged=acknowledged,
        lost=invalid(_lost(len(lost), acknowledged, remarks, readable), reasons + trial_reasons),
        loss_rate_below=min(3 / acknowledged, 1.0) if readable and acknowledged and not lost else None,
        recovered=sum(len((ledger.found & ledger.attempted) - ledger.acks.keys()) for ledger in kept) if readable else None,
        phantom=len({token for ledger in kept for token in ledger.found} - asked) if readable else None,
        duplicated=sum(count - 1 for ledger in kept for count in ledger.copies.values() if count > 1) if readable else None,
        window=invalid(_window(trial, kept, lost, readable), reasons + trial_reasons),
        split_brain_acks=invalid(_split_brain(trial, kept), trial_reasons),
        divergence=divergence(kept),
        divergent_writes=divergent_writes(kept, zero),
        unread=unread_nodes(kept),
        rejoined=rejoined_nodes(trial, kept),
        lost_writes=tuple(
            LostWrite(client=a.client, token=a.token, acknowledged_s=seconds(a.ended_ns - zero), node=a.node)
            for a in lost[:MOST_LISTED]
        )
        if readable
        else (),
        contiguous_tail=all(w.contiguous for ledger in kept for w in loss_windows(trial, ledger)) if lost and readable else None,
        defects=tuple(text for ledger in kept for text in _defects(ledger)),
    )


def _why_unknown(trial: TrialRecord, kept: Sequence[Ledger]) -> tuple[str, ...]:
    reasons: list[str] = []
    for ledger in kept:
        reasons.extend(below_floor(trial, ledger))
        if ledger.final is None:
            reasons.append(f"{ledger.client}: there is no good final read ({ledger.why_no_final})")
        elif not ledger.settled:
            reasons.append(f"{ledger.client}: the last two final reads differ: the ledger had not settled")
    return tuple(reasons)


def _lost(lost: int, acknowledged: int, remarks: tuple[str, ...], readable: bool) -> Figure:
    if not readable or not acknowledged:
        return Figure(unit="writes", n=acknowledged, rule=LOST_RULE, text="unknown")
    if lost:
        text = f"{lost} of {acknowledged} acknowledged writes"
    else:
        rate = min(3 / acknowledged, 1.0)
        text = f"none of {acknowledged} acknowledged writes (loss rate below {share_text(float(f'{rate:.2g}'))}, 95 % confidence)"
    return Figure(point=lost, low=lost, high=lost, unit="writes", n=acknowledged, rule=LOST_RULE, reasons=remarks, text=text)


def _window(trial: TrialRecord, kept: Sequence[Ledger], lost: Sequence[Ack], readable: bool) -> Figure:
    acknowledged = sum(len(ledger.acks) for ledger in kept)
    if not readable or not acknowledged:
        return Figure(n=acknowledged, rule=WINDOW_RULE, text="unknown")
    resolution = max(ledger.spacing_ns for ledger in kept)
    if not lost:
        high = seconds(resolution)
        return Figure(low=0.0, high=high, n=acknowledged, rule=WINDOW_RULE, text=f"none, or shorter than {duration_text(high)}")
    windows = [w for ledger in kept for w in loss_windows(trial, ledger)]
    point, low, high = (seconds(max(v)) for v in zip(*((w.point_ns, w.low_ns, w.high_ns) for w in windows), strict=True))
    return Figure(point=point, low=low, high=high, n=len(lost), rule=WINDOW_RULE, text=between_text(point, low, high))


def _split_brain(trial: TrialRecord, kept: Sequence[Ledger]) -> Figure:
    began = fault_began_ns(trial)
    acks = [a for ledger in kept for a in ledger.acks.values()]
    if began is None or not acks:
        why = "no fault was injected" if began is None else "nothing was acknowledged"
        return unknown(why, unit="writes", rule=SPLIT_RULE)
    if not any(a.node for a in acks):
        return unknown("the clients do not say which node acknowledged", unit="writes", rule=SPLIT_RULE)
    surely, perhaps = superseded_acks(trial, acks, began)
    text = str(surely) if surely else "none seen"
    if perhaps:
        text += f" ({perhaps} more came too near the change of leader to tell)"
    return Figure(point=surely, low=surely, high=surely + perhaps, unit="writes", n=len(acks), rule=SPLIT_RULE, text=text)


def _defects(ledger: Ledger) -> list[str]:
    defects = []
    present = sorted(ledger.refused & ledger.found)
    if present:
        defects.append(
            f"{ledger.client}: {len(present)} writes reported as surely not applied were found, such as {present[0]}: "
            "the client or its classification of errors is wrong"
        )
    if ledger.reused:
        defects.append(f"{ledger.client}: {len(ledger.reused)} tokens were used more than once, such as {ledger.reused[0]}")
    if ledger.untold:
        defects.append(f"{ledger.client}: {ledger.untold} acknowledged writes carry no token and could not be looked for")
    return defects
