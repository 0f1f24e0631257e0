"""Stale reads: a client that reads the newest write of another's ledger must not be told an older one than was acknowledged.

The ledger's numbers are a counter with a single writer. A read that began at `a` and ended at `b` and returned v is right where
max(acknowledged before a) <= v <= max(sent before b). Acknowledged writes that are lost in the end are no measure of a read:
they count as lost, and only there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaoskit.measures.ledger import LEAST_RATE, Ledger, below_floor, ledgers
from chaoskit.measures.validity import trial_gates, unmet_reasons
from chaoskit.measures.wording import between_text, duration_text, invalid, seconds, share_text, unknown
from chaoskit.model.experiment import NEWEST_OPERATION
from chaoskit.model.figures import Figure, StaleRead, StaleReadFigures
from chaoskit.model.recorded import MISSING, ClientSamples, Int, TrialRecord

STALE_RULE = (
    "reads that returned less than the highest number acknowledged before they began; writes lost in the end do not count"
)
WRITES_RULE = "acknowledged writes newer than what was returned when the read began; the worst read"
BEHIND_RULE = (
    "age of the copy that answered: at least since the first newer write was acknowledged, at most since the returned one was "
    "sent; the worst read"
)
MOST_LISTED = 1000


class StaleReads:
    """The measure behind `stale_reads` of a trial."""

    name = "stale_reads"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"stale_reads": {client: StaleReadFigures}} for every client that reads the newest of a ledger."""
        kept = {ledger.client: ledger for ledger in ledgers(trial)}
        readers = {name: s for name, s in sorted(trial.clients.items()) if s.operation == NEWEST_OPERATION}
        return {"stale_reads": {name: _figures(trial, samples, kept) for name, samples in readers.items()}}


@dataclass(frozen=True, slots=True, eq=False)
class _Writes:
    """A ledger's writes as a counter. Acknowledged ones that survived by number, and all that were sent by instant."""

    number: Int
    ended: Int
    first_ended: Int
    """Of those from here on, the one that was acknowledged first: when."""
    by_ended: Int
    highest_ended: Int
    """The highest number acknowledged up to each instant of `by_ended`."""
    by_sent: Int
    highest_sent: Int
    tried: Int
    """Every number that was sent, in order; and when."""
    tried_at: Int


@dataclass(frozen=True, slots=True, eq=False)
class _Reads:
    began: Int
    ended: Int
    value: Int
    node: NDArray[np.str_]
    odd: int
    """Answers that are no number."""


def _figures(trial: TrialRecord, samples: ClientSamples, kept: Mapping[str, Ledger]) -> StaleReadFigures:
    spec = trial.plan.experiment.clients.get(samples.client)
    name = str((spec.model_extra or {}).get("ledger", "")) if spec is not None else ""
    ledger = kept.get(name)
    if ledger is None:
        why = f"{samples.client}: nothing was recorded of the ledger {name!r} that it reads"
        no = [unknown(why, unit=unit) for unit in ("reads", "writes", "s")]
        return StaleReadFigures(ledger=name, reads=0, stale=no[0], behind_writes=no[1], behind=no[2], ahead=None)
    writes, reads = _writes(trial.clients[name], ledger), _reads(samples)
    floor = _at(writes.by_ended, writes.highest_ended, reads.began, "left")
    ceiling = _at(writes.by_sent, writes.highest_sent, reads.ended, "right")
    stale = np.flatnonzero(reads.value < floor)
    zero = trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns
    found = [_stale_read(samples.client, writes, reads, int(i), int(floor[i]), zero) for i in stale.tolist()]
    reasons = _why_unknown(trial, samples, ledger, len(reads.value)) + unmet_reasons(trial_gates(trial)) + tuple(trial.problems)
    surely = ledger.final is not None
    stale_figure, writes_figure, behind = (
        _counted(found, len(reads.value), surely),
        *_worst(found, ledger, len(reads.value), surely),
    )
    nodes, counts = np.unique(reads.node[stale], return_counts=True)
    return StaleReadFigures(
        ledger=name,
        reads=len(reads.value),
        stale=invalid(stale_figure, reasons),
        behind_writes=invalid(writes_figure, reasons),
        behind=invalid(behind, reasons),
        ahead=int((reads.value > ceiling).sum()),
        by_node={str(n) or "unknown": int(c) for n, c in zip(nodes, counts, strict=True)},
        listed=tuple(found[:MOST_LISTED]),
        defects=_defects(samples.client, int((reads.value > ceiling).sum()), reads.odd),
    )


def _writes(samples: ClientSamples, ledger: Ledger) -> _Writes:
    survived = [(_number(a.token), a.ended_ns) for a in ledger.acks.values() if ledger.survived(a.token)]
    table = np.array(survived, dtype=np.int64).reshape(-1, 2)
    number, ended = (np.ascontiguousarray(c) for c in table[np.argsort(table[:, 0], kind="stable")].T)
    order = np.argsort(ended, kind="stable")
    out = (samples.t_send != MISSING) & (samples.token != "")
    every = np.array([_number(t) for t in samples.token[out].tolist()], dtype=np.int64)
    at = samples.t_send[out]
    by_send, by_number = np.argsort(at, kind="stable"), np.argsort(every, kind="stable")
    return _Writes(
        number=number,
        ended=ended,
        first_ended=np.minimum.accumulate(ended[::-1])[::-1],
        by_ended=ended[order],
        highest_ended=np.maximum.accumulate(number[order]),
        by_sent=at[by_send],
        highest_sent=np.maximum.accumulate(every[by_send]),
        tried=every[by_number],
        tried_at=at[by_number],
    )


def _number(token: str) -> int:
    """A token's place in its writer's count: its last digits."""
    digits = token[len(token.rstrip("0123456789")) :]
    return int(digits) if digits else -1


def _reads(samples: ClientSamples) -> _Reads:
    answered = np.flatnonzero((samples.t_send != MISSING) & (samples.certainty == "ok"))
    values = samples.value[answered].tolist()
    good = np.array([v.removeprefix("-").isdecimal() for v in values], dtype=bool)
    rows = answered[good]
    return _Reads(
        began=samples.t_send[rows],
        ended=np.maximum(samples.t_end, samples.late_end)[rows],
        value=np.array([int(v) for v, ok in zip(values, good.tolist(), strict=True) if ok], dtype=np.int64),
        node=samples.node[rows],
        odd=int((~good).sum()),
    )


def _at(instants: Int, highest: Int, asked: Int, side: Any) -> Int:
    """The highest number up to each instant asked for; -1 before the first."""
    place = np.searchsorted(instants, asked, side=side)
    return np.concatenate((np.array([-1], dtype=np.int64), highest))[place]


def _stale_read(client: str, writes: _Writes, reads: _Reads, i: int, floor: int, zero_ns: int) -> StaleRead:
    began, ended, value = int(reads.began[i]), int(reads.ended[i]), int(reads.value[i])
    first, last = np.searchsorted(writes.number, (value, floor), side="right").tolist()
    low = began - int(writes.first_ended[first])
    returned = max(int(np.searchsorted(writes.tried, value, side="right")) - 1, 0)  # nothing returned: as old as the ledger
    high = max(ended - int(writes.tried_at[returned]), low)
    return StaleRead(
        client=client,
        read_s=seconds(began - zero_ns),
        node=str(reads.node[i]),
        returned=value,
        acknowledged=floor,
        behind_writes=int((writes.ended[first:last] < began).sum()),
        behind_low_s=seconds(low),
        behind_high_s=seconds(high),
    )


def _counted(found: list[StaleRead], reads: int, surely: bool) -> Figure:
    if not reads:
        return Figure(unit="reads", rule=STALE_RULE, text="unknown")
    if not found:
        rate = share_text(float(f"{min(3 / reads, 1.0):.2g}"))
        text = f"none of {reads} reads (rate below {rate}, 95 % confidence)"
        return Figure(point=0, low=0, high=0, unit="reads", n=reads, rule=STALE_RULE, text=text)
    many = len(found)
    if not surely:
        why = ("the ledger was not read back: these reads may have missed writes that are lost",)
        text = f"at most {many} of {reads} reads"
        return Figure(low=0, high=many, unit="reads", n=reads, rule=STALE_RULE, reasons=why, text=text)
    return Figure(point=many, low=many, high=many, unit="reads", n=reads, rule=STALE_RULE, text=f"{many} of {reads} reads")


def _worst(found: list[StaleRead], ledger: Ledger, reads: int, surely: bool) -> tuple[Figure, Figure]:
    """(in writes, in seconds)."""
    if not reads:
        return Figure(unit="writes", rule=WRITES_RULE, text="unknown"), Figure(rule=BEHIND_RULE, text="unknown")
    if not found:
        high = seconds(ledger.spacing_ns)
        return (
            Figure(point=0, low=0, high=0, unit="writes", n=reads, rule=WRITES_RULE, text="none"),
            Figure(low=0.0, high=high, n=reads, rule=BEHIND_RULE, text=f"none, or shorter than {duration_text(high)}"),
        )
    many = max(r.behind_writes for r in found)
    low, high = max(r.behind_low_s for r in found), max(r.behind_high_s for r in found)
    point = round((low + high) / 2, 9)
    return (
        Figure(point=many, low=many if surely else 0, high=many, unit="writes", n=reads, rule=WRITES_RULE, text=f"{many} writes"),
        Figure(
            point=point, low=low if surely else 0.0, high=high, n=reads, rule=BEHIND_RULE, text=between_text(point, low, high)
        ),
    )


def _why_unknown(trial: TrialRecord, samples: ClientSamples, ledger: Ledger, reads: int) -> tuple[str, ...]:
    if not reads:
        return (f"{samples.client}: nothing was read",)
    reasons = list(below_floor(trial, ledger))
    began, ended = trial.baseline_began_ns, trial.baseline_ended_ns
    if began is not None and ended is not None:
        inside = (samples.t_send >= began) & (samples.t_send < ended) & (samples.certainty == "ok")
        asked = (ended - began) / samples.spacing_ns
        if int(inside.sum()) < LEAST_RATE * asked:
            reasons.append(
                f"{samples.client}: {int(inside.sum())} reads were answered in the baseline, {asked:.0f} were asked for: "
                "below the floor"
            )
    return tuple(reasons)


def _defects(client: str, ahead: int, odd: int) -> tuple[str, ...]:
    defects = []
    if ahead:
        defects.append(f"{client}: {ahead} reads returned a write that nobody had sent yet: the service or the client is wrong")
    if odd:
        defects.append(f"{client}: {odd} answers were no number and were not looked at")
    return tuple(defects)
