"""Exact statements from sorted trials: ranks for quantiles, how many trials a statement takes, bounds of shares.

No bootstrap: at N = 10, nominal 95 % bootstrap intervals of a p95 cover 39 %. Everything here is binomial, and exact.
"""

from __future__ import annotations

import math
from functools import lru_cache

CONFIDENCE = 0.95


def binomial(n: int, k: int, p: float) -> float:
    """The chance of exactly k successes in n, each with chance p."""
    if p <= 0 or p >= 1:
        return float(k == (0 if p <= 0 else n))
    log_ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log_ways + k * math.log(p) + (n - k) * math.log1p(-p))


def at_most(n: int, k: int, p: float) -> float:
    """The chance of at most k successes in n; 0 for k below 0."""
    return 1.0 if k >= n else math.fsum(binomial(n, i, p) for i in range(k + 1))


@lru_cache(maxsize=512)
def median_ranks(n: int) -> tuple[int, int] | None:
    """The narrowest pair of ranks (from 1) whose order statistics enclose the median with at least 95 %; None below n = 6.

    Between X(l) and X(u) the median lies with probability sum of C(n, k)/2^n for k from l to u - 1.
    """
    weights = [math.comb(n, k) for k in range(n + 1)]
    best: tuple[int, int, int] | None = None
    for low in range(1, n + 1):
        covered = 0
        for high in range(low + 1, n + 1):
            covered += weights[high - 1]
            if 20 * covered < 19 * 2**n:
                continue
            key = (high - low, -covered, low)
            if best is None or key < (best[1] - best[0], -best[2], best[0]):
                best = (low, high, covered)
            break
    return None if best is None else (best[0], best[1])


def median_coverage(n: int, ranks: tuple[int, int]) -> float:
    """The exact confidence with which two ranks enclose the median."""
    return sum(math.comb(n, k) for k in range(*ranks)) / (1 << n)


def tail_confidence(n: int, quantile: float = 0.95, exceeding: int = 0) -> float:
    """With n trials, all but `exceeding` of them at most X: the confidence in "this quantile is at most X".

    Without an exceedance that is 1 - quantile^n.
    """
    if n == 0:
        return 0.0
    return 1.0 - math.pow(quantile, n) if exceeding == 0 else 1 - at_most(n, exceeding, 1 - quantile)


def upper_rank(n: int, quantile: float, confidence: float = CONFIDENCE) -> int:
    """The smallest rank (from 1) whose order statistic bounds the quantile from above with this confidence; n where none does."""
    below = 0.0
    for rank in range(1, n + 1):
        below += binomial(n, rank - 1, quantile)
        if below >= confidence:
            return rank
    return n


def trials_needed(quantile: float, confidence: float = CONFIDENCE, exceeding: int = 0) -> int:
    """How many trials, all but `exceeding` at most X, it takes for "this quantile is at most X": 59, 93, 124 for p95 at 95 %."""
    n = exceeding + 1
    while tail_confidence(n, quantile, exceeding) < confidence:
        n += 1
    return n


def share_below(n: int, seen: int, confidence: float = CONFIDENCE) -> float:
    """Upper bound of a share of which `seen` of n were found (one-sided, Clopper and Pearson). 1 where nothing was tried."""
    if seen >= n:
        return 1.0
    if seen == 0:
        return float(1 - (1 - confidence) ** (1 / n))
    low, high = seen / n, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at_most(n, seen, middle) > 1 - confidence else (low, middle)
    return high
