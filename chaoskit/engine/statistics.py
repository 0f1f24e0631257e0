"""Figures over trials: order statistics with exact ranks, no bootstrap (MEASUREMENT.md section 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaoskit.model.result import Figure, Summary

CONFIDENCE = 0.95


def median_ranks(n: int) -> tuple[int, int] | None:
    """The narrowest pair of ranks (from 1) whose order statistics enclose the median with at least 95 %; None below n = 6.

    Between X(l) and X(u) the median lies with probability sum of C(n, k)/2^n for k from l to u - 1.
    """
    weights = [math.comb(n, k) for k in range(n + 1)]
    best: tuple[int, int, int] | None = None
    for low in range(1, n + 1):
        for high in range(low + 1, n + 1):
            covered = sum(weights[low:high])
            if covered < CONFIDENCE * 2**n:
                continue
            key = (high - low, -covered, low)
            if best is None or key < (best[1] - best[0], -best[2], best[0]):
                best = (low, high, covered)
            break
    return None if best is None else (best[0], best[1])


def tail_confidence(n: int, quantile: float = 0.95) -> float:
    """With n trials all below X: the confidence in "this quantile lies below X"."""
    return 1 - quantile**n


def summary(figures: Sequence[Figure]) -> Summary:
    """The valid ones of some figures, one a trial. A censored one is +infinity; "none seen" counts as its upper bound."""
    valid = [f for f in figures if f.valid]
    values = sorted(_value(f) for f in valid)
    n = len(values)
    if n == 0:
        return Summary(n=0, median=None, max=None, confidence=f"no valid figure in {len(figures)} trials")
    ranks = median_ranks(n)
    middle = (values[(n - 1) // 2] + values[n // 2]) / 2
    return Summary(
        n=n,
        median=_finite(middle),
        max=_finite(values[-1]),
        ci=None if ranks is None else (_finite(values[ranks[0] - 1]), _finite(values[ranks[1] - 1])),
        confidence=_confidence(n, len(figures), ranks, values[-1]),
        censored=sum(1 for f in valid if f.censored),
    )


def _value(figure: Figure) -> float:
    if figure.censored:
        return math.inf
    known = figure.point if figure.point is not None else figure.high
    return math.inf if known is None else known


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else round(value, 9)


def _confidence(n: int, trials: int, ranks: tuple[int, int] | None, largest: float) -> str:
    words = []
    if n < trials:
        words.append(f"{trials - n} of {trials} trials are invalid and left out")
    if ranks is None:
        words.append(f"{n} {'trial' if n == 1 else 'trials'}: no 95 % interval of the median (it takes 6)")
    else:
        words.append(f"95 % interval of the median: ranks {ranks[0]} and {ranks[1]} of {n}")
    reached = tail_confidence(n)
    bound = (
        "no upper bound, one is censored"
        if math.isinf(largest)
        else f"p95 at most the largest with {reached * 100:.0f} % confidence"
    )
    words.append(bound if reached >= CONFIDENCE or math.isinf(largest) else f"{bound} (95 % takes 59 trials)")
    return "; ".join(words)
