"""Append ledgers of a trial: what was attempted, acknowledged and found again. Pure; the ground of the RPO figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from chaoskit.measures.leadership import Tenure, holder_at, leader_samples, successions
from chaoskit.measures.validity import fault_began_ns
from chaoskit.model.history import LEDGER_OPERATION
from chaoskit.model.recorded import MISSING, ClientSamples, ReadBack, TrialRecord

LEAST_RATE = 0.5
"""Acknowledged writes in the baseline, as a share of those asked for, below which a ledger proves nothing."""


@dataclass(frozen=True, slots=True)
class Ack:
    """One acknowledged write. It took effect at some instant between `sent_ns` and `ended_ns`."""

    client: str
    token: str
    node: str
    sent_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True, eq=False)
class Ledger:
    """One append client and what was read back of its tokens."""

    client: str
    spacing_ns: int
    acks: Mapping[str, Ack]
    """By token, in the order acknowledged."""
    attempted: frozenset[str]
    refused: frozenset[str]
    """Tokens of attempts that surely were not applied (certainty fail)."""
    reused: tuple[str, ...]
    untold: int
    """Acknowledged attempts without a token."""
    final: ReadBack | None
    """The last good strong read."""
    settled: bool
    """The last two good final reads, where there are two, agree."""
    why_no_final: str
    dumps: Mapping[str, ReadBack]
    """Node -> its last good dump."""
    failed_dumps: tuple[ReadBack, ...]
    """Dumps of nodes that could never be read."""
    rejoined: tuple[ReadBack, ...]
    """Reads of nodes as soon as their fault was healed, by node; the good one where there is one."""
    found: frozenset[str]
    """Tokens of the final read; empty where there is none."""

    def survived(self, token: str) -> bool:
        """Whether the final read found it; where there is none, nothing is known to be lost."""
        return self.final is None or token in self.found

    @property
    def copies(self) -> Mapping[str, int]:
        return self.final.copies if self.final else {}


def ledgers(trial: TrialRecord) -> tuple[Ledger, ...]:
    """The ledger of every client whose operation is `append`, by name."""
    return tuple(_ledger(trial, s) for _, s in sorted(trial.clients.items()) if s.operation == LEDGER_OPERATION)


def _ledger(trial: TrialRecord, samples: ClientSamples) -> Ledger:
    sent = samples.t_send != MISSING
    told = samples.token != ""
    acked = np.flatnonzero(sent & told & (samples.certainty == "ok"))
    ended = np.maximum(samples.t_end, samples.late_end)  # an acknowledgement after W is one, from when it came
    acked = acked[np.argsort(ended[acked], kind="stable")]
    columns = (c[acked].tolist() for c in (samples.token, samples.node, samples.t_send, ended))
    acks = {token: Ack(samples.client, token, node, begin, end) for token, node, begin, end in zip(*columns, strict=True)}
    attempted, counts = np.unique(samples.token[sent & told], return_counts=True)
    reads = [r for r in trial.read_backs if r.client == samples.client]
    finals = sorted((r for r in reads if r.kind == "final"), key=lambda r: r.t_ns)
    good = [r for r in finals if r.ok]
    # A good read followed by a failed one still tells what was there; a failed one alone tells nothing.
    dumps: dict[str, ReadBack] = {}
    for read in sorted((r for r in reads if r.kind == "dump" and r.ok), key=lambda r: r.t_ns):
        dumps[read.node] = read
    failed = {r.node: r for r in reads if r.kind == "dump" and not r.ok and r.node not in dumps}
    return Ledger(
        client=samples.client,
        spacing_ns=samples.spacing_ns,
        acks=acks,
        attempted=frozenset(attempted.tolist()),
        refused=frozenset(samples.token[sent & told & (samples.certainty == "fail")].tolist()) - acks.keys(),
        reused=tuple(attempted[counts > 1].tolist()),
        untold=int((sent & ~told & (samples.certainty == "ok")).sum()),
        final=good[-1] if good else None,
        settled=len(good) < 2 or good[-1].copies == good[-2].copies,
        why_no_final=(finals[-1].detail or "it failed") if finals else "none was made",
        dumps=dumps,
        failed_dumps=tuple(failed[n] for n in sorted(failed)),
        rejoined=_rejoined(reads),
        found=frozenset(token for token, count in good[-1].copies.items() if count > 0) if good else frozenset(),
    )


def below_floor(trial: TrialRecord, ledger: Ledger) -> tuple[str, ...]:
    """Why a ledger proves nothing: it acknowledged nothing, or too little in the baseline. Empty where it does."""
    if not ledger.acks:
        return (f"{ledger.client}: nothing was acknowledged",)
    if trial.baseline_began_ns is None or trial.baseline_ended_ns is None:
        return ()
    inside = sum(1 for a in ledger.acks.values() if trial.baseline_began_ns <= a.sent_ns < trial.baseline_ended_ns)
    asked = (trial.baseline_ended_ns - trial.baseline_began_ns) / ledger.spacing_ns
    if inside >= LEAST_RATE * asked:
        return ()
    return (f"{ledger.client}: {inside} writes were acknowledged in the baseline, {asked:.0f} were asked for: below the floor",)


def _rejoined(reads: Sequence[ReadBack]) -> tuple[ReadBack, ...]:
    """The last read of each node made when it came back: after several faults, what its last return showed."""
    last: dict[str, ReadBack] = {}
    for read in sorted((r for r in reads if r.kind == "rejoined"), key=lambda r: r.t_ns):
        if read.ok or not (read.node in last and last[read.node].ok):
            last[read.node] = read
    return tuple(last[node] for node in sorted(last))


@dataclass(frozen=True, slots=True)
class LossWindow:
    """RPO in time for the writes that one node acknowledged and that are gone."""

    node: str
    point_ns: int
    low_ns: int
    high_ns: int
    contiguous: bool
    """Nothing the node acknowledged later survived: a plain truncation of its tail."""


def loss_windows(trial: TrialRecord, ledger: Ledger) -> tuple[LossWindow, ...]:
    """One window for each node that acknowledged lost writes; empty where none were lost or nothing could be read."""
    if ledger.final is None:
        return ()
    found = ledger.found
    by_node: dict[str, list[Ack]] = {}
    for ack in ledger.acks.values():
        if ack.token not in found:
            by_node.setdefault(ack.node, []).append(ack)
    return tuple(_loss_window(trial, ledger, node, lost, found) for node, lost in sorted(by_node.items()))


def _loss_window(trial: TrialRecord, ledger: Ledger, node: str, lost: list[Ack], found: frozenset[str]) -> LossWindow:
    first = min(lost, key=lambda a: a.ended_ns)
    last = max(lost, key=lambda a: a.ended_ns)
    until = _reign_end_ns(trial, ledger, node, last)
    kept = [a for a in ledger.acks.values() if a.token in found and a.node == node and a.ended_ns <= until]
    reference = max([last, *kept], key=lambda a: a.ended_ns) if node else last
    contiguous = all(a.sent_ns <= first.ended_ns for a in kept)
    end_ns = reference.ended_ns
    if not node:  # nobody said who acknowledged: the spec's second choice is the fault's begin
        began = fault_began_ns(trial)
        end_ns = max(end_ns, began) if began is not None else end_ns
    return LossWindow(
        node=node,
        point_ns=end_ns - first.ended_ns,
        low_ns=max(min(reference.sent_ns, end_ns) - first.ended_ns, 0),
        high_ns=end_ns - first.sent_ns + ledger.spacing_ns,
        contiguous=contiguous,
    )


def _reign_end_ns(trial: TrialRecord, ledger: Ledger, node: str, last: Ack) -> int:
    """Until when acks of `node` belong to the reign in which it lost writes.

    The next change of leader or, where none was seen, the first ack after the longest pause that followed the loss.
    """
    began = fault_began_ns(trial)
    order = successions(leader_samples(trial), began) if began is not None else ()
    # a lost write acknowledged after the takeover (split brain) moves the end with it
    changes = [t.begin_low for t in order[1:] if t.begin_low > last.sent_ns]
    if changes:
        return max(min(changes), last.ended_ns)
    later = sorted(a.ended_ns for a in ledger.acks.values() if a.ended_ns >= last.ended_ns)
    if len(later) < 2:
        return last.ended_ns
    gaps = np.diff(np.array(later))
    return later[int(np.argmax(gaps))]


def superseded_acks(trial: TrialRecord, acks: Sequence[Ack], began_ns: int) -> tuple[int, int]:
    """Acks by a node after another node took over: (surely, perhaps more).

    Who took over when comes from the watchers of the leader role; where nobody watched it, from the first ack by a node other
    than the one that acknowledged before the fault.
    """
    watched = leader_samples(trial)
    order = successions(watched, began_ns) if watched else _successions_by_acks(acks, began_ns)
    surely = perhaps = 0
    for ack in acks:
        if ack.ended_ns < began_ns or not ack.node:
            continue
        certain, possible = _superseded(ack, order)
        surely += certain
        perhaps += possible and not certain
    return surely, perhaps


def _superseded(ack: Ack, order: Sequence[Tenure]) -> tuple[bool, bool]:
    """Whether the ack came (surely, possibly) after another node took over from its node, and before its node led again."""
    certain = possible = False
    for place, tenure in enumerate(order):
        if tenure.node != ack.node or place + 1 == len(order):
            continue
        successor = order[place + 1]
        again = next((t for t in order[place + 2 :] if t.node == ack.node), None)
        certain |= ack.sent_ns > successor.begin_high and (again is None or ack.ended_ns < again.begin_low)
        possible |= ack.ended_ns > successor.begin_low and (again is None or ack.sent_ns < again.begin_high)
    return certain, possible


def _successions_by_acks(acks: Sequence[Ack], began_ns: int) -> tuple[Tenure, ...]:
    before = [a for a in acks if a.ended_ns <= began_ns and a.node]
    if not before:
        return ()
    old = max(before, key=lambda a: a.ended_ns).node
    others = [a for a in acks if a.ended_ns > began_ns and a.node not in ("", old)]
    if not others:
        return ()
    new = min(others, key=lambda a: a.ended_ns)
    first = Tenure(old, before[0].sent_ns, before[0].ended_ns, new.sent_ns, new.ended_ns, 2)
    return (first, Tenure(new.node, new.sent_ns, new.ended_ns, new.ended_ns, None, 2))


def old_leader(trial: TrialRecord) -> str | None:
    """Who led when the first fault began: by the leader role, else by the last ack before it."""
    began = fault_began_ns(trial)
    if began is None:
        return None
    seen = holder_at(leader_samples(trial), began)
    if seen is not None:
        return seen
    acks = [a for ledger in ledgers(trial) for a in ledger.acks.values() if a.ended_ns <= began and a.node]
    return max(acks, key=lambda a: a.ended_ns).node if acks else None
