"""Axes: round ticks that cover the range, in order, without float noise."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.reporting.scale import Linear, Log, log_ceiling, log_floor, multiples, nice_step, nice_time_step

SPANS = st.floats(min_value=1e-6, max_value=1e9)


@given(SPANS, st.integers(min_value=2, max_value=50))
def test_a_nice_step_is_1_2_or_5_times_a_power_of_ten_and_not_finer_than_asked(span: float, about: int) -> None:
    step = nice_step(span, about)
    mantissa = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5)) < 1e-6
    assert span / step <= about * (1 + 1e-6)
    assert span / step > about / 2.6


@pytest.mark.parametrize(
    ("span", "about", "step"),
    [(105, 12, 10), (105, 5, 30), (60, 6, 10), (0.3, 600, 5e-4), (3600, 6, 600), (86400 * 3, 6, 43200), (90, 1, 120)],
)
def test_time_steps_follow_the_clock(span: float, about: int, step: float) -> None:
    assert nice_time_step(span, about) == step


@pytest.mark.parametrize("span", [0, -1, math.nan, math.inf])
def test_a_span_that_is_none_still_has_a_step(span: float) -> None:
    assert nice_step(span, 5) == 1.0
    assert nice_time_step(span, 5) == 1.0


def test_multiples_have_no_float_noise_and_no_negative_zero() -> None:
    assert multiples(-0.3, 0.31, 0.1) == (-0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3)
    assert str(multiples(-1, 1, 1)[1]) == "0.0"
    assert multiples(5, 1, 1) == ()


@given(st.floats(-1e4, 1e4), st.floats(1e-3, 1e6))
def test_linear_ticks_lie_on_the_axis_and_places_are_clamped(low: float, span: float) -> None:
    axis = Linear(low, low + span)
    ticks = axis.ticks(6)
    assert all(low - 1e-6 * span <= t <= low + span + 1e-6 * span for t in ticks)
    assert list(ticks) == sorted(ticks)
    assert axis(low - span) == 0
    assert axis(low + 2 * span) == pytest.approx(100)


def test_an_axis_without_length_puts_everything_at_its_beginning() -> None:
    assert Linear(3, 3)(7) == 0
    assert Log(1, 1)(7) == 0


def test_a_log_axis_places_by_factor() -> None:
    axis = Log(0.001, 10, 80)
    assert axis(0.001) == 0
    assert axis(0) == axis(-1) == 0
    assert axis(0.1) == pytest.approx(40)
    assert axis(10) == pytest.approx(80)
    assert axis(100) == pytest.approx(80)


@pytest.mark.parametrize(
    ("low", "high", "about", "ticks"),
    [
        (0.001, 1, 6, (0.001, 0.01, 0.1, 1.0)),
        (0.2, 0.9, 6, (0.2, 0.5)),
        (0.01, 0.1, 6, (0.01, 0.02, 0.05, 0.1)),
        (1e-6, 1e6, 4, (1e-6, 1e-2, 1e2, 1e6)),
        (0, 1, 6, ()),
    ],
)
def test_log_ticks_are_decades_or_finer_where_there_is_room(
    low: float, high: float, about: int, ticks: tuple[float, ...]
) -> None:
    assert Log(low, high).ticks(about) == pytest.approx(ticks)


@given(st.floats(min_value=1e-9, max_value=1e9))
def test_rounded_ends_enclose_the_value_within_a_factor_of_two_and_a_half(value: float) -> None:
    low, high = log_floor(value), log_ceiling(value)
    assert low <= value * (1 + 1e-6)
    assert high >= value * (1 - 1e-6)
    assert value / low <= 2.51
    assert high / value <= 2.51
