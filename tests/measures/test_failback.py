"""The old leader's return: whether, when, and at what cost."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.measures.failback_objective import FailbackObjective
from chaoskit.model.figures import FailbackFigures
from chaoskit.model.recorded import TrialRecord
from tests.measures.recorded import FAULT_S, HEAL_S, client, failed_over, leaders, settled, trial

BACK_S = HEAL_S + 3
RETURNED = leaders(db1=[(-99, FAULT_S), (BACK_S + 0.6, 99)], db2=[(6.0, BACK_S)])
FAILOVER = (FAULT_S, 7.0)


def figures(record: TrialRecord) -> FailbackFigures:
    found = measured_trial(record, registered()).failback
    assert found is not None
    return found


def outcome(record: TrialRecord, limit: Any) -> tuple[bool | None, str]:
    (made,) = FailbackObjective().judge(limit, measured_trial(record, registered()))
    return made.met, made.actual


def test_a_return_that_costs_a_second_outage_says_when_and_how_long() -> None:
    record = trial(client(down=[FAILOVER, (BACK_S, BACK_S + 0.8)]), roles=RETURNED)
    found = figures(record)
    assert (found.node, found.stand_in, found.client) == ("db1", "db2", "orders")
    assert found.after_heal is not None
    for figure, truth in ((found.at, BACK_S + 0.6 - FAULT_S - 0.02), (found.after_heal, 3.6), (found.outage, 0.8)):
        assert figure.low is not None and figure.high is not None  # noqa: PT018
        assert figure.low - 1e-6 <= truth <= figure.high + 1e-6, figure.text
    assert outcome(record, "none") == (False, found.outage.text)
    assert outcome(record, "<= 2s")[0] is True
    assert outcome(record, "<= 500ms")[0] is False


def test_a_return_that_nobody_felt() -> None:
    record = trial(client(down=[FAILOVER]), roles=RETURNED)
    found = figures(record)
    assert found.outage.point is None
    assert "none seen, or shorter than" in found.outage.text
    assert outcome(record, "none")[0] is True


def test_one_that_does_not_come_back_costs_nothing() -> None:
    record = trial(client(down=[FAILOVER]), roles=failed_over())
    found = figures(record)
    assert (found.at.point, found.after_heal) == (None, None)
    assert "db1 did not lead again" in found.at.text
    assert outcome(record, "none")[0] is True


def test_an_outage_at_another_time_is_not_its_doing() -> None:
    record = trial(client(down=[FAILOVER, (20, 21)]), roles=RETURNED)
    assert figures(record).outage.point is None


def test_the_client_that_had_it_worst_counts() -> None:
    one = client("one", operation="select", down=[FAILOVER, (BACK_S, BACK_S + 0.3)])
    two = client("two", operation="select", down=[FAILOVER, (BACK_S, BACK_S + 0.9)])
    assert figures(trial(one, two, roles=RETURNED)).client == "two"


def test_service_that_only_the_return_brought_back_cannot_be_told_apart() -> None:
    record = trial(client(down=[(FAULT_S, BACK_S + 0.7)]), roles=RETURNED)
    found = figures(record)
    assert not found.outage.valid
    assert "cannot be told apart" in found.outage.reasons[0]
    assert outcome(record, "none")[0] is None


def test_a_second_outage_that_does_not_end_is_censored_and_missed() -> None:
    record = trial(client(down=[FAILOVER, (BACK_S, 999)]), roles=RETURNED)
    assert figures(record).outage.censored
    assert outcome(record, "<= 2s")[0] is False


def test_nothing_to_come_back_to() -> None:
    for roles in (settled(), ()):
        record = trial(client(), roles=roles)
        assert measured_trial(record, registered()).failback is None
        (made,) = FailbackObjective().judge("none", measured_trial(record, registered()))
        assert made.met is None


def test_gates_guard_its_cost() -> None:
    record = trial(client(down=[FAILOVER, (BACK_S, BACK_S + 0.8)], lateness_s=0.08), roles=RETURNED)
    assert not figures(record).outage.valid


@pytest.mark.parametrize("limit", ["soon", "<= fast", [1]])
def test_what_is_no_limit_is_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        FailbackObjective().check(limit, ["orders"])
