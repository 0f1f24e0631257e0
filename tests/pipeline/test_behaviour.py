"""Policies side by side through the whole pipeline, on the simulated cluster, from the plan to the report."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.engine.measuring import read_measures
from chaoskit.surfaces.conducting import judged
from tests.pipeline.simulation import CommandLine, Simulation
from tests.simulated.plans import ORDERS

READERS = ORDERS | {"operation": "read", "rate": "10/s"}
CLIENTS = {
    "orders": ORDERS,
    "users-once": READERS | {"policy": {}},
    "users-fixed": READERS | {"policy": {"retry": "fixed", "wait": "500ms", "give_up_after": "8s"}},
    "users-hasty": READERS | {"policy": {"retry": "fixed", "wait": "10ms", "attempts": 3}},
}
OBJECTIVES = {"abandoned": {"users-fixed": 0}, "peak_amplification": 4, "worst_latency": {"users-fixed": "5s"}}


def test_policies_side_by_side_from_plan_to_report(simulation: Simulation) -> None:
    outcome = simulation.carry_out(clients=CLIENTS, objectives=OBJECTIVES)
    (trial,) = outcome.result.trials
    found = trial.behaviour
    assert sorted(found) == ["users-fixed", "users-hasty", "users-once"]
    assert found["users-once"].amplification.point == 1
    assert found["users-once"].abandoned.point == pytest.approx(30, abs=2), "failover takes 3 s at 10/s"
    assert found["users-hasty"].abandoned.point == pytest.approx(20, abs=2), (
        "the last of three tries leaves 1.02 s after the first"
    )
    assert found["users-fixed"].abandoned.point == 0
    assert found["users-fixed"].worst_latency.point == pytest.approx(3.0, abs=0.2)
    assert (found["users-fixed"].amplification.point or 0) > 1.5
    assert {(o.name, o.subject, o.met) for o in trial.objectives} == {
        ("abandoned", "users-fixed", True),
        ("peak_amplification", "users-fixed", True),
        ("peak_amplification", "users-hasty", True),
        ("peak_amplification", "users-once", True),
        ("worst_latency", "users-fixed", True),
    }
    assert trial.verdict == "passed"
    (over,) = [s for name, s in outcome.result.summary.items() if name == "rto"]
    assert over.max == pytest.approx(trial.clients["orders"].rto.point), "the fresh client alone stands for the RTO"
    page, text = ((outcome.directory / name).read_text() for name in ("report.html", "report.md"))
    assert "How clients behaved" in page
    assert "## How clients behaved" in text
    assert "that is told by orders" in text
    assert "fixed 500ms, gives up after 8s" in text
    assert page.count('class="storm-requests"') == 3 + 1, "one picture a client, and the key"


def test_measured_again_it_is_the_same(simulation: Simulation) -> None:
    outcome = simulation.carry_out(clients=CLIENTS, objectives=OBJECTIVES)
    before = outcome.bytes()
    judged(outcome.directory, None)
    assert outcome.bytes() == before
    assert read_measures(outcome.directory)[0].behaviour


def test_an_rto_of_a_client_that_tries_again_is_refused(command: CommandLine, tmp_path: Path) -> None:
    found = command("validate", command.experiment(clients=CLIENTS, objectives={"rto": {"users-fixed": "<= 3s"}}))
    assert found.exit_code == 2
    assert "tries again, and so hides outages" in found.output
    assert command("validate", command.experiment(clients=CLIENTS, objectives={"rto": {"orders": "<= 5s"}})).exit_code == 0
