"""When the service was as good as before: capacity restored (MEASUREMENT.md section 2). Pure.

From an instant on, over S: at least 99 % of attempts ok, their p95 at most 1.5 times that of the baseline, and every role with as
many holders as the lab needs to be ready.
"""

from __future__ import annotations

import numpy as np

from chaoskit.measures.outages import evidence
from chaoskit.measures.phase_figures import not_observed, not_yet, phase_at
from chaoskit.measures.validity import baseline_mask
from chaoskit.model.figures import Phase
from chaoskit.model.recorded import ClientSamples, TrialRecord

NAME = "capacity restored"
OK_SHARE = 0.99
P95_FACTOR = 1.5


def capacity_restored(
    trial: TrialRecord, samples: ClientSamples, from_ns: int, zero_ns: int, redundancy: Phase | str | None
) -> Phase:
    """`from_ns`: when the outage's last attempt failed. `redundancy`: the phase "redundancy restored", None where no role was
    ever short of holders, or why nobody knows."""
    if isinstance(redundancy, str):
        return not_observed(NAME, redundancy)
    limit_ns = _p95_limit_ns(trial, samples)
    if limit_ns is None:
        return not_observed(NAME, f"{samples.client} had no ok attempt in the baseline to be compared with")
    source = (
        f"client {samples.client}: from then on for S >= {OK_SHARE * 100:g} % ok and p95 <= {limit_ns / 1e6:.1f} ms "
        f"({P95_FACTOR:g} x baseline); watcher: roles as the lab needs them"
    )
    good = good_from(samples, from_ns, limit_ns)
    if good is None:
        return not_yet(NAME, _last_sent(samples), zero_ns, source)
    low_ns, high_ns = good
    if redundancy is None:
        return phase_at(NAME, low_ns, high_ns, zero_ns, source)
    back = redundancy.at
    if back.low is None or back.high is None:
        return not_yet(NAME, max(_last_sent(samples), low_ns), zero_ns, source)
    return phase_at(NAME, max(low_ns, zero_ns + back.low * 1e9), max(high_ns, zero_ns + back.high * 1e9), zero_ns, source)


def _last_sent(samples: ClientSamples) -> int:
    return int(samples.t_send.max())


def _p95_limit_ns(trial: TrialRecord, samples: ClientSamples) -> float | None:
    chosen = baseline_mask(trial, samples) & samples.ok
    taken = samples.t_end[chosen] - samples.t_intended[chosen]
    return P95_FACTOR * float(np.quantile(taken, 0.95, method="inverted_cdf")) if len(taken) else None


def good_from(samples: ClientSamples, from_ns: int, limit_ns: float) -> tuple[int, int] | None:
    """The first ok attempt after `from_ns` from which on the next S was good: (sent before it, answered); None where none was."""
    seen = evidence(samples)
    sent = seen.sent
    slow = seen.ok & (seen.ended - seen.intended > limit_ns)
    failed_before = np.concatenate(([0], np.cumsum(~seen.ok)))
    slow_before = np.concatenate(([0], np.cumsum(slow)))
    first = int(np.searchsorted(sent, from_ns, side="right"))
    if first >= len(sent):
        return None
    begins = np.arange(first, len(sent))
    ends = np.searchsorted(sent, sent[begins] + samples.window_ns, side="right")
    whole = sent[begins] + samples.window_ns - samples.interval_ns <= sent[-1]
    count = ends - begins
    failed = failed_before[ends] - failed_before[begins]
    late = slow_before[ends] - slow_before[begins]
    ok_count = count - failed
    good = whole & seen.ok[begins] & (ok_count >= OK_SHARE * count)
    # p95 by rank: so many may be slower, that the one at rank 95 % is not
    good &= late <= ok_count - np.ceil(0.95 * ok_count)
    found = np.flatnonzero(good)
    if len(found) == 0:
        return None
    place = int(begins[found[0]])
    before = max(int(sent[place - 1]), from_ns) if place else from_ns
    return before, int(seen.decided[place])
