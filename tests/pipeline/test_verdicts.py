"""What a run is judged to be, from the plan through the recorded history to the report."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest

from chaoskit.model.errors import Aborted, Interrupted, LabGone, LabUnavailable
from chaoskit.surfaces.conducting import judged
from tests.pipeline.simulation import NeverAgain, Outcome, Simulation
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.plans import ORDERS


def rto(outcome: Outcome, trial: int = 0, client: str = "orders") -> Any:
    return outcome.result.trials[trial].clients[client].rto


def objective(outcome: Outcome, name: str) -> Any:
    (only,) = [o for o in outcome.result.objectives if o.name == name]
    return only


def test_a_run_that_meets_every_objective_passes(simulation: Simulation) -> None:
    outcome = simulation.carry_out()
    assert (outcome.result.verdict, outcome.ended_by) == ("passed", None)
    figure = rto(outcome)
    assert figure.low <= 3.0 <= figure.high  # the cluster fails over after 3 s
    assert figure.high - figure.low < 0.7, "attempts are silent for W = 500 ms"
    assert not figure.censored
    assert outcome.result.trials[0].rpo is not None
    assert outcome.result.trials[0].rpo.acknowledged > 500
    assert all(o.met for o in outcome.result.objectives)
    assert outcome.is_rendered()


@pytest.mark.parametrize("step", ["power_off", "freeze", "cut_links", "signal"])
def test_a_fault_that_does_nothing_is_unknown_and_says_why(simulation: Simulation, step: str) -> None:
    simulation.backend.deaf = {step}
    faults: dict[str, dict[str, Any]] = {
        "power_off": {"inject": "node.power_off"},
        "freeze": {"inject": "node.hang"},
        "cut_links": {"inject": "network.isolate"},
        "signal": {"inject": "process.hang", "with": {"process": {"name": "database"}}},
    }
    outcome = simulation.carry_out(method=[{**faults[step], "target": {"role": "primary"}, "at": "2s", "for": "10s"}])
    assert outcome.result.verdict == "unknown"
    assert "no evidence that" in outcome.reasons()
    assert all(o.met is None for o in outcome.result.objectives)
    assert outcome.is_rendered()


def test_a_cluster_that_never_fails_over_fails_with_a_censored_rto_and_no_number(simulation: Simulation) -> None:
    simulation.cluster = NeverAgain
    outcome = simulation.carry_out()
    figure = rto(outcome)
    assert figure.censored
    assert (figure.point, figure.high) == (None, None)
    assert figure.low > 19  # what came after the heal proves nothing about failing over
    assert "never returned" in figure.text
    assert objective(outcome, "rto").met is False
    assert (outcome.result.verdict, outcome.ended_by) == ("failed", None)
    assert outcome.is_rendered()


def test_clients_that_are_back_only_because_of_the_heal_show_no_failover(simulation: Simulation) -> None:
    simulation.cluster = lambda: SimulatedCluster(failover_s=None)
    outcome = simulation.carry_out()
    figure = rto(outcome)
    assert figure.censored
    assert (figure.point, figure.high) == (None, None)
    assert 19 < figure.low <= 20.1
    assert "not a failover" in figure.text
    assert outcome.result.verdict == "failed"


def test_lost_acknowledged_writes_are_counted_and_fail(simulation: Simulation) -> None:
    simulation.cluster = lambda: SimulatedCluster(replication_lag_s=1.0)
    outcome = simulation.carry_out()
    ledger = outcome.result.trials[0].rpo
    assert ledger is not None
    assert 18 <= (ledger.lost.point or 0) <= 22  # 1 s at 20/s
    assert len(ledger.lost_writes) == ledger.lost.point
    lost = {w.token for w in ledger.lost_writes}
    assert not lost & set(simulation.backend.labs[0].cluster.ledger)
    assert ledger.window.low is not None
    assert ledger.window.high is not None
    assert ledger.window.low <= 1.0 <= ledger.window.high + 0.1
    assert ledger.contiguous_tail
    assert objective(outcome, "rpo.writes").met is False
    assert outcome.result.verdict == "failed"
    assert outcome.is_rendered()


def test_several_clients_share_one_account_of_losses(simulation: Simulation) -> None:
    simulation.cluster = lambda: SimulatedCluster(replication_lag_s=1.0)
    outcome = simulation.carry_out(clients={"orders": ORDERS, "shop": ORDERS | {"class": "pooled"}})
    ledger = outcome.result.trials[0].rpo
    assert ledger is not None
    assert {w.client for w in ledger.lost_writes} == {"orders", "shop"}
    assert 36 <= (ledger.lost.point or 0) <= 44


def test_three_trials_give_a_summary_that_says_what_it_rests_on(simulation: Simulation) -> None:
    delays = iter([2.0, 4.0, 3.0])
    simulation.cluster = lambda: SimulatedCluster(failover_s=next(delays))
    outcome = simulation.carry_out(repeat=3)
    assert outcome.result.verdict == "passed"
    assert [round(t.clients["orders"].rto.point or 0) for t in outcome.result.trials] == [2, 4, 3]
    summary = outcome.result.summary["rto"]
    assert summary.n == 3
    assert summary.median == pytest.approx(3.0, abs=0.3)
    assert summary.max == pytest.approx(4.0, abs=0.3)
    assert len({t.started for t in outcome.result.trials}) == 3
    assert outcome.is_rendered()


def test_one_trial_that_fails_fails_them_all(simulation: Simulation) -> None:
    delays = iter([2.0, 15.0, 3.0])
    simulation.cluster = lambda: SimulatedCluster(failover_s=next(delays))
    outcome = simulation.carry_out(repeat=3)
    assert [t.verdict for t in outcome.result.trials] == ["passed", "failed", "passed"]
    assert outcome.result.verdict == "failed"
    assert "trial 1" in outcome.reasons()


@pytest.mark.parametrize("phase", ["building", "getting ready", "baseline", "method", "recovery", "reading back"])
def test_an_interrupted_run_is_unknown_and_still_has_its_report(simulation: Simulation, phase: str) -> None:
    simulation.progress.on_phase[phase] = lambda: os.kill(os.getpid(), signal.SIGTERM)
    outcome = simulation.carry_out()
    assert isinstance(outcome.ended_by, Interrupted)
    assert outcome.result.verdict == "unknown"
    assert "SIGTERM" in (outcome.result.incomplete or "")
    assert outcome.result.undo.dirty == ()
    assert outcome.is_rendered()


def test_an_interrupt_in_the_second_trial_keeps_the_first(simulation: Simulation) -> None:
    def second_only() -> None:
        if len(simulation.backend.labs) == 2:
            os.kill(os.getpid(), signal.SIGINT)

    simulation.progress.on_phase["method"] = second_only
    outcome = simulation.carry_out(repeat=3)
    assert [t.verdict for t in outcome.result.trials] == ["passed", "unknown"]
    assert outcome.result.verdict == "unknown"
    assert outcome.is_rendered()


def test_an_aborted_run_says_so_and_is_no_pass(simulation: Simulation) -> None:
    simulation.cluster = lambda: SimulatedCluster(failover_s=None)
    outcome = simulation.carry_out(**{"abort-when": {"clients": {"orders": {"down_for": ">= 5s"}}}})
    assert isinstance(outcome.ended_by, Aborted)
    assert outcome.result.verdict in ("failed", "unknown")
    assert "was down for" in (outcome.result.incomplete or "")
    assert outcome.result.undo.dirty == ()
    figure = rto(outcome)
    assert figure.point is None or figure.censored or figure.point >= 5
    assert outcome.is_rendered()


def test_a_lab_that_never_came_up_has_a_report_with_the_reason(simulation: Simulation) -> None:
    simulation.backend.never_up = "db2: postgres exited with 1"
    outcome = simulation.carry_out()
    assert isinstance(outcome.ended_by, LabUnavailable)
    assert outcome.result.verdict == "unknown"
    assert "db2: postgres exited with 1" in outcome.reasons()
    assert outcome.is_rendered()


def test_a_lab_that_vanishes_is_no_failed_heal(simulation: Simulation) -> None:
    """Nothing is still broken where nothing is left: exit 3, no debt, and the reason."""

    def vanish(now_ns: int) -> None:
        for lab in simulation.backend.labs:
            if lab.cluster.off and not lab.is_down:
                lab.down()
                lab.perform = lab.read = lab.events = gone  # type: ignore[method-assign, assignment]

    def gone(*_: Any) -> Any:
        raise LabGone("its holder was killed")

    simulation.clock.on_step.append(vanish)
    outcome = simulation.carry_out()
    assert isinstance(outcome.ended_by, LabUnavailable)
    assert "vanished" in str(outcome.ended_by)
    assert outcome.result.verdict == "unknown"
    assert outcome.result.undo.dirty == ()
    assert outcome.is_rendered()


def test_a_bug_in_the_middle_heals_first_and_leaves_no_pass(simulation: Simulation) -> None:
    """An exception that nobody foresaw is raised, after healing; what was recorded is incomplete for good."""

    def bug() -> None:
        raise ZeroDivisionError("a bug")

    simulation.progress.on_phase["recovery"] = bug
    with pytest.raises(ZeroDivisionError):
        simulation.carry_out()
    result, _ = judged(simulation.path)
    assert result.verdict == "unknown"
    assert "ZeroDivisionError" in (result.incomplete or "")
    assert result.undo.dirty == ()
    assert simulation.backend.labs[0].is_down


def test_judging_a_run_again_gives_the_same_bytes(simulation: Simulation) -> None:
    simulation.cluster = lambda: SimulatedCluster(replication_lag_s=1.0)
    outcome = simulation.carry_out(repeat=2)
    before = outcome.bytes()
    judged(outcome.directory)
    assert outcome.bytes() == before
