"""How nodes differ from the final read: in the end, and at the instant at which they came back. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit.measures.ledger import Ledger, old_leader
from chaoskit.measures.wording import seconds
from chaoskit.model.figures import DivergentWrite, RejoinedNode
from chaoskit.model.recorded import ReadBack, TrialRecord

MOST_LISTED = 1000


def divergence(kept: Sequence[Ledger]) -> dict[str, int]:
    """By how many tokens each node's last dump differs from the final read; duplicates count."""
    found: dict[str, int] = {}
    for ledger in kept:
        if ledger.final is None:
            continue
        for node, dump in sorted(ledger.dumps.items()):
            found[node] = found.get(node, 0) + len(_differing(ledger, dump))
    return dict(sorted(found.items()))


def divergent_writes(kept: Sequence[Ledger], zero_ns: int) -> tuple[DivergentWrite, ...]:
    """The symmetric difference of each node's dump and the final read, by node and the time of the acknowledgement."""
    found = []
    for ledger in kept:
        for node, dump in sorted(ledger.dumps.items()):
            for token in _differing(ledger, dump):
                ack = ledger.acks.get(token)
                found.append(
                    DivergentWrite(
                        node=node,
                        client=ledger.client,
                        token=token,
                        copies=dump.copies.get(token, 0),
                        final_copies=ledger.copies.get(token, 0),
                        acknowledged_s=None if ack is None else seconds(ack.ended_ns - zero_ns),
                        acknowledged_by=ack.node if ack is not None else "",
                    )
                )
    found.sort(key=lambda w: (w.node, w.acknowledged_s is None, w.acknowledged_s or 0.0, w.client, w.token))
    return tuple(found[:MOST_LISTED])


def _differing(ledger: Ledger, dump: ReadBack) -> set[str]:
    return {token for token, _ in ledger.copies.items() ^ dump.copies.items()} if ledger.final is not None else set()


def unread_nodes(kept: Sequence[Ledger]) -> dict[str, str]:
    """Node -> why its content could not be read, by any client that tried."""
    return {r.node: r.detail for ledger in kept for r in ledger.failed_dumps}


def rejoined_nodes(trial: TrialRecord, kept: Sequence[Ledger]) -> tuple[RejoinedNode, ...]:
    """What each node that was broken had when it could be asked again, held against the final read."""
    leader = old_leader(trial)
    return tuple(_rejoined(trial, ledger, read, leader) for ledger in kept for read in ledger.rejoined)


def _rejoined(trial: TrialRecord, ledger: Ledger, read: ReadBack, leader: str | None) -> RejoinedNode:
    common = {"node": read.node, "client": ledger.client, "was_leader": read.node == leader}
    if not read.ok:
        return RejoinedNode(**common, detail=read.detail or "it failed")
    healed = [f.healed_ns for f in trial.faults if f.healed_ns is not None and read.node in f.nodes and f.healed_ns <= read.t_ns]
    only = {token for token, count in read.copies.items() if count} - ledger.found
    return RejoinedNode(
        **common,
        after_heal_s=seconds(read.t_ns - max(healed)) if healed else None,
        only_there=len(only) if ledger.final is not None else None,
        lost_there=len(only & ledger.acks.keys()) if ledger.final is not None else None,
    )
