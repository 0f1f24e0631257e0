"""Outages in a series of open-loop attempts: the rules of MEASUREMENT.md section 2, pure and shared by the measures.

An outage is what a client would have met: a span of send instants at which an attempt fails, or is answered later than
its deadline W. It is over once service lasted for S. All instants are CLOCK_MONOTONIC nanoseconds.

What the edges prove about the service itself: an attempt sent at s and ended at e met it at some instant within [s, e], and
nothing tells when. So the service broke before the earliest end of a failed attempt, and after the last ok send that had its
answer by s_K: one that was answered later may have waited for the return. It was back after s_K, and before an ok attempt that
was sent after that earliest end had its answer. Bounds are made of these instants; where attempts take no time they are
those of send instants.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from chaoskit.model.recorded import MISSING, ClientSamples, Int


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """The attempts that count: really sent and not tainted by a stall of the prober itself, by send instant.

    What is left out widens the gaps between the rest, and so the bounds; it can never be the edge of an outage.
    """

    sent: Int
    ended: Int
    decided: Int
    """By then the service had decided: when the answer to an ok attempt began, when a failed one ended."""
    ok: NDArray[np.bool_]
    outcome: NDArray[np.str_]
    intended: Int

    def __len__(self) -> int:
        return len(self.sent)


_KNOWN: WeakKeyDictionary[ClientSamples, Evidence] = WeakKeyDictionary()
"""Most measures ask for it; it is as large as the samples, and lives as long as they do."""


def evidence(samples: ClientSamples) -> Evidence:
    """What `samples` proves about the service."""
    found = _KNOWN.get(samples)
    if found is None:
        found = _KNOWN[samples] = _evidence(samples)
    return found


def _evidence(samples: ClientSamples) -> Evidence:
    chosen = _chosen(samples)
    ok, begun, ended = samples.ok[chosen], samples.t_first_byte[chosen], samples.t_end[chosen]
    return Evidence(
        sent=samples.t_send[chosen],
        ended=ended,
        decided=np.where(ok & (begun != MISSING), begun, ended),
        ok=ok,
        outcome=samples.outcome[chosen],
        intended=samples.t_intended[chosen],
    )


def _chosen(samples: ClientSamples) -> NDArray[np.intp] | slice:
    """Which attempts count, by send instant; a slice (no copy) where all of them do and lie so already."""
    kept = (samples.t_send != MISSING) & ~samples.tainted & (samples.outcome != "not_sent")
    if kept.all() and np.all(np.diff(samples.t_send) >= 0):
        return slice(None)
    chosen = np.flatnonzero(kept)
    return chosen[np.argsort(samples.t_send[chosen], kind="stable")]


@dataclass(frozen=True, slots=True)
class OutageSpan:
    """One outage. L, F, K and R are those of MEASUREMENT.md section 2, as send instants in ns."""

    last_ok_before: int | None
    """s_L; None where nothing was ok before."""
    first_failed: int
    """s_F."""
    last_failed: int
    """s_K, before the sustained return or the end of observation."""
    first_ok_after: int | None
    """s_R; None where service did not return, or did not last for S before observation ended."""
    first_ok_ended: int | None
    """e_R: when the attempt R was answered."""
    up_from: int | None
    """The service was surely up after that: the last ok send before F whose answer began by s_K; None where there is none."""
    down_by: int
    """The service was surely down by then: the earliest end of a failed attempt."""
    down_until: int
    """And surely had not returned for good before: s_K. Before `down_by` where nothing proves how long it was down."""
    up_by: int | None
    """The service was surely back by then: the earliest answer among the ok attempts from R on that were sent after `down_by`."""
    longest: int | None
    """It was down for at most so long, in ns."""
    failures: int
    consecutive: int
    """The longest run of failed attempts with no ok one between them."""
    errors: tuple[tuple[str, int], ...]

    @property
    def recovered(self) -> bool:
        return self.first_ok_after is not None

    @property
    def low_ns(self) -> int:
        """The service was down for at least this long: from `down_by` to s_K."""
        return max(self.down_until - self.down_by, 0)

    @property
    def high_ns(self) -> int | None:
        """At most this long; None where it has no end or no beginning."""
        return self.longest

    @property
    def sent_low_ns(self) -> int:
        """As `low_ns`, of send instants: attempts sent over at least this long failed. s_K - s_F."""
        return self.last_failed - self.first_failed

    @property
    def sent_high_ns(self) -> int | None:
        """As `high_ns`, of send instants: s_R - s_L."""
        if self.first_ok_after is None or self.last_ok_before is None:
            return None
        return self.first_ok_after - self.last_ok_before

    @property
    def point_ns(self) -> float | None:
        """(s_K + s_R)/2 - (s_L + s_F)/2; None where one of them is missing."""
        if self.first_ok_after is None or self.last_ok_before is None:
            return None
        return (self.last_failed + self.first_ok_after) / 2 - (self.last_ok_before + self.first_failed) / 2


def outage_spans(seen: Evidence, window_ns: int, interval_ns: int) -> tuple[OutageSpan, ...]:
    """Every outage in `seen`, in order.

    `window_ns` is S: failures with less than S of unbroken service between them belong to one outage, and a return that
    observation did not follow for S (less one probe interval D) is not confirmed: the outage stays open.
    """
    failed = np.flatnonzero(~seen.ok)
    if len(failed) == 0:
        return ()
    ok_at = np.flatnonzero(seen.ok)
    failed_sent, ok_sent = seen.sent[failed], seen.sent[ok_at]
    failed_decided, ok_decided = seen.decided[failed], seen.decided[ok_at]
    next_ok = np.searchsorted(ok_sent, failed_sent, side="right")
    has_next = next_ok < len(ok_sent)
    if len(ok_sent):
        return_sent = np.where(has_next, ok_sent[np.minimum(next_ok, len(ok_sent) - 1)], 0)
    else:
        return_sent = np.zeros(len(failed), dtype=np.int64)
    closes = np.zeros(len(failed), dtype=bool)
    closes[:-1] = has_next[:-1] & (failed_sent[1:] > return_sent[:-1] + window_ns)
    closes[-1] = True
    ends = np.flatnonzero(closes)
    begins = np.concatenate(([0], ends[:-1] + 1))
    last_sent = int(seen.sent[-1])
    spans = []
    for begin, end in zip(begins.tolist(), ends.tolist(), strict=True):
        first, last = int(failed_sent[begin]), int(failed_sent[end])
        runs = next_ok[begin : end + 1]
        lead = trail = 0
        if end > begin and runs[1] != runs[0]:
            lead = _alternation(int(failed_sent[begin + 1]) - first, interval_ns)
        if end > begin and runs[-1] != runs[-2]:
            trail = _alternation(last - int(failed_sent[end - 1]), interval_ns)
        before = int(np.searchsorted(ok_sent, first - lead, side="right" if lead else "left"))
        after = int(np.searchsorted(ok_sent, last + trail, side="left" if trail else "right"))
        down_by = int(failed_decided[begin : end + 1].min())
        proven = np.flatnonzero(ok_decided[:before] <= last)
        up_from = int(ok_sent[proven[-1]]) if len(proven) else None
        returned = returned_end = up_by = longest = None
        if after < len(ok_sent):
            candidate = int(ok_sent[after])
            next_failed = failed_sent[end + 1] if end + 1 < len(failed) else last_sent + 1
            back = slice(after, int(np.searchsorted(ok_sent, next_failed)))
            sustained = end + 1 < len(failed) or last_sent >= candidate + window_ns - interval_ns
            if sustained and (ok_sent[back] >= down_by).any():
                returned, returned_end = candidate, int(seen.ended[ok_at[after]])
                up_by, longest = _return(ok_sent[back], ok_decided[back], down_by, up_from)
        words, counts = np.unique(seen.outcome[failed[begin : end + 1]], return_counts=True)
        spans.append(
            OutageSpan(
                last_ok_before=int(ok_sent[before - 1]) if before else None,
                first_failed=first,
                last_failed=last,
                first_ok_after=returned,
                first_ok_ended=returned_end,
                up_from=up_from,
                down_by=down_by,
                down_until=last,
                up_by=up_by,
                longest=longest,
                failures=end - begin + 1,
                consecutive=int(np.unique(runs, return_counts=True)[1].max()),
                errors=tuple((error_class(str(w)), int(c)) for w, c in zip(words, counts, strict=True)),
            )
        )
    return tuple(spans)


def _return(sent: Int, decided: Int, down_by: int, up_from: int | None) -> tuple[int, int | None]:
    """(back by then, down for at most so long in ns), from the ok attempts of the return, in the order of their sends.

    One sent before `down_by` may have met the service before it broke at all: failed attempts that are on their way for long (a
    silent one until W) do not say when they met it. Then the outage lies between two of these ok attempts, and is no longer than
    from the send of one to the earliest answer behind it.
    """
    up_by = int(decided[sent >= down_by].min())
    if up_from is None:
        return up_by, None
    answered = np.minimum.accumulate(decided[::-1])[::-1]  # by then one of those from here on was
    between = (answered[1:] - sent[:-1])[sent[:-1] < down_by]
    return up_by, max([int(answered[0]) - up_from, *between.tolist()])


def _alternation(gap_ns: int, interval_ns: int) -> int:
    """How far the edge of an outage that only a part of the attempts meet may lie beyond the failed attempt at that edge.

    Where ok and failed attempts alternate (half the hosts are down), an ok one beside the edge proves nothing: the part that
    fails had its turn only one `gap_ns` away. Beyond one probe interval D it is no alternation: every probe had its turn.
    """
    return gap_ns if gap_ns <= interval_ns else 0


def error_class(outcome: str) -> str:
    """How a failed attempt is counted: an answer that was right but came after W is a timeout to whoever waited for it."""
    return "timeout" if outcome in ("ok", "degraded") else outcome


def span_after(spans: Sequence[OutageSpan], began_ns: int) -> OutageSpan | None:
    """The first outage that was not over when the fault began, whether or not it began before it."""
    for span in spans:
        if span.first_ok_after is None or span.first_ok_after > began_ns:
            return span
    return None


def began_before(span: OutageSpan, began_ns: int, deadline_ns: int) -> bool:
    """Whether attempts failed that cannot be the fault's doing: sent more than W before it began."""
    return span.first_failed < began_ns - deadline_ns


def is_down(span: OutageSpan, deadline_ns: int) -> bool:
    """Debounced (MEASUREMENT.md section 4): two consecutive failures, or at least 2 W of failure."""
    return span.consecutive >= 2 or span.last_failed - span.first_failed >= 2 * deadline_ns


def longest_gap_ns(seen: Evidence, from_ns: int, until_ns: int) -> int:
    """The longest time from an ok send around [from_ns, until_ns] to the next ok answer: an outage that none met is shorter."""
    sent = seen.sent[seen.ok]
    answered = np.minimum.accumulate(seen.decided[seen.ok][::-1])[::-1]  # by then one of those from here on was
    first = max(int(np.searchsorted(sent, from_ns, side="right")) - 1, 0)
    last = int(np.searchsorted(sent, until_ns, side="right"))
    inside = sent[first:last]
    if len(inside) == 0:
        return until_ns - from_ns
    begins = np.concatenate(([min(from_ns, int(inside[0]))], inside))
    ends = np.concatenate((answered[first:last], [max(until_ns, int(inside[-1]))]))
    return int((ends - begins).max())
