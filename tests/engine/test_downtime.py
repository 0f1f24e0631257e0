"""Yearly downtime and error budgets: the specification's figures, and no more certainty than the trials give."""

from __future__ import annotations

import math

import numpy as np
import pytest

from chaoskit.engine.downtime import YEAR_S, length, t_quantile, t_within, yearly_downtime
from chaoskit.model.figures import Figure


def rto(point: float, half: float = 0.0) -> Figure:
    return Figure(point=point, low=point - half, high=point + half)


@pytest.mark.parametrize(
    ("degrees", "quantile"),
    [(1, 12.7062), (2, 4.30265), (3, 3.18245), (5, 2.57058), (10, 2.22814), (30, 2.04227), (120, 1.97993)],
)
def test_student_t_is_that_of_the_tables(degrees: int, quantile: float) -> None:
    assert t_quantile(degrees) == pytest.approx(quantile, abs=1e-4)
    assert t_within(quantile, degrees) == pytest.approx(0.95, abs=1e-6)


@pytest.mark.parametrize(("rto_s", "failovers"), [(5, 631), (30, 105), (90, 35)])
def test_four_nines_pay_for_as_many_failovers_as_the_specification_says(rto_s: float, failovers: int) -> None:
    made = yearly_downtime([rto(rto_s)] * 3, 12, 0.9999)
    assert made.budget_s is not None
    assert made.budget_s / 60 == pytest.approx(52.6, abs=0.01)
    assert made.failures_in_budget is not None
    assert round(made.failures_in_budget) == failovers


def test_the_yearly_downtime_is_the_rate_times_the_mean_not_the_median() -> None:
    made = yearly_downtime([rto(10), rto(10), rto(10), rto(50)], 12, 0.9999)
    assert (made.mean_rto_s, made.downtime_s) == (20, 240)
    assert made.availability == pytest.approx(1 - 240 / YEAR_S)
    reach = t_quantile(3) * 20 / math.sqrt(4)
    assert made.downtime_low_s == 0.0  # 20 - 31.8: a length of time is not negative
    assert made.downtime_high_s == pytest.approx(12 * (20 + reach))
    assert made.within_budget is True
    assert "12 failures a year (stated)" in made.text


def test_what_measuring_leaves_open_widens_it() -> None:
    narrow, wide = yearly_downtime([rto(10), rto(12)], 1, None), yearly_downtime([rto(10, 0.5), rto(12, 0.5)], 1, None)
    assert narrow.downtime_high_s is not None
    assert wide.downtime_high_s == pytest.approx(narrow.downtime_high_s + 0.5)
    assert (wide.budget_s, wide.within_budget) == (None, None)


def test_one_trial_says_nothing_of_the_spread() -> None:
    made = yearly_downtime([rto(20)], 12, 0.9999)
    assert (made.downtime_s, made.downtime_low_s, made.downtime_high_s, made.within_budget) == (240, 0, None, None)
    assert "one trial does not tell how much they differ" in made.text


def test_a_censored_trial_has_no_mean_and_no_upper_end() -> None:
    made = yearly_downtime([rto(20), rto(22), Figure(low=60.0, censored=True)], 12, 0.9999)
    assert (made.downtime_s, made.downtime_high_s, made.availability, made.within_budget) == (None, None, None, None)
    assert made.text.startswith("more than")


def test_a_budget_is_exceeded_only_where_the_whole_interval_says_so() -> None:
    trials = [rto(100), rto(101), rto(102)]
    assert yearly_downtime(trials, 40, 0.9999).within_budget is False
    assert yearly_downtime(trials, 31, 0.9999).within_budget is None
    assert yearly_downtime(trials, 20, 0.9999).within_budget is True


def test_invalid_trials_are_left_out_and_counted() -> None:
    made = yearly_downtime([rto(20), rto(22), Figure(point=90, valid=False)], 12, None)
    assert (made.n, made.mean_rto_s) == (2, 21)
    assert "from 2 trials of 3; the others are invalid" in made.text
    assert yearly_downtime([Figure(valid=False)], 12, None).text == "unknown: no trial has a valid RTO"


def test_the_interval_covers_the_mean_of_recovery_times_that_depend_on_the_phase() -> None:
    """Uniform over a detector's period: 95 % within a hundredth, at six trials."""
    chance = np.random.default_rng(5)
    covered = 0
    for _ in range(1500):
        made = yearly_downtime([rto(float(v)) for v in chance.uniform(20, 30, 6)], 1, None)
        assert made.mean_low_s is not None
        assert made.mean_high_s is not None
        covered += made.mean_low_s <= 25 <= made.mean_high_s
    assert covered / 1500 > 0.94 - 6 * math.sqrt(0.94 * 0.06 / 1500)


@pytest.mark.parametrize(("seconds", "words"), [(42, "42 s"), (3156, "52.6 min"), (7200, "2 h"), (700_000, "8.1 d")])
def test_lengths_are_readable(seconds: float, words: str) -> None:
    assert length(seconds) == words
