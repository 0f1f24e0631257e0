"""A client with several vantages, from the plan to the report: one vantage is cut off, the others are served."""

from __future__ import annotations

from typing import Any

import pytest

from tests.pipeline.simulation import Simulation
from tests.simulated.plans import ORDERS

CUT = {"inject": "network.isolate", "name": "cut", "target": {"node": "db3"}, "at": "2s", "for": "12s"}
BOTH = {**ORDERS, "from": ["app", "db3"]}


def carried_out(simulation: Simulation, **objectives: Any) -> Any:
    # db3 is cut for longer than S, and is no member of any quorum: the cluster itself goes on.
    return simulation.carry_out(clients={"orders": BOTH}, method=[CUT], objectives=objectives or {"rpo": {"writes": 0}})


def test_a_vantage_that_is_cut_off_is_seen_by_any_and_not_by_all(simulation: Simulation) -> None:
    outcome = carried_out(simulation)
    assert outcome.ended_by is None, outcome.ended_by
    (trial,) = outcome.result.trials
    assert set(trial.clients) == {"orders"}
    orders = trial.clients["orders"]
    found = orders.vantages
    assert found is not None
    assert orders.rto == found.any_down.rto
    assert orders.rto.censored, "service came back to db3 with the heal: that is no failover"
    assert orders.user_rto.point == pytest.approx(12, abs=1.0)
    assert found.quorum_down.user_rto.point == orders.user_rto.point, "one of two is no majority"
    assert found.all_down.rto.valid
    assert found.all_down.rto.point is None
    assert found.all_down.outages == ()
    assert {name: len(f.outages) for name, f in found.each.items()} == {"app": 0, "db3": 1}
    assert found.lost_time.point == pytest.approx((orders.user_rto.point or 0) / 2, abs=0.2)
    assert {p.ok for p in found.course} == {1, 2}
    assert trial.rpo is not None
    assert trial.rpo.lost.point == 0
    assert trial.rpo.acknowledged > 20, "the ledgers of both vantages count"
    assert {g.client for g in trial.gates if g.client} == {"orders@app", "orders@db3"}


def test_objectives_name_how_many_vantages(simulation: Simulation) -> None:
    outcome = carried_out(simulation, rto={"orders": {"within": "1s", "vantages": "all"}}, outage="<= 5s")
    said = {o.name: (o.met, o.target) for o in outcome.result.trials[0].objectives}
    assert said["rto"] == (True, "<= 1s (all of the vantages)")
    assert said["outage"][0] is False, "by default the one that had it worst counts"
    page, text = (outcome.directory / "report.html").read_text(), (outcome.directory / "report.md").read_text()
    for shown in (page, text):
        assert "No majority of the vantages" in shown
        assert "vantage-seconds" in shown
        assert "db3" in shown


def test_both_vantages_are_waited_for(simulation: Simulation) -> None:
    """Left without `for`, the fault is held until the client is back from all of its vantages, at most `recovery`."""
    held = {k: v for k, v in CUT.items() if k != "for"}
    outcome = simulation.carry_out(clients={"orders": BOTH}, method=[held], recovery="9s", objectives={"rpo": {"writes": 0}})
    (fault,) = outcome.result.trials[0].faults
    assert (fault.healed_s or 0) - (fault.injected_s or 0) == pytest.approx(9, abs=1.0)


def test_a_client_that_is_down_at_one_vantage_ends_the_run(simulation: Simulation) -> None:
    outcome = simulation.carry_out(
        clients={"orders": BOTH}, method=[CUT], **{"abort-when": {"clients": {"orders": {"down_for": ">= 3s"}}}}
    )
    assert "orders@db3 was down for 3" in str(outcome.ended_by)


def test_a_condition_is_met_by_one_vantage(simulation: Simulation) -> None:
    second = {
        "inject": "node.pause", "name": "second", "target": {"node": "db2"}, "during": "cut",
        "when": {"client": "orders", "state": "down"}, "for": "1s",
    }  # fmt: skip
    outcome = simulation.carry_out(clients={"orders": BOTH}, method=[CUT, second], objectives={"rpo": {"writes": 0}})
    assert outcome.result.trials[0].faults[1].trigger.endswith("orders@db3 failed: "), outcome.result.trials[0].faults[1].trigger
