"""Comparing a figure is True or False only where nothing within its bounds could say otherwise."""

from __future__ import annotations

import datetime
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.model.figures import Figure, Gate
from chaoskit.surfaces.python.amounts import Amount, UnknownAmount

COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "<=": operator.le, "<": operator.lt, ">=": operator.ge, ">": operator.gt, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip


def amount(low: float | None, high: float | None, **more: Any) -> Amount:
    return Amount("rto of orders", Figure(point=low, low=low, high=high, **{"text": "a figure", **more}))


def compared(op: str, figure: Amount, limit: Any) -> bool | None:
    try:
        return COMPARISONS[op](figure, limit)
    except UnknownAmount:
        return None


@given(st.sampled_from(list(COMPARISONS)), st.integers(-5, 5), st.integers(0, 6), st.integers(-8, 8))
def test_it_is_decided_only_where_every_value_within_the_bounds_agrees(op: str, low: int, width: int, limit: int) -> None:
    """Values between the bounds, at a distance of halves, so that each of the ends and the middle is among them."""
    truths = {COMPARISONS[op](low + half / 2, limit) for half in range(2 * width + 1)}
    said = compared(op, amount(low, low + width), limit)
    assert said == (truths.pop() if len(truths) == 1 else None)


@pytest.mark.parametrize("op", COMPARISONS)
@pytest.mark.parametrize("limit", [0, 30, 1e9, -1])
def test_an_invalid_figure_compares_as_nothing(op: str, limit: float) -> None:
    assert compared(op, amount(1, 2, valid=False, reasons=("the fault did not bite",)), limit) is None
    assert compared(op, amount(None, None), limit) is None


def test_a_censored_figure_is_more_than_its_lower_bound_and_nothing_else() -> None:
    never_back = amount(60, None, censored=True)
    assert compared("<=", never_back, 30) is False
    assert compared(">", never_back, 30) is True
    assert compared("<=", never_back, 90) is None
    assert compared("==", never_back, 60) is None
    assert never_back.high is None


def test_the_message_says_all_of_it() -> None:
    gates = (
        Gate(name="baseline", met=True, seen="30 s", wanted="30 s"),
        Gate(name="lateness", met=False, seen="60 ms", wanted="<= 50 ms"),
    )
    figure = Figure(point=30, low=29, high=31, n=60, rule="the rule", text="30.0 s (29.0 s to 31.0 s)")
    with pytest.raises(UnknownAmount) as told:
        assert Amount("rto of orders", figure, gates, Path("reports/x/report.html"), 2) <= 30
    for words in (
        "rto of orders <= 30s is unknown: 30.0 s (29.0 s to 31.0 s)",
        "point: 30 s; bounds: 29 s to 31 s; samples: 60",
        "trial: 2",
        "lies within the bounds",
        "1 of 2 met",
        "NOT met: lateness: 60 ms; wanted <= 50 ms",
        "rule: the rule",
        "reports/x/report.html",
    ):
        assert words in str(told.value), words


def test_limits_are_written_as_elsewhere() -> None:
    assert amount(29, 30) <= "30s"
    assert amount(29, 30) <= "0.5min"
    assert amount(29, 30) <= datetime.timedelta(seconds=30)
    assert amount(0.999, 0.9995, unit="share") >= "99.9%"
    assert amount(3, 3, unit="writes") == 3
    assert amount(3, 3, unit="writes") != 4
    with pytest.raises(ValueError, match="not a number with a unit"):
        assert amount(29, 30) <= "30"
    with pytest.raises(ValueError, match="unknown unit 'parsecs'"):
        assert amount(29, 30) <= "3parsecs"
    with pytest.raises(TypeError, match="counts writes"):
        assert amount(3, 3, unit="writes") <= datetime.timedelta(seconds=30)


def test_what_would_mean_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="neither true nor false"):
        assert amount(0, 0)
    with pytest.raises(TypeError, match="not with True"):
        assert amount(0, 0) == True  # noqa: E712 - that is the point
    with pytest.raises(TypeError):
        hash(amount(0, 0))
    assert (amount(0, 0) == object()) is False
