"""Who held a role, and when, from samples that only bracket each change. Pure; shared by the measures.

A sample's answer was true at some instant between its `t_begin` and `t_end`. Between two samples that say yes, the node is
taken to have held the role. A node that does not answer counts as not holding it (it is said so where that matters).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from chaoskit.model.recorded import RoleSamples, TrialRecord

YES = 1


@dataclass(frozen=True, slots=True)
class Tenure:
    """One node's holding of a role. Each end is known to lie in a bracket (ns)."""

    node: str
    begin_low: int
    """The last sample before that did not say yes was begun: it began at this instant or later."""
    begin_high: int
    """The first sample that said yes was answered: by now it had begun."""
    end_low: int
    """The last sample that said yes was begun: it had not ended yet."""
    end_high: int | None
    """The next sample, which did not say yes, was answered: by now it had ended. None: it lasted to the end of the record."""
    samples: int
    """How many samples said yes."""

    @property
    def begin_point(self) -> float:
        return (self.begin_low + self.begin_high) / 2

    def end_point(self, ended_ns: int) -> float:
        return float(ended_ns) if self.end_high is None else (self.end_low + self.end_high) / 2


def tenures(samples: RoleSamples) -> tuple[Tenure, ...]:
    """Every holding of the role by this node, in order."""
    yes = samples.state == YES
    if not yes.any():
        return ()
    edges = np.diff(np.concatenate(([False], yes, [False])).astype(np.int8))
    made = []
    for first, after in zip(np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True):
        made.append(
            Tenure(
                node=samples.node,
                begin_low=int(samples.t_begin[first - 1]) if first else int(samples.t_begin[0]),
                begin_high=int(samples.t_end[first]),
                end_low=int(samples.t_begin[after - 1]),
                end_high=int(samples.t_end[after]) if after < len(yes) else None,
                samples=after - first,
            )
        )
    return tuple(made)


def role_of(trial: TrialRecord, role: str | None) -> tuple[RoleSamples, ...]:
    """The samples of one role, by node."""
    return tuple(sorted((r for r in trial.roles if r.role == role and len(r.t_begin)), key=lambda r: r.node))


def leader_samples(trial: TrialRecord) -> tuple[RoleSamples, ...]:
    """The samples of the role that the lab calls its leader; empty where it names none or nobody watched it."""
    return role_of(trial, trial.plan.lab.leader)


def successions(watched: Sequence[RoleSamples], from_ns: int | None = None) -> tuple[Tenure, ...]:
    """Confirmed holders in the order in which they took over; the same node twice in a row is one holder.

    Confirmed: at least two samples in a row said so, or the record ends with the first. `from_ns`: the holder at that
    instant comes first, what was before is left out.
    """
    everyone = [t for r in watched for t in tenures(r)]
    confirmed = [t for t in everyone if t.samples >= 2 or t.end_high is None]
    order: list[Tenure] = []
    for tenure in sorted(confirmed, key=lambda t: (t.begin_high, t.node)):
        if order and order[-1].node == tenure.node:
            continue
        order.append(tenure)
    if from_ns is None:
        return tuple(order)
    before = [t for t in order if t.begin_high <= from_ns]
    return (*before[-1:], *(t for t in order if t.begin_high > from_ns))


def holder_at(watched: Sequence[RoleSamples], at_ns: int) -> str | None:
    """Who held the role last, up to this instant; None where nobody was seen to."""
    held = [t for r in watched for t in tenures(r) if t.begin_high <= at_ns]
    return max(held, key=lambda t: (min(t.end_low, at_ns), t.begin_high)).node if held else None


@dataclass(frozen=True, slots=True)
class Held:
    """Seconds (ns here) during which a number of nodes held the role: the least, the likely and the most it can have been."""

    low: int
    point: float
    high: int


def time_with(watched: Sequence[RoleSamples], from_ns: int, until_ns: int, wanted: Callable[[int], bool]) -> Held:
    """How long the number of holders satisfied `wanted` (such as more than one) in [from_ns, until_ns].

    Surely held: between the first and last sample that said yes. Possibly held: within the brackets at both ends.
    """
    everyone = [t for r in watched for t in tenures(r)]
    surely = [(t.begin_high, until_ns if t.end_high is None else t.end_low) for t in everyone]
    likely = [(t.begin_point, t.end_point(until_ns)) for t in everyone]
    possibly = [(t.begin_low, until_ns if t.end_high is None else t.end_high) for t in everyone]
    cuts = sorted({from_ns, until_ns, *(c for pair in (*surely, *possibly) for c in pair if from_ns < c < until_ns)})
    low = high = 0
    for begin, end in itertools.pairwise(cuts):
        least, most = _count(surely, begin, end), _count(possibly, begin, end)
        answers = [wanted(k) for k in range(least, max(most, least) + 1)]
        low += (end - begin) * all(answers)
        high += (end - begin) * any(answers)
    points = sorted({float(from_ns), float(until_ns), *(c for pair in likely for c in pair if from_ns < c < until_ns)})
    point = sum((e - b) * wanted(_count(likely, b, e)) for b, e in itertools.pairwise(points))
    return Held(low, min(max(point, low), high), high)


def _count(spans: Sequence[tuple[float, float]], begin: float, end: float) -> int:
    """Spans that cover [begin, end] wholly."""
    return sum(1 for b, e in spans if b <= begin and e >= end)


def sampling_s(watched: Sequence[RoleSamples]) -> float:
    """The longest usual time between two samples of a node, in seconds: what a shorter episode may hide in."""
    periods = [float(np.median(np.diff(r.t_begin))) for r in watched if len(r.t_begin) > 1]
    return max(periods, default=0.0) / 1e9
