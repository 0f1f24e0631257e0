"""Who had a floating address, as seen on the wire: its moves, two owners at once, none, and the new owner's first word. Pure.

Rules of MEASUREMENT.md section 4. An answer to "who has it?" proves that its sender had the address at some instant between the
question and the answer. Between two answers in a row it is taken to have had it. One silence between two answers is a lost frame;
two in a row are none. Silence counts only while the one who asks hears anybody at all: else he is blind, and nothing is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaoskit.measures.leadership import Tenure, sampling_s, tenures, time_with
from chaoskit.measures.validity import fault_began_ns, first_fault, trial_gates, unmet_reasons
from chaoskit.measures.wording import between_text, duration_text, invalid, seconds, unknown
from chaoskit.model.figures import AddressFigures, AddressInterval, Figure
from chaoskit.model.recorded import AddressSamples, Announcement, Int, RoleSamples, TrialRecord

OWNERS_RULE = "from the brackets of questions and answers on the wire; counted only where no other reading of them is left"
MOVES_RULE = "changes of the newest owner that answered at least twice in a row, from the fault on"
ANNOUNCED_RULE = "changes of who announced it, from the fault on; a floor"
ONLY_ANNOUNCED = "of an IPv6 address only announcements are seen; nobody asks who has it"
TAKEOVER_RULE = "from the fault's effect to the first announcement by another node than the owner before it"
GAP_NS = 500_000_000
"""Questions further apart than this leave a time in which nobody looked."""
YES, NO, BLIND = 1, 0, -1


class Addresses:
    """The measure behind `addresses` of a trial."""

    name = "addresses"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"addresses": {name: AddressFigures}}; empty where no address floats."""
        return {"addresses": {a.name: address_figures(trial, a) for a in trial.addresses}}


def address_figures(trial: TrialRecord, samples: AddressSamples) -> AddressFigures:
    """The figures of one address."""
    zero = trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns
    owners = owner_samples(samples, trial.ended_ns)
    began = fault_began_ns(trial)
    if began is not None and ":" in samples.address:
        moves, dual, none = _announced_moves(samples, began), unknown(ONLY_ANNOUNCED), unknown(ONLY_ANNOUNCED)
        takeover = _announced_takeover(trial, samples, began)
    elif began is None or not owners:
        why = "no fault was injected" if began is None else "nobody asked who has it" if not len(samples.t_asked) else "no answer"
        moves, dual, none = unknown(why, unit="count"), unknown(why), unknown(why)
        takeover = None
    else:
        moves = _moves(owners, began, trial.ended_ns)
        dual = _time(owners, began, trial.ended_ns, lambda n: n > 1)
        none = _time(owners, began, trial.ended_ns, lambda n: n == 0)
        takeover = _takeover(trial, samples, owners, began)
    reasons = unmet_reasons(trial_gates(trial)) + tuple(trial.problems)
    return AddressFigures(
        address=samples.address,
        moves=invalid(moves, reasons),
        dual_owner_time=invalid(dual, reasons),
        no_owner_time=invalid(none, reasons),
        takeover=takeover if takeover is None else invalid(takeover, reasons),
        owners=tuple(i for o in owners for i in _intervals(o, zero, trial.ended_ns)),
        announcements=_tally(samples.announcements),
    )


def owner_samples(samples: AddressSamples, ended_ns: int) -> tuple[RoleSamples, ...]:
    """What each owner that ever answered said to each question, as samples: yes, no, or nothing is known."""
    asked = samples.t_asked[samples.t_asked <= ended_ns]
    if not len(asked) or not samples.answers:
        return ()
    delays = np.concatenate([rows[:, 1] - rows[:, 0] for rows in samples.answers.values()])
    every_ns = int(np.median(np.diff(asked))) if len(asked) > 1 else 0
    patience_ns = max(every_ns, int(delays.max(initial=0)))
    # one of the others is asked for with each question, in turn: while a single one of them lives, it is heard so often
    heard = _heard_around(asked, samples.heard_ns, (samples.controls + 1) * every_ns + patience_ns)
    made = []
    for owner, rows in sorted(samples.answers.items()):
        state = np.where(heard, NO, BLIND).astype(np.int8)
        ended = asked + patience_ns
        place = np.searchsorted(asked, rows[:, 0])
        known = (place < len(asked)) & (rows[:, 0] <= asked[-1])
        state[place[known]] = YES
        ended[place[known]] = rows[known, 1]
        kept = ~_lost_frames(state)
        made.append(_with_gaps(owner, asked[kept], ended[kept], state[kept], ended_ns))
    return tuple(made)


def _heard_around(asked: Int, heard_ns: Int, most_ns: int) -> NDArray[np.bool_]:
    """Whether the one who asks had answers before and after, no further apart than this."""
    if not len(heard_ns):
        return np.zeros(len(asked), dtype=bool)
    after = np.searchsorted(heard_ns, asked)
    known = (after > 0) & (after < len(heard_ns))
    apart = heard_ns[np.clip(after, 0, len(heard_ns) - 1)] - heard_ns[np.clip(after - 1, 0, None)]
    around: NDArray[np.bool_] = known & (apart <= most_ns)
    return around


def _lost_frames(state: NDArray[np.int8]) -> NDArray[np.bool_]:
    """One silence between two answers."""
    lost = np.zeros(len(state), dtype=bool)
    lost[1:-1] = (state[1:-1] == NO) & (state[:-2] == YES) & (state[2:] == YES)
    return lost


def _with_gaps(owner: str, begin: Int, end: Int, state: NDArray[np.int8], ended_ns: int) -> RoleSamples:
    """The samples, with one that says nothing for each time in which nobody asked."""
    following = np.append(begin[1:], ended_ns)
    gaps = np.flatnonzero(following - begin > GAP_NS)
    return RoleSamples(
        role="address",
        node=owner,
        t_begin=np.insert(begin, gaps + 1, begin[gaps]),
        t_end=np.insert(end, gaps + 1, following[gaps]),
        state=np.insert(state, gaps + 1, BLIND),
    )


def _time(owners: Sequence[RoleSamples], from_ns: int, until_ns: int, wanted: Callable[[int], bool]) -> Figure:
    """How long so many had it. Of a time in which nobody looked all is possible, and nothing counted."""
    looked = [time_with(owners, begin, end, wanted) for begin, end in _looked(owners[0], from_ns, until_ns)]
    low, point = seconds(sum(h.low for h in looked)), seconds(sum(h.point for h in looked))
    high = seconds(sum(h.high for h in looked) + _blind_ns(owners[0], from_ns, until_ns))
    n = int((owners[0].state != BLIND).sum())
    if low == 0:
        resolution = max(high, sampling_s(owners))
        text = f"none seen, or shorter than {duration_text(resolution)}"
        return Figure(point=None, low=0.0, high=round(resolution, 9), n=n, rule=OWNERS_RULE, text=text)
    return Figure(point=point, low=low, high=high, n=n, rule=OWNERS_RULE, text=between_text(point, low, high))


def _blind(samples: RoleSamples, from_ns: int, until_ns: int) -> list[tuple[int, int]]:
    """When nobody looked, as far as it lies within these instants."""
    found: list[tuple[int, int]] = []
    for at in np.flatnonzero(samples.state == BLIND).tolist():
        begin, end = max(int(samples.t_begin[at]), from_ns), min(int(samples.t_end[at]), until_ns)
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif begin < end:
            found.append((begin, end))
    return found


def _looked(samples: RoleSamples, from_ns: int, until_ns: int) -> list[tuple[int, int]]:
    blind = _blind(samples, from_ns, until_ns)
    edges = [from_ns, *(t for span in blind for t in span), until_ns]
    return [(begin, end) for begin, end in zip(edges[::2], edges[1::2], strict=True) if begin < end]


def _blind_ns(samples: RoleSamples, from_ns: int, until_ns: int) -> int:
    return sum(end - begin for begin, end in _blind(samples, from_ns, until_ns))


def _confirmed(owners: Sequence[RoleSamples]) -> list[Tenure]:
    return [t for o in owners for t in tenures(o) if t.samples >= 2 or t.end_high is None]


def _moves(owners: Sequence[RoleSamples], began: int, ended_ns: int) -> Figure:
    """The newest owner counts; where it goes, the one that was there before it counts again."""
    held = _confirmed(owners)
    cuts = sorted({*(t.begin_high for t in held), *(t.end_low for t in held)})
    order = [t.node for t in _holding(held, began)[-1:]]
    for at in (c for c in cuts if began < c <= ended_ns):
        there = [t for t in held if t.begin_high <= at and (t.end_high is None or at < t.end_low)]
        if there:
            newest = max(there, key=lambda t: (t.begin_high, t.node)).node
            if not order or order[-1] != newest:
                order.append(newest)
    moves = max(len(order) - 1, 0)
    blind_s = seconds(_blind_ns(owners[0], began, ended_ns))
    names = " → ".join(order) or "nobody answered"
    text = f"{moves} ({names})" if moves else f"none ({names})"
    if blind_s:
        why = f"nobody could see the address for {duration_text(blind_s)}: it may have moved meanwhile"
        text = f"at least {text}"
        return Figure(point=None, low=moves, high=None, unit="count", n=len(held), rule=MOVES_RULE, reasons=(why,), text=text)
    return Figure(point=moves, low=moves, high=moves, unit="count", n=len(held), rule=MOVES_RULE, text=text)


def _announcer_before(samples: AddressSamples, began: int) -> str | None:
    before = [a.owner for a in samples.announcements if a.t_high <= began and a.priority != 0]
    return before[-1] if before else None


def _announced_moves(samples: AddressSamples, began: int) -> Figure:
    """A floor: who announces the address has it; who has it need not announce it."""
    first = _announcer_before(samples, began)
    order = [] if first is None else [first]
    for a in samples.announcements:
        if a.t_low > began and a.priority != 0 and (not order or order[-1] != a.owner):
            order.append(a.owner)
    moves, n = max(len(order) - 1, 0), len(samples.announcements)
    text = f"at least {moves} ({' → '.join(order) or 'nobody announced it'})"
    return Figure(low=moves, unit="count", n=n, rule=ANNOUNCED_RULE, reasons=(ONLY_ANNOUNCED,), text=text)


def _announced_takeover(trial: TrialRecord, samples: AddressSamples, began: int) -> Figure | None:
    before = _announcer_before(samples, began)
    return None if before is None else _takeover_from(trial, samples, {before}, began)


def _holding(held: Sequence[Tenure], at_ns: int) -> list[Tenure]:
    """Who had it just before an instant, the newest owner last."""
    there = [t for t in held if t.begin_high <= at_ns and (t.end_high is None or t.end_high > at_ns)]
    return sorted(there, key=lambda t: (t.begin_high, t.node))


def _takeover(trial: TrialRecord, samples: AddressSamples, owners: Sequence[RoleSamples], began: int) -> Figure | None:
    """None where nobody else announced the address after the fault."""
    return _takeover_from(trial, samples, {t.node for t in _holding(_confirmed(owners), began)}, began)


def _takeover_from(trial: TrialRecord, samples: AddressSamples, before: set[str], began: int) -> Figure | None:
    fault = first_fault(trial)
    first = next((a for a in samples.announcements if a.t_low >= began and a.owner not in before and a.priority != 0), None)
    if fault is None or first is None:
        return None
    zero = next(t for t in (fault.effective_ns, fault.injected_ns, began) if t is not None)
    low, high = seconds(first.t_low - zero), seconds(first.t_high - zero)
    point = round((low + high) / 2, 9)
    text = f"{duration_text(point, 0.01)}: {first.owner}, by {first.how}"
    return Figure(point=point, low=low, high=high, n=1, rule=TAKEOVER_RULE, text=text)


def _intervals(owner: RoleSamples, zero: int, ended_ns: int) -> tuple[AddressInterval, ...]:
    """For the time line: each end at the middle of its bracket."""
    return tuple(
        AddressInterval(
            owner=t.node, from_s=seconds(round(t.begin_point) - zero), until_s=seconds(round(t.end_point(ended_ns)) - zero)
        )
        for t in tenures(owner)
    )


def _tally(announcements: Sequence[Announcement]) -> tuple[str, ...]:
    """Who announced it in which way how often, for people."""
    counts: dict[str, int] = {}
    for a in announcements:
        router = f", virtual router {a.vrid} priority {a.priority}" if a.vrid is not None else ""
        what = f"{a.owner}: {a.how}{router}"
        counts[what] = counts.get(what, 0) + 1
    return tuple(f"{what}, {count} times" for what, count in sorted(counts.items()))
