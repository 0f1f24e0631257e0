"""Objectives refuse limits that are none, and judge a figure by its bounds."""

from __future__ import annotations

from typing import Any

import pytest
from ruamel.yaml import YAML

from chaoskit.engine import registry
from chaoskit.measures.limits import judged, nothing_seen
from chaoskit.model.figures import Figure, FlappingFigures
from chaoskit.model.result import TrialMeasures
from chaoskit.model.units import Bound, Duration, Fraction

CLIENTS = ("orders", "readers")


def test_every_registered_objective_accepts_its_own_example() -> None:
    for name, made in registry.all("objectives").items():
        assert made.name == name
        made().check(YAML(typ="safe").load(made.example), CLIENTS)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("rto", "<= 30s"),
        ("rto", {"orders": "<= 30s", "readers": "< 1m"}),
        ("availability", ">= 99.9%"),
        ("availability", {"readers": "> 99%"}),
        ("rpo", 0),
        ("rpo", "<= 5"),
        ("rpo", {"writes": 0, "window": "<= 5s", "duplicates": 0, "phantoms": "none", "divergence": 0}),
        ("flaps", 0),
        ("flaps", "<= 2"),
        ("flaps", "none"),
        ("leader_changes", 0),
        ("leader_changes", "<= 1"),
        ("split_brain", "none"),
        ("outage", "none"),
        ("outage", "<= 40s"),
        ("outage", {"orders": "none"}),
    ],
)
def test_limits_that_are_allowed(name: str, limit: Any) -> None:
    registry.load("objectives", name)().check(limit, CLIENTS)


@pytest.mark.parametrize(
    ("name", "limit", "says"),
    [
        ("rto", "30s", "starts with <="),
        ("rto", ">= 30s", "smaller is better"),
        ("rto", "<= 30", "number with a unit"),
        ("rto", "none", "starts with"),
        ("rto", 30, "starts with"),
        ("rto", None, "starts with"),
        ("rto", {}, "no client is named"),
        ("rto", {"order": "<= 30s"}, "'order' is no client"),
        ("availability", "<= 99%", "more is better"),
        ("availability", ">= 0.99", "percentage"),
        ("availability", ">= 120%", "percentage"),
        ("rpo", {"lost": 0}, "'lost' is not known here"),
        ("rpo", {"window": 5}, "starts with"),
        ("rpo", {}, "no limit"),
        ("rpo", {"writes": ">= 3"}, "smaller is better"),
        ("rpo", True, "starts with"),
        ("flaps", "few", "starts with"),
        ("leader_changes", "few", "starts with"),
        ("leader_changes", ">= 1", "smaller is better"),
        ("flaps", True, "starts with"),
        ("split_brain", 0, "none"),
        ("split_brain", "some", "none"),
        ("outage", {"writers": "none"}, "is no client"),
        ("outage", [], "starts with"),
    ],
)
def test_limits_that_are_none_say_what_is_allowed(name: str, limit: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        registry.load("objectives", name)().check(limit, CLIENTS)


def figure(low: float | None, high: float | None, **changes: Any) -> Figure:
    return Figure(**({"low": low, "high": high, "point": None, "text": "so much"} | changes))


@pytest.mark.parametrize(
    ("limit", "low", "high", "met"),
    [
        ("<= 10s", 9.8, 9.9, True),
        ("<= 10s", 9.9, 10.0, True),
        ("< 10s", 9.9, 10.0, None),
        ("<= 10s", 9.9, 10.1, None),
        ("<= 10s", 10.1, 10.2, False),
        ("<= 10s", 9.0, None, None),
        ("<= 10s", 10.5, None, False),
        ("<= 10s", 0.0, 0.005, True),
    ],
)
def test_a_ceiling_is_met_by_the_upper_bound_and_missed_by_the_lower(
    limit: str, low: float, high: float | None, met: bool | None
) -> None:
    given = figure(low, high, censored=high is None)
    found, reasons = judged(Bound.parse(limit, Duration), given)
    assert found is met
    if met is None:
        assert reasons, "unknown always says why"


@pytest.mark.parametrize(("low", "high", "met"), [(0.995, 0.999, True), (0.985, 0.995, None), (0.9, 0.98, False)])
def test_a_floor_is_met_by_the_lower_bound_and_missed_by_the_upper(low: float, high: float, met: bool | None) -> None:
    assert judged(Bound.parse(">= 99%", Fraction), figure(low, high))[0] is met


@pytest.mark.parametrize(("low", "high", "met"), [(2, 2, True), (3, 3, False), (1, 3, None)])
def test_an_exact_count(low: float, high: float, met: bool | None) -> None:
    assert judged(Bound.parse("== 2"), figure(low, high))[0] is met


def test_an_invalid_figure_is_unknown_even_where_it_misses() -> None:
    assert judged(Bound.parse("<= 1s", Duration), figure(50, 60, valid=False, reasons=("late prober",))) == (
        None,
        ("late prober",),
    )
    assert nothing_seen(figure(50, 60, valid=False))[0] is None
    assert judged(Bound.parse("<= 1s", Duration), figure(None, None))[0] is None


def test_nothing_seen_needs_a_lower_bound_of_zero() -> None:
    assert nothing_seen(figure(0.0, 0.01))[0] is True
    assert nothing_seen(figure(0.1, 0.2))[0] is False
    assert nothing_seen(figure(0.0, None, censored=True))[0] is False, "one failed attempt that was the last is an outage"
    assert nothing_seen(figure(0.0, 0.02, point=0.01))[0] is False, "one failed attempt between two ok ones is an outage"


@pytest.mark.parametrize(("changes", "met"), [(0, True), (2, False), (None, None)])
def test_leader_changes_are_judged_as_counted_and_unknown_where_nobody_watched(changes: int | None, met: bool | None) -> None:
    none = figure(0.0, 0.1)
    counted = figure(changes, changes) if changes is not None else figure(None, None, valid=False, reasons=("nobody watched",))
    flapping = FlappingFigures(
        flaps=none,
        leader_changes=counted,
        excess_leader_changes=none,
        unstable_time=none,
        dual_owner_time=none,
        no_owner_time=none,
    )
    trial = TrialMeasures(index=0, started="", ended="", baseline_s=1, observed_s=1, flapping=flapping)
    (judged_so,) = registry.load("objectives", "leader_changes")().judge(0, trial)
    assert judged_so.met is met
