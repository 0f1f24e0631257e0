"""How far one sample of trials is shifted against another: the Hodges-Lehmann estimate with its exact interval. Pure.

The interval ends at the order statistics of all differences b - a that the distribution of Mann and Whitney's U names, with no
assumption but that both samples have the same shape. Ties make it wider than it needs to be, never narrower.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from chaoskit.engine.statistics import trial_value
from chaoskit.model.comparison import Shift, ShiftVerdict
from chaoskit.model.figures import Figure

EXACT_UP_TO = 10_000
"""Pairs. Beyond, U is normal to every digit that is shown."""


class Bounded(NamedTuple):
    """One trial's value with what measuring it leaves open; infinities where it is censored."""

    low: float
    value: float
    high: float


def bounded(figure: Figure) -> Bounded:
    """One valid figure. A censored one is at least its low bound, and counts as infinite."""
    value = trial_value(figure)
    low = figure.low if figure.low is not None else value
    return Bounded(low, value, math.inf if figure.censored or figure.high is None else figure.high)


@lru_cache(maxsize=64)
def u_counts(m: int, n: int) -> tuple[int, ...]:
    """In how many of the C(m + n, m) orders of two samples U is 0, 1, ... m n (the Gaussian binomial coefficient)."""
    size = m * n + 1
    counts = [1] + [0] * (size - 1)
    for i in range(1, m + 1):
        for u in range(size - 1, n + i - 1, -1):  # times 1 - x^(n + i)
            counts[u] -= counts[u - n - i]
        for u in range(i, size):  # by 1 - x^i
            counts[u] += counts[u - i]
    return tuple(counts)


def interval_rank(m: int, n: int) -> tuple[int, float]:
    """(k, confidence): the k-th smallest and k-th largest difference enclose the shift with at least 95 %; k = 0: none do."""
    if m * n > EXACT_UP_TO:
        return _normal_rank(m, n)
    orders, below, k = math.comb(m + n, m), 0, 0
    for count in u_counts(m, n):
        if 40 * (below + count) > orders:  # 2 P(U <= k) > 5 %, in whole numbers
            break
        below += count
        k += 1
    return k, 1 - 2 * below / orders


def trials_against(m: int) -> int | None:
    """The fewest trials that give any interval against m of them: 4 against 4, 5 against 3, 8 against 2; None where m is 0."""
    if m < 1:
        return None
    n = 1
    while interval_rank(m, n)[0] == 0:
        n += 1
    return n


def _normal_rank(m: int, n: int) -> tuple[int, float]:
    """The same for large samples, one rank to the safe side."""
    deviation = math.sqrt(m * n * (m + n + 1) / 12)
    k = math.floor(m * n / 2 - 1.959964 * deviation) - 1
    return k, math.erf((m * n / 2 - k + 0.5) / deviation / math.sqrt(2))


def shift(a: Sequence[Bounded], b: Sequence[Bounded]) -> Shift:
    """By how much b lies above a. The interval holds for whatever the trials were within their own bounds."""
    m, n = len(a), len(b)
    if m == 0 or n == 0:
        return Shift(point=None, interval=None, confidence=None, n_a=m, n_b=n)
    k, confidence = interval_rank(m, n)
    interval = None
    if k > 0:
        least = sorted(y.low - x.high for x in a for y in b)
        most = sorted(y.high - x.low for x in a for y in b)
        interval = (_finite(least[k - 1]), _finite(most[-k]))
    return Shift(point=_middle(a, b), interval=interval, confidence=round(confidence, 9) if k > 0 else None, n_a=m, n_b=n)


def _middle(a: Sequence[Bounded], b: Sequence[Bounded]) -> float | None:
    """The median of the differences. Infinite minus infinite may be anything: it counts only where it cannot move the median."""
    ends = []
    for unknown in (-math.inf, math.inf):
        pairs = [unknown if math.isinf(x.value) and math.isinf(y.value) else y.value - x.value for x in a for y in b]
        pairs.sort()
        low, high = pairs[(len(pairs) - 1) // 2], pairs[len(pairs) // 2]
        ends.append((low + high) / 2 if math.isfinite(low) and math.isfinite(high) else math.inf)
    return round(ends[0], 9) if ends[0] == ends[1] and math.isfinite(ends[0]) else None


def _finite(value: float) -> float | None:
    return round(value, 9) if math.isfinite(value) else None


def shift_verdict(found: Shift, tolerance: float | None) -> tuple[ShiftVerdict, str]:
    """Against a tolerance in the figure's unit: the verdict and why."""
    sizes = f"{found.n_a} v {found.n_b}"
    if found.interval is None:
        return "inconclusive", f"{sizes} valid trials give no 95 % interval whatever they are; it takes 4 v 4, 3 v 5 or 2 v 8"
    if tolerance is None:
        return "inconclusive", "the tolerance is a share of the first group's median, and that is not known"
    low = -math.inf if found.interval[0] is None else found.interval[0]
    high = math.inf if found.interval[1] is None else found.interval[1]
    if low > tolerance:
        return "regressed", "the whole interval lies above the tolerance"
    if low >= -tolerance and high <= tolerance:
        return "equivalent", "the whole interval lies within the tolerance"
    if high < 0 and low < -tolerance:
        return "improved", "the whole interval lies below 0"
    if high <= tolerance:
        return "inconclusive", "it is not worse by more than the tolerance, but whether it is the same or better is open"
    return "inconclusive", f"the interval crosses the tolerance; {sizes} trials cannot tell: run more of them"
