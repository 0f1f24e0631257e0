"""One client seen from several vantages: when any, no majority, or none of them was served, and how much of it was lost.

a(t) is the share of vantages that are ok. A vantage is surely down from the first to the last of failed attempts in a row, and
possibly from the ok attempt before to the ok one after. From these brackets come the times at which at least so many were down.
The rules for one series (MEASUREMENT.md section 2) then hold for the whole. Pure; instants are CLOCK_MONOTONIC ns.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from chaoskit.measures.outages import Evidence, OutageSpan, error_class, evidence, longest_gap_ns, outage_spans
from chaoskit.measures.wording import between_text, duration_text, seconds
from chaoskit.model.experiment import client_of
from chaoskit.model.figures import Figure, VantageShare
from chaoskit.model.recorded import ClientSamples, Int, TrialRecord

LOST_RULE = (
    "integral of 1 - a(t) from the end of the baseline on, a(t) the share of vantages ok; low: from the first end of a failed "
    "attempt to the last send of those in a row, high: from an ok send to the next ok answer"
)
MOST_PIECES = 1000
LONG_AGO, NEVER = -(2**62), 2**62
Interval = tuple[float, float]


@dataclass(frozen=True, slots=True, eq=False)
class Vantage:
    """One vantage's attempts and when it was down."""

    samples: ClientSamples
    seen: Evidence
    surely: tuple[Interval, ...]
    likely: tuple[Interval, ...]
    possibly: tuple[Interval, ...]
    widened: tuple[Interval, ...]
    """As `possibly`, with the edges of an outage that only a part of the attempts meets set back by one alternation."""
    proven: tuple[Interval, ...]
    """When the service itself was surely down: from the first end of failed attempts in a row to the last send."""
    doubtful: tuple[Interval, ...]
    """When it was possibly down: from the last ok send to the next ok answer."""
    widely_doubtful: tuple[Interval, ...]
    """As `doubtful`, set back as `widened` is."""


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """One client: a series for each of its vantages, by name."""

    client: str
    series: tuple[ClientSamples, ...]


def groups(trial: TrialRecord) -> tuple[Group, ...]:
    """The clients of a trial, by name."""
    found: dict[str, list[ClientSamples]] = {}
    for label, samples in sorted(trial.clients.items()):
        found.setdefault(client_of(label), []).append(samples)
    return tuple(Group(name, tuple(series)) for name, series in sorted(found.items()))


def vantage(samples: ClientSamples) -> Vantage:
    """When one vantage was down, from its own attempts."""
    seen = evidence(samples)
    edges = np.diff(np.concatenate(([False], ~seen.ok, [False])).astype(np.int8))
    first, last = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1) - 1
    begins, ends = seen.sent[first], seen.sent[last]
    before = np.where(first > 0, seen.sent[np.maximum(first - 1, 0)], LONG_AGO)
    after = np.where(last + 1 < len(seen), seen.sent[np.minimum(last + 1, len(seen) - 1)], NEVER)
    turns = np.ravel(np.column_stack((first, last + 1)))  # failed attempts in a row, then ok ones in a row, by turns
    earliest = np.minimum.reduceat(np.append(seen.decided, NEVER), turns) if len(turns) else turns
    down_by, up_by = earliest[::2], np.where(after < NEVER, earliest[1::2], NEVER)
    wide_before, wide_after, wide_up_by = before.copy(), after.copy(), up_by.copy()
    for span in outage_spans(seen, samples.window_ns, samples.interval_ns):
        if span.up_from is not None:
            wide_before[int(np.searchsorted(begins, span.first_failed))] = span.up_from
        if span.first_ok_after is not None:
            wide_after[int(np.searchsorted(ends, span.last_failed))] = span.first_ok_after
            wide_up_by[int(np.searchsorted(ends, span.last_failed))] = span.up_by
    return Vantage(
        samples=samples,
        seen=seen,
        surely=_pairs(begins, ends),
        likely=_pairs(np.where(first > 0, (before + begins) / 2, begins), np.where(after < NEVER, (after + ends) / 2, NEVER)),
        possibly=_pairs(before, after),
        widened=_pairs(wide_before, wide_after),
        proven=_pairs(down_by[down_by <= ends], ends[down_by <= ends]),
        doubtful=_pairs(before, up_by),
        widely_doubtful=_pairs(wide_before, wide_up_by),
    )


def _pairs(begins: Iterable[float], ends: Iterable[float]) -> tuple[Interval, ...]:
    return tuple((float(b), float(e)) if isinstance(b, float) else (int(b), int(e)) for b, e in zip(begins, ends, strict=True))


def together(intervals: Sequence[Interval], needed: int, *, closed: bool) -> list[Interval]:
    """Where at least `needed` of the intervals lie over each other. Closed ones that touch count as lying over each other."""
    step = -1 if closed else 1  # which of two events at the same instant comes first
    events = sorted((at, order, change) for b, e in intervals for at, order, change in ((b, step, 1), (e, 0, -1)))
    found: list[Interval] = []
    held, since = 0, 0.0
    for at, _, change in events:
        held += change
        if change == 1 and held == needed:
            since = at
        elif change == -1 and held == needed - 1:
            found.append((since, at))
    return found


def quorum_loss(count: int) -> int:
    """How many of `count` vantages must be down so that no majority is ok."""
    return count - count // 2


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """The outages during which at least `needed` vantages were down at once."""

    needed: int
    spans: tuple[OutageSpan, ...]
    seen: Evidence
    """The failed attempts that prove them, and every ok one."""
    gap_ns: int
    """An outage of this kind that no attempt met was shorter."""


def level(vantages: Sequence[Vantage], needed: int, from_ns: int, until_ns: int) -> Level:
    """`from_ns` and `until_ns`: where a gap between ok attempts is looked for."""
    surely = together([i for v in vantages for i in v.surely], needed, closed=True)
    possibly = together([i for v in vantages for i in v.possibly], needed, closed=False)
    widened = together([i for v in vantages for i in v.widened], needed, closed=False)
    window = max(v.samples.window_ns for v in vantages)
    seen = _joined(vantages)
    merged: list[list[Interval]] = []
    for piece in surely:
        if merged and piece[0] <= _around(possibly, merged[-1][-1][1])[1] + window:
            merged[-1].append(piece)
        else:
            merged.append([piece])
    settled = min((int(v.seen.sent[-1]) for v in vantages if len(v.seen)), default=LONG_AGO)
    settled += max(v.samples.interval_ns for v in vantages)
    proven = together([i for v in vantages for i in v.proven], needed, closed=True)
    doubtful = together([i for v in vantages for i in v.widely_doubtful], needed, closed=False)
    spans = []
    for number, pieces in enumerate(merged):
        first, last = int(pieces[0][0]), int(pieces[-1][1])
        before, after = int(_around(widened, first)[0]), int(_around(widened, last)[1])
        confirmed = after < NEVER and (number + 1 < len(merged) or settled >= after + window)
        span = _span(vantages, first, last, before if before > LONG_AGO else None, after if confirmed else None)
        by, until = _surely_between(seen, proven, span, needed)
        up_by = int(max(_around(doubtful, last)[1], after)) if confirmed else None
        begun = _around(doubtful, first)[0]
        up_from = int(min(begun, before)) if before > LONG_AGO and begun > LONG_AGO else None
        longest = None if up_by is None or up_from is None else up_by - up_from
        spans.append(replace(span, up_from=up_from, down_by=by, down_until=until, up_by=up_by, longest=longest))
    kept = np.flatnonzero((_within(seen.sent, surely) & ~seen.ok) | seen.ok)
    gaps = sorted((max(longest_gap_ns(v.seen, from_ns, until_ns), v.samples.spacing_ns) for v in vantages), reverse=True)
    return Level(
        needed,
        tuple(spans),
        Evidence(seen.sent[kept], seen.ended[kept], seen.decided[kept], seen.ok[kept], seen.outcome[kept], seen.intended[kept]),
        gaps[needed - 1],
    )


def _surely_between(seen: Evidence, proven: Sequence[Interval], span: OutageSpan, needed: int) -> tuple[int, int]:
    """(by when, until when) at least `needed` vantages were surely down in `span`. The same instant twice: for no known time."""
    if needed == 1:  # any failed attempt proves an instant
        failed = (seen.sent >= span.first_failed) & (seen.sent <= span.last_failed) & ~seen.ok
        return int(seen.decided[failed].min()), span.last_failed
    inside = [(b, e) for b, e in proven if b >= span.first_failed and e <= span.last_failed]
    if inside:
        return int(inside[0][0]), int(inside[-1][1])
    nothing = span.first_failed if span.last_ok_before is None else span.last_ok_before
    return nothing, nothing


def _around(intervals: Sequence[Interval], at: float) -> Interval:
    """The interval in whose inside `at` lies; where the brackets leave none, the instant itself."""
    place = bisect_left(intervals, at, key=lambda i: i[0]) - 1
    return intervals[place] if place >= 0 and at < intervals[place][1] else (at, at)


def _within(sent: Int, intervals: Sequence[Interval]) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    if not intervals:
        return np.zeros(len(sent), dtype=np.bool_)
    begins, ends = np.array(intervals, dtype=np.int64).T
    place = np.searchsorted(begins, sent, side="right") - 1
    inside: np.ndarray[tuple[int], np.dtype[np.bool_]] = (place >= 0) & (sent <= ends[np.maximum(place, 0)])
    return inside


def _joined(vantages: Sequence[Vantage]) -> Evidence:
    parts = [v.seen for v in vantages]
    sent = np.concatenate([p.sent for p in parts])
    order = np.argsort(sent, kind="stable")
    return Evidence(
        sent[order],
        np.concatenate([p.ended for p in parts])[order],
        np.concatenate([p.decided for p in parts])[order],
        np.concatenate([p.ok for p in parts])[order],
        np.concatenate([p.outcome for p in parts])[order],
        np.concatenate([p.intended for p in parts])[order],
    )


def _span(vantages: Sequence[Vantage], first: int, last: int, before: int | None, after: int | None) -> OutageSpan:
    errors: dict[str, int] = {}
    failures = consecutive = 0
    answered: list[int] = []
    for v in vantages:
        inside = (v.seen.sent >= first) & (v.seen.sent <= last)
        bad = inside & ~v.seen.ok
        failures += int(bad.sum())
        for word, count in zip(*np.unique(v.seen.outcome[bad], return_counts=True), strict=True):
            errors[error_class(str(word))] = errors.get(error_class(str(word)), 0) + int(count)
        edges = np.flatnonzero(np.diff(np.concatenate(([False], ~v.seen.ok[inside], [False])).astype(np.int8)))
        consecutive = max(consecutive, *(edges[1::2] - edges[::2]).tolist(), 0)
        if after is not None:
            answered += v.seen.ended[(v.seen.sent == after) & v.seen.ok].tolist()
    return OutageSpan(
        last_ok_before=before,
        first_failed=first,
        last_failed=last,
        first_ok_after=after,
        first_ok_ended=max(answered, default=after),
        up_from=before,
        down_by=first,
        down_until=last,
        up_by=after,
        longest=None,
        failures=failures,
        consecutive=consecutive,
        errors=tuple(sorted(errors.items())),
    )


def lost_time(vantages: Sequence[Vantage], from_ns: int, until_ns: int) -> Figure:
    """Integral of 1 - a(t), in seconds of the whole client; times the number of vantages it is vantage-seconds."""
    count = len(vantages)

    def lasted(intervals: Iterable[Interval]) -> float:
        return sum(max(min(e, until_ns) - max(b, from_ns), 0) for b, e in intervals)

    low = sum(lasted(v.proven) for v in vantages)
    point = sum(lasted(v.likely) for v in vantages)
    high = sum(lasted(v.doubtful) for v in vantages)
    n = sum(len(v.seen) for v in vantages)
    if high == 0:
        gap = max(max(longest_gap_ns(v.seen, from_ns, until_ns), v.samples.spacing_ns) for v in vantages)
        text = f"none seen, or shorter than {duration_text(seconds(gap))} at each vantage"
        return Figure(low=0.0, high=seconds(gap), n=n, rule=LOST_RULE, text=text)
    shares = [seconds(x / count) for x in (low, min(max(point, low), high), high)]
    text = f"{between_text(shares[1], shares[0], shares[2])}, {seconds(point):.4g} vantage-seconds"
    return Figure(point=shares[1], low=shares[0], high=shares[2], n=n, rule=LOST_RULE, text=text)


def course(vantages: Sequence[Vantage], from_ns: int, until_ns: int) -> tuple[tuple[VantageShare, ...], int]:
    """(how many vantages were ok, from when to when, at most 1000 pieces; how often that changed)."""
    events = sorted(
        (min(max(at, from_ns), until_ns), change) for v in vantages for b, e in v.likely for at, change in ((b, -1), (e, 1))
    )
    made: list[VantageShare] = []
    since, ok = float(from_ns), len(vantages)
    for at, change in (*events, (float(until_ns), 0)):
        if at > since and (not made or made[-1].ok != ok):
            made.append(VantageShare(from_s=seconds(since - from_ns), until_s=seconds(at - from_ns), ok=ok))
        elif at > since:
            made[-1] = made[-1].model_copy(update={"until_s": seconds(at - from_ns)})
        since, ok = at, ok + change
    return tuple(made[:MOST_PIECES]), max(len(made) - 1, 0)


def pooled(series: Sequence[ClientSamples]) -> ClientSamples:
    """Every attempt of a client, whichever vantage it was made from, by intended instant."""
    first = series[0]
    order = np.argsort(np.concatenate([s.t_intended for s in series]), kind="stable")
    columns: dict[str, Any] = {}
    for name in (field.name for field in fields(ClientSamples)):
        value = getattr(first, name)
        columns[name] = np.concatenate([getattr(s, name) for s in series])[order] if isinstance(value, np.ndarray) else value
    return ClientSamples(**columns | {"client": client_of(first.client), "vantage": ", ".join(s.vantage for s in series)})
