"""Stale reads: what a reader of a ledger was told, held against what had been acknowledged before it asked."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskit.engine import registry
from chaoskit.engine.judging import trial_result
from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.model.figures import StaleReadFigures
from chaoskit.model.recorded import TrialRecord
from tests.measures.recorded import (
    ENDED_S,
    acknowledged,
    client,
    fault,
    final_read,
    number_of,
    plan,
    reader,
    trial,
)

CLIENTS = {
    "orders": {"type": "postgres", "operation": "append", "rate": "100/s", "deadline": "200ms", "endpoint": "write"},
    "readers": {"type": "postgres", "operation": "newest", "ledger": "orders", "rate": "100/s", "deadline": "200ms",
                "endpoint": "read"},
}  # fmt: skip
PLANNED = plan(clients=CLIENTS)


def record(orders: Any, readers: Any, **changes: Any) -> TrialRecord:
    return trial(orders, readers, **{"planned": PLANNED, "read_backs": [final_read(orders)]} | changes)


def figures(recorded: TrialRecord) -> StaleReadFigures:
    return measured_trial(recorded, registered()).stale_reads["readers"]


def test_reads_of_what_is_newest_are_right() -> None:
    orders = client()
    found = figures(record(orders, reader(orders)))
    assert found.reads > 8000
    assert (found.stale.point, found.behind_writes.point, found.ahead, found.ledger) == (0, 0, 0, "orders")
    assert found.stale.valid, found.stale.reasons
    assert "rate below" in found.stale.text
    assert "shorter than 10 ms" in found.behind.text


def test_a_replica_that_lags_is_stale_by_so_many_writes_for_so_long() -> None:
    orders = client()
    found = figures(record(orders, reader(orders, lag_s=lambda at: 0.5 if 10 <= at < 12 else 0.0, node="db3")))
    assert found.stale.point == pytest.approx(200, abs=2)
    assert found.behind_writes.point == pytest.approx(50, abs=1)
    assert found.behind.low is not None
    assert found.behind.high is not None
    assert found.behind.low <= 0.5 <= found.behind.high
    assert found.behind.high - found.behind.low < 0.025
    assert found.by_node == {"db3": found.stale.point}
    assert all(10 <= r.read_s < 12 for r in found.listed)


def test_what_is_read_while_its_write_is_under_way_is_right_either_way() -> None:
    """A write that is not acknowledged yet may be seen, or not."""
    orders = client(latency_s=0.1)
    assert figures(record(orders, reader(orders, lag_s=lambda at: 0.04))).stale.point == 0
    assert figures(record(orders, reader(orders, lag_s=lambda at: -0.0005))).ahead == 0


def test_what_was_read_before_it_was_sent_is_a_defect() -> None:
    orders = client()
    found = figures(record(orders, reader(orders, lag_s=lambda at: -5.0 if at >= 50 and at < 51 else 0.0)))
    assert found.ahead == pytest.approx(100, abs=2)
    assert "nobody had sent yet" in found.defects[0]
    assert found.stale.point == 0


def test_a_write_that_is_lost_makes_no_read_stale() -> None:
    orders = client()
    gone = acknowledged(orders, [(1.5, 2.0)])
    silent = reader(orders, without=gone)
    assert figures(record(orders, silent, read_backs=[final_read(orders, without=gone)])).stale.point == 0
    assert figures(record(orders, silent)).stale.point == pytest.approx(50, abs=2), "found in the end: then it was stale"
    unread = figures(record(orders, silent, read_backs=[]))
    assert (unread.stale.low, unread.stale.point) == (0, None), "it may have been lost, it may have been stale"


def test_an_empty_answer_is_stale_once_something_was_acknowledged() -> None:
    orders = client()
    found = figures(record(orders, reader(orders, lag_s=lambda at: 999.0 if at >= 59 else 0.0)))
    assert found.listed[0].returned == -1
    assert found.behind_writes.point == pytest.approx((ENDED_S + 31) * 100, abs=20)


def test_no_reads_prove_nothing() -> None:
    orders = client()
    found = figures(record(orders, reader(orders, down=[(-99, 99)])))
    assert not found.stale.valid
    assert any("nothing was read" in r for r in found.stale.reasons)
    few = figures(record(orders, reader(orders, down=[(-31, -5)])))
    assert any("below the floor" in r for r in few.stale.reasons)
    silent = client(down=[(-99, 99)])
    assert any("nothing was acknowledged" in r for r in figures(record(silent, reader(silent))).stale.reasons)


def test_a_fault_that_was_not_verified_proves_nothing() -> None:
    orders = client()
    assert not figures(record(orders, reader(orders), faults=[fault(verified=False)])).stale.valid


def test_tokens_are_counted_by_their_last_digits() -> None:
    assert number_of("orders-12") == 12
    assert number_of("r1.orders.0.7") == 7


@pytest.mark.parametrize(
    ("limit", "met"),
    [
        (0, {"stale_reads": False}),
        ("none", {"stale_reads": False}),
        ({"reads": "<= 300"}, {"stale_reads": True}),
        ({"behind": "<= 1s", "writes": "<= 10"}, {"stale_reads.behind": True, "stale_reads.writes": False}),
        ({"readers": {"behind": "<= 400ms"}}, {"stale_reads.behind": False}),
    ],
)
def test_the_objective(limit: Any, met: dict[str, bool]) -> None:
    orders = client()
    lagging = measured_trial(record(orders, reader(orders, lag_s=lambda at: 0.5 if 10 <= at < 12 else 0.0)), registered())
    objective = registry.load("objectives", "stale_reads")()
    objective.check(limit, tuple(CLIENTS))
    result = trial_result(lagging, {"stale_reads": limit}, {"stale_reads": objective})
    assert {o.name: o.met for o in result.objectives} == met
    assert {o.subject for o in result.objectives} == {"readers"}


def test_without_a_reader_the_objective_is_unknown() -> None:
    objective = registry.load("objectives", "stale_reads")()
    (outcome,) = objective.judge(0, measured_trial(trial(), registered()))
    assert outcome.met is None
    assert "operation: newest" in outcome.reasons[0]


@pytest.mark.parametrize("limit", [{}, ">= 1", {"age": 1}, {"nobody": 0}, {"behind": "often"}])
def test_limits_that_are_none_are_refused(limit: Any) -> None:
    with pytest.raises(ValueError, match=r"."):
        registry.load("objectives", "stale_reads")().check(limit, tuple(CLIENTS))
