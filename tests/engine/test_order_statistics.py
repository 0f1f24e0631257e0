"""Ranks and confidences are exact: the specification's tables, and coverage by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chaoskit.engine.order_statistics import (
    at_most,
    binomial,
    median_coverage,
    median_ranks,
    share_below,
    tail_confidence,
    trials_needed,
    upper_rank,
)
from chaoskit.engine.statistics import percent_reached, pooled_losses, summary
from chaoskit.model.figures import Figure, LedgerFigures
from chaoskit.model.result import TrialMeasures

SIMULATED = 20_000


def margin(share: float) -> float:
    """Six standard errors of a simulated share: with a fixed seed it cannot flake, and another seed would fail once in 5e8."""
    return 6 * math.sqrt(share * (1 - share) / SIMULATED)


@pytest.mark.parametrize(
    ("n", "ranks"), [(1, None), (5, None), (6, (1, 6)), (8, (1, 7)), (10, (2, 9)), (20, (6, 15)), (30, (10, 21))]
)
def test_ranks_of_the_median_are_those_of_the_specification(n: int, ranks: tuple[int, int] | None) -> None:
    assert median_ranks(n) == ranks


@pytest.mark.parametrize("n", range(6, 60))
def test_ranks_enclose_the_median_with_95_percent_and_no_narrower_pair_does(n: int) -> None:
    ranks = median_ranks(n)
    assert ranks is not None
    low, high = ranks
    exact = sum(math.comb(n, k) for k in range(low, high)) / 2**n
    assert median_coverage(n, ranks) == exact >= 0.95
    narrower = high - low - 1
    assert all(sum(math.comb(n, k) for k in range(a, a + narrower)) / 2**n < 0.95 for a in range(1, n - narrower + 1))


@pytest.mark.parametrize("n", [6, 8, 10, 20, 30])
def test_the_interval_of_the_median_covers_what_it_says(n: int) -> None:
    """Of a skewed distribution, whose median is known: as recovery times are."""
    ranks = median_ranks(n)
    assert ranks is not None
    drawn = np.sort(np.random.default_rng(n).lognormal(3, 1, (SIMULATED, n)), axis=1)
    covered = np.mean((drawn[:, ranks[0] - 1] <= math.exp(3)) & (math.exp(3) <= drawn[:, ranks[1] - 1]))
    assert abs(covered - median_coverage(n, ranks)) < margin(median_coverage(n, ranks))


@pytest.mark.parametrize(("quantile", "exceeding", "needed"), [
    (0.95, 0, 59), (0.95, 1, 93), (0.95, 2, 124), (0.9, 0, 29), (0.99, 0, 299), (0.5, 0, 5),
])  # fmt: skip
def test_how_many_trials_a_statement_takes(quantile: float, exceeding: int, needed: int) -> None:
    assert trials_needed(quantile, exceeding=exceeding) == needed
    assert tail_confidence(needed - 1, quantile, exceeding) < 0.95 <= tail_confidence(needed, quantile, exceeding)


@pytest.mark.parametrize("n", [1, 3, 6, 20, 58])
def test_with_fewer_the_confidence_is_stated(n: int) -> None:
    assert tail_confidence(n) == pytest.approx(1 - 0.95**n)
    assert upper_rank(n, 0.95) == n


@pytest.mark.parametrize(("n", "quantile"), [(59, 0.95), (93, 0.95), (124, 0.95), (40, 0.9), (11, 0.5)])
def test_a_quantile_lies_below_its_rank_as_often_as_it_says(n: int, quantile: float) -> None:
    rank = upper_rank(n, quantile)
    assert tail_confidence(n, quantile, n - rank) >= 0.95 > tail_confidence(n, quantile, n - rank + 1)
    drawn = np.sort(np.random.default_rng(n).random((SIMULATED, n)), axis=1)  # of which the quantile is the quantile itself
    exact = tail_confidence(n, quantile, n - rank)
    assert abs(np.mean(drawn[:, rank - 1] >= quantile) - exact) < margin(exact)


def test_a_binomial_distribution_adds_up_and_agrees_with_whole_numbers() -> None:
    for n, p in ((1, 0.5), (10, 0.05), (300, 0.95), (5000, 0.001)):
        assert at_most(n, n, p) == 1
        assert math.fsum(binomial(n, k, p) for k in range(n + 1)) == pytest.approx(1, abs=1e-9)
    assert binomial(20, 7, 0.5) == pytest.approx(math.comb(20, 7) / 2**20)
    assert (binomial(5, 0, 0.0), binomial(5, 5, 1.0), at_most(5, -1, 0.3)) == (1.0, 1.0, 0)


@pytest.mark.parametrize(("n", "seen"), [(6, 0), (6, 2), (59, 0), (200, 7)])
def test_the_bound_of_a_share_is_where_so_few_become_unlikely(n: int, seen: int) -> None:
    bound = share_below(n, seen)
    assert at_most(n, seen, bound) == pytest.approx(0.05, abs=1e-6)
    assert bound > seen / n


def test_the_bound_of_a_share_without_any_is_the_rule_of_three() -> None:
    assert share_below(1563, 0) == pytest.approx(3 / 1563, rel=0.01)
    assert share_below(1563, 0) < 3 / 1563  # so that 3/n is on the safe side
    assert (share_below(0, 0), share_below(4, 4)) == (1.0, 1.0)


def test_a_confidence_is_never_rounded_up() -> None:
    assert percent_reached(tail_confidence(58)) == "94.8 %"
    assert percent_reached(0.95) == "95 %"
    assert percent_reached(0.99999) == "99.9 %"


# -- figures over trials ---------------------------------------------------------------------------------------------------


def figure(point: float | None, **changes: object) -> Figure:
    return Figure.model_validate({"point": point, "low": point, "high": point} | changes)


def test_six_trials_have_a_median_with_its_interval_and_ranks() -> None:
    made = summary([figure(float(v), low=v - 0.1, high=v + 0.1) for v in (5, 3, 1, 6, 2, 4)])
    assert (made.n, made.median, made.min, made.max, made.mean) == (6, 3.5, 1, 6, 3.5)
    assert (made.ci, made.ci_ranks, made.ci_confidence) == ((1, 6), (1, 6), 0.96875)
    assert made.mean_bounds == (3.4, 3.6)
    assert "exactly 96.8 %" in made.confidence
    assert "p95 at most the largest with 26.4 % confidence (95 % takes 59 trials)" in made.confidence
    assert [(q.quantile, q.rank, q.below) for q in made.quantiles] == [(0.9, 6, 6), (0.95, 6, 6), (0.99, 6, 6)]


def test_many_trials_bound_a_quantile_by_less_than_the_largest() -> None:
    made = summary([figure(float(v)) for v in range(1, 94)])
    p95 = made.quantiles[1]
    assert (p95.rank, p95.below) == (92, 92)
    assert p95.confidence == pytest.approx(tail_confidence(93, 0.95, 1))
    assert "p95 at most rank 92 of 93" in made.confidence


def test_a_censored_trial_is_infinite_and_takes_the_mean_away() -> None:
    made = summary([figure(1.0), figure(2.0), figure(None, low=60.0, high=None, censored=True)])
    assert (made.median, made.max, made.mean, made.mean_bounds, made.censored) == (2.0, None, None, None, 1)
    assert made.quantiles[1].below is None
    assert "no upper bound, one is censored" in made.confidence


def test_an_invalid_trial_is_left_out_counted_and_named() -> None:
    made = summary([figure(1.0), figure(9.0, valid=False, reasons=("late",)), figure(2.0)], [3, 7, 9])
    assert (made.n, made.trials, made.max) == (2, 3, 2)
    assert [(one.trial, one.reasons) for one in made.left_out] == [(7, ("late",))]
    assert "1 of 3 trials are invalid and left out (trial 7)" in made.confidence


def ledger(index: int, acknowledged: int, lost: int = 0, doubtful: int = 0, **changes: object) -> TrialMeasures:
    count = figure(float(lost), low=lost, high=lost + doubtful, unit="writes", **changes)
    rpo = LedgerFigures(
        acknowledged=acknowledged, lost=count, recovered=0, phantom=0, duplicated=0, window=figure(0.0), split_brain_acks=count
    )
    return TrialMeasures(index=index, started="", ended="", baseline_s=30, observed_s=60, rpo=rpo)


def test_no_loss_in_any_trial_bounds_the_rate_by_three_in_n() -> None:
    made = pooled_losses([ledger(i, 1000) for i in range(6)])
    assert made is not None
    assert (made.trials, made.acknowledged, made.lost_at_most) == (6, 6000, 0)
    assert made.loss_rate_below == pytest.approx(3 / 6000)
    assert made.lossy_trials_below == pytest.approx(1 - 0.05 ** (1 / 6))
    assert "3/6000" in made.text


def test_losses_are_counted_doubtful_ones_too_and_invalid_trials_named() -> None:
    made = pooled_losses([ledger(0, 1000), ledger(1, 1000, 20, 2), ledger(2, 1000, valid=False, reasons=("not read",))])
    assert made is not None
    assert (made.trials, made.trials_with_loss, made.acknowledged, made.lost, made.lost_at_most) == (2, 1, 2000, 20, 22)
    assert at_most(2000, 22, made.loss_rate_below) == pytest.approx(0.05, abs=1e-6)
    assert [one.trial for one in made.left_out] == [2]
    assert "left out: trial 2" in made.text
    assert pooled_losses([TrialMeasures(index=0, started="", ended="", baseline_s=30, observed_s=60)]) is None
