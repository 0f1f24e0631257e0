"""Findings follow from figures by rule: they are there when the figures say so, and only then."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskit.model.figures import Figure, Outage
from chaoskit.model.result import Result
from chaoskit.reporting.findings import findings, trials_needed
from tests.reporting.recorded_runs import HEAL_S, Shape, result_of


def titles(result: Result) -> list[str]:
    return [f.title for f in findings(result)]


def changed(result: Result, client: str = "", **figures: Any) -> Result:
    """The same run with some figures of its trial, or of one client of it, replaced."""
    trial = result.trials[0]
    if client:
        figures = {"clients": {**trial.clients, client: trial.clients[client].model_copy(update=figures)}}
    return result.model_copy(update={"trials": (trial.model_copy(update=figures),)})


def exactly(value: float) -> Figure:
    return Figure(point=value, low=value, high=value)


def test_an_ordinary_failover_has_the_ordinary_findings() -> None:
    assert titles(result_of(Shape())) == ["Pooled clients come back late", "Most of the outage is waiting for a new leader"]


def test_a_cluster_that_never_recovers() -> None:
    found = findings(result_of(Shape(recovers=False)))
    assert found[0].title == "Clients never came back"
    assert len(found[0].evidence) == 3
    assert "Slower than the settings predict" in [f.title for f in found]


def test_recovery_at_the_heal_is_no_failover() -> None:
    result = result_of(Shape())
    late = Outage(first_failure_s=10.04, recovered_s=HEAL_S + 1.5, point_s=31.6, low_s=31.5, high_s=31.7)
    after = changed(result, "orders", outages=(late,), rto=Figure(point=31.6, low=31.5, high=31.7))
    assert titles(after)[:2] == [
        "Service came back only after the heal: that is not a failover RTO",
        "Slower than the settings predict",
    ]
    censored = changed(result, "orders", outages=(late,), rto=Figure(low=28.0, censored=True))
    assert titles(censored)[0] == "Service came back only after the heal: that is not a failover RTO"
    assert "Clients never came back" not in titles(censored)
    before = changed(result, "orders", outages=(late.model_copy(update={"recovered_s": HEAL_S - 0.1}),))
    assert "after the heal" not in " ".join(titles(before))


@pytest.mark.parametrize(
    ("low", "high", "title"),
    [
        (24.1, 24.2, "Slower than the settings predict"),
        (23.9, 24.2, ""),
        (17.9, 18.1, ""),
        (17.0, 17.9, "Faster than the settings predict"),
    ],
)
def test_the_prediction_is_missed_only_beyond_the_bounds(low: float, high: float, title: str) -> None:
    result = changed(result_of(Shape()), "orders", rto=Figure(point=(low + high) / 2, low=low, high=high))
    assert [t for t in titles(result) if "predict" in t] == ([title] if title else [])


def test_an_invalid_figure_founds_nothing() -> None:
    assert not [t for t in titles(result_of(Shape(verified=False, outage_s=29))) if "predict" in t or "never" in t]


def test_loss_is_a_finding_where_synchronous_replication_is_claimed() -> None:
    lost = result_of(Shape(lost=5))
    assert "Acknowledged writes lost with synchronous replication" not in titles(lost)
    claimed = lost.model_copy(update={"lab": lost.lab.model_copy(update={"settings": {"synchronous_mode": True}})})
    assert titles(claimed)[0] == "Acknowledged writes lost with synchronous replication"


def test_two_owners_and_unstable_leadership() -> None:
    result = result_of(Shape())
    flapping = result.trials[0].flapping
    assert flapping is not None
    update = {"dual_owner_time": exactly(1.2), "excess_leader_changes": exactly(2), "flaps": exactly(1), "ping_pong": 1}
    found = {f.title: f.evidence for f in findings(changed(result, flapping=flapping.model_copy(update=update)))}
    assert len(found["Two nodes led at once"]) == 1
    assert len(found["Leadership is not stable"]) == 3


def test_a_second_outage_says_when() -> None:
    result = result_of(Shape())
    again = Outage(first_failure_s=HEAL_S + 3, recovered_s=HEAL_S + 4, point_s=1, low_s=0.9, high_s=1.1)
    outages = (*result.trials[0].clients["orders"].outages, again)
    found = {f.title: f.evidence for f in findings(changed(result, "orders", outages=outages))}
    assert "after the heal" in found["A second outage"][0]


@pytest.mark.parametrize(("trials", "said"), [(1, "takes 6"), (5, "takes 6"), (6, "26\u00a0% confidence"), (59, "")])
def test_what_the_number_of_trials_allows_to_say(trials: int, said: str) -> None:
    result = result_of(Shape())
    told = trials_needed(result.model_copy(update={"trials": result.trials * trials}))
    assert said in told
    assert bool(told) == bool(said)
