"""The shift between two samples: exact ranks, coverage by simulation, and a verdict only where the trials give one."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from chaoskit.engine.shifts import Bounded, bounded, interval_rank, shift, shift_verdict, u_counts
from chaoskit.model.comparison import Shift
from chaoskit.model.figures import Figure

SIMULATED = 4_000


def exact(*values: float) -> list[Bounded]:
    return [Bounded(v, v, v) for v in values]


@pytest.mark.parametrize(("m", "n"), [(1, 1), (1, 5), (3, 3), (2, 6), (4, 5)])
def test_the_distribution_of_u_is_that_of_all_orders(m: int, n: int) -> None:
    counted = [0] * (m * n + 1)
    for places in itertools.combinations(range(m + n), m):
        counted[sum(place - i for i, place in enumerate(places))] += 1
    assert list(u_counts(m, n)) == counted


@pytest.mark.parametrize(
    ("m", "n", "rank"),
    [
        (3, 3, 0),
        (3, 4, 0),
        (2, 7, 0),
        (1, 38, 0),
        (4, 4, 1),
        (3, 5, 1),
        (2, 8, 1),
        (5, 5, 3),
        (6, 6, 6),
        (8, 8, 14),
        (10, 10, 24),
    ],
)
def test_the_ranks_are_those_of_the_tables_of_mann_and_whitney(m: int, n: int, rank: int) -> None:
    """Critical values of U at 5 %, two-sided, are one less than the rank."""
    found, confidence = interval_rank(m, n)
    assert found == rank
    assert confidence >= 0.95
    assert interval_rank(n, m) == (found, confidence)


def test_many_pairs_are_ranked_as_the_exact_distribution_ranks_them() -> None:
    assert abs(interval_rank(100, 101)[0] - interval_rank(100, 100)[0]) < 100
    large, confidence = interval_rank(120, 120)
    assert confidence >= 0.95
    orders = math.comb(240, 120)
    assert 40 * sum(u_counts(120, 120)[:large]) <= orders
    assert large <= next(k for k, total in enumerate(itertools.accumulate(u_counts(120, 120))) if 40 * total > orders)


def test_the_shift_is_the_median_of_all_differences() -> None:
    found = shift(exact(1, 2, 3, 4), exact(11, 12, 13, 14.5))
    differences = sorted(b - a for a in (1, 2, 3, 4) for b in (11, 12, 13, 14.5))
    assert found.point == (differences[7] + differences[8]) / 2
    assert found.interval == (differences[0], differences[-1])
    assert found.confidence == pytest.approx(1 - 2 / 70)


@pytest.mark.parametrize(("m", "n"), [(4, 4), (6, 6), (5, 9), (12, 10)])
def test_the_interval_covers_a_known_shift_as_often_as_it_says(m: int, n: int) -> None:
    chance = np.random.default_rng(m * 100 + n)
    k, confidence = interval_rank(m, n)
    covered = 0
    for _ in range(SIMULATED):
        a, b = chance.gamma(2, 5, m), chance.gamma(2, 5, n) + 3
        differences = np.sort((b[:, None] - a[None, :]).ravel())
        covered += bool(differences[k - 1] <= 3 <= differences[-k])
    assert abs(covered / SIMULATED - confidence) < 6 * math.sqrt(confidence * (1 - confidence) / SIMULATED)


@pytest.mark.parametrize("step", [0.5, 2.0])
def test_with_ties_the_interval_covers_no_less_often(step: float) -> None:
    chance = np.random.default_rng(7)
    covered = 0
    for _ in range(SIMULATED):
        a = np.round(chance.gamma(2, 5, 6) / step) * step
        b = np.round(chance.gamma(2, 5, 6) / step) * step
        interval = shift(exact(*a), exact(*b)).interval
        assert interval is not None
        assert interval[0] is not None
        assert interval[1] is not None
        covered += interval[0] <= 0 <= interval[1]
    assert covered / SIMULATED > 0.95 - 6 * math.sqrt(0.95 * 0.05 / SIMULATED)


def test_what_measuring_leaves_open_widens_the_interval() -> None:
    narrow = shift(exact(1, 2, 3, 4), exact(1, 2, 3, 4)).interval
    wide = shift(
        [Bounded(v - 0.1, v, v + 0.1) for v in (1, 2, 3, 4)], [Bounded(v - 0.1, v, v + 0.2) for v in (1, 2, 3, 4)]
    ).interval
    assert narrow == (-3, 3)
    assert wide == (pytest.approx(-3.2), pytest.approx(3.3))


def test_censored_trials_have_no_upper_end_and_count_from_what_was_seen() -> None:
    never = bounded(Figure(low=60.0, censored=True))
    assert never == (60, math.inf, math.inf)
    found = shift(exact(5, 6, 7, 8), [never] * 4)
    assert found.point is None
    assert found.interval == (52, None)
    assert shift_verdict(found, 10)[0] == "regressed"
    back = shift([never] * 4, exact(5, 6, 7, 8))
    assert back.interval == (None, -52)
    assert shift_verdict(back, 10)[0] == "improved"
    both = shift([never] * 4, [never] * 4)
    assert both.interval == (None, None)
    assert (both.point, shift_verdict(both, 10)[0]) == (None, "inconclusive")


def test_one_censored_trial_among_many_leaves_the_estimate_alone() -> None:
    never = Bounded(60, math.inf, math.inf)
    found = shift([*exact(1, 2, 3, 4, 5), never], [*exact(1, 2, 3, 4, 5), never])
    assert found.point == 0
    assert shift(exact(1, 1, 1, 1), [*exact(1, 1), never, never]).point is None  # the median lies between 0 and infinity


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [
        ((2.1, 9.0), "regressed"),
        ((2.0, 9.0), "inconclusive"),
        ((-2.0, 2.0), "equivalent"),
        ((-0.5, 2.1), "inconclusive"),
        ((-9.0, -0.1), "improved"),
        ((-1.9, -0.1), "equivalent"),
        ((-9.0, 0.1), "inconclusive"),
        ((None, 1.0), "inconclusive"),
        ((None, None), "inconclusive"),
        ((3.0, None), "regressed"),
        (None, "inconclusive"),
    ],
)
def test_the_verdict_against_a_tolerance_of_2(interval: Any, verdict: str) -> None:
    found = Shift(point=0.0, interval=interval, confidence=0.95, n_a=6, n_b=6)
    assert shift_verdict(found, 2.0)[0] == verdict
    assert shift_verdict(found, None)[0] == "inconclusive"


def test_three_against_three_have_no_verdict_however_far_apart() -> None:
    found = shift(exact(1, 2, 3), exact(100, 200, 300))
    assert found.interval is None
    verdict, reason = shift_verdict(found, 1.0)
    assert verdict == "inconclusive"
    assert "3 v 3 valid trials give no 95 % interval" in reason
    assert shift((), exact(1.0)).point is None


def test_same_runs_are_seldom_told_apart() -> None:
    """Of two samples of one distribution, the interval excludes 0 in at most 5 %, whatever the tolerance."""
    chance = np.random.default_rng(11)
    apart = 0
    for _ in range(2_000):
        found = shift(exact(*chance.exponential(10, 6)), exact(*chance.exponential(10, 6)))
        apart += shift_verdict(found, 0.0)[0] in ("regressed", "improved")
    assert apart / 2_000 < 0.05 + 6 * math.sqrt(0.05 * 0.95 / 2_000)
