"""Compound methods from the plan to the report: what is left out is never a pass, and the report says what triggered what."""

from __future__ import annotations

import os
import signal
from typing import Any

from chaoskit.model.errors import Aborted, BlastRadiusExceeded
from tests.pipeline.simulation import CommandLine, Simulation
from tests.simulated.cluster import SimulatedCluster

FIRST = {"inject": "node.power_off", "name": "first", "target": {"role": "primary"}, "at": "2s", "for": "20s"}
SECOND = {
    "inject": "network.isolate", "name": "second", "target": {"role": "primary", "not_of": "first"}, "during": "first",
    "when": {"role": "primary", "gained_by": "anyone_else"}, "for": "5s",
}  # fmt: skip


def test_a_triggered_fault_is_judged_and_reported_with_its_trigger(simulation: Simulation) -> None:
    outcome = simulation.carry_out(method=[FIRST, SECOND], objectives={"rto": "<= 25s", "rpo": {"writes": 0}})
    assert outcome.ended_by is None
    assert [(f.action, f.target, f.verified, f.gone) for f in outcome.result.trials[0].faults] == [
        ("first", ("db1",), True, True), ("second", ("db2",), True, True),
    ]  # fmt: skip
    assert outcome.result.undo.owed == outcome.result.undo.paid == 2
    second = outcome.result.trials[0].faults[1]
    assert second.trigger == "another node gains the role primary: db2 gained the role primary (held before by db1)"
    assert second.healed_because == "5s are over"
    assert "It waited: another node gains the role primary" in (outcome.directory / "report.md").read_text()
    page = (outcome.directory / "report.html").read_text()
    assert "second was triggered: db2 gained the role primary" in page
    assert outcome.result.verdict in ("passed", "failed")


def test_a_trigger_that_never_comes_is_unknown_whatever_was_met(simulation: Simulation) -> None:
    simulation.cluster = lambda: SimulatedCluster(failover_s=3.0)
    never = SECOND | {"when": {"role": "primary", "gained_by": "db3"}, "within": "10s"}
    outcome = simulation.carry_out(method=[FIRST, never])
    assert outcome.result.verdict == "unknown"
    assert outcome.ended_by is None
    assert "second was not injected: it was not triggered: not within 10 s: db3 gains the role primary" in outcome.reasons()
    assert all(o.met is None for o in outcome.result.objectives)
    (skipped,) = outcome.result.trials[0].skipped
    assert skipped.action == "second"
    assert "second" in (outcome.directory / "report.md").read_text()
    assert "second was NOT injected" in (outcome.directory / "report.html").read_text()
    assert outcome.result.undo.dirty == ()


def test_a_blast_radius_that_would_be_exceeded_is_unknown_and_says_why(simulation: Simulation) -> None:
    outcome = simulation.carry_out(method=[FIRST, SECOND], **{"blast-radius": {"max-targets": 1}})
    assert isinstance(outcome.ended_by, BlastRadiusExceeded)
    assert outcome.result.verdict == "unknown"
    assert "max-targets is 1" in (outcome.result.incomplete or "")
    assert "max-targets is 1" in (outcome.directory / "report.html").read_text()
    assert outcome.result.undo.dirty == ()


def test_an_abort_by_signal_ends_with_a_verdict_and_its_exit_code(simulation: Simulation) -> None:
    simulation.progress.on_phase["recovery"] = lambda: os.kill(os.getpid(), signal.SIGUSR1)
    outcome = simulation.carry_out()
    assert isinstance(outcome.ended_by, Aborted)
    assert outcome.result.verdict in ("failed", "unknown")
    assert "asked to abort by SIGUSR1" in (outcome.result.incomplete or "")
    assert "SIGUSR1" in (outcome.directory / "report.html").read_text()


def test_the_command_line_refuses_or_aborts_with_the_documented_codes(command: CommandLine) -> None:
    two = [FIRST | {"target": {"node": "db1"}}, FIRST | {"name": "other", "target": {"node": "db2"}}]
    refused = command("run", command.experiment(method=two), "--max-targets", "1")
    assert refused.exit_code == 2
    assert "2 nodes under fault at once (db1, db2), and max-targets is 1" in refused.stderr
    assert command.simulation.backend.labs == []
    shown = command("plan", command.experiment(method=[FIRST, SECOND | {"times": 2}]), "--max-targets", "2")
    assert shown.exit_code == 0, shown.output
    for words in (
        "inject network.isolate (second) on", "inject network.isolate (second-2) on", "during first",
        "when another node gains the role primary; not within 30s: it is not injected", "at most 2 nodes are under fault",
    ):  # fmt: skip
        assert words in shown.stdout, shown.stdout
    stopped = command("run", command.experiment(**{"abort-when": {"file": str(command.folder)}}))
    assert stopped.exit_code == 3
    assert "aborts when it is" in stopped.stdout


def test_a_plan_shows_the_steps_of_what_only_the_run_knows(command: CommandLine) -> None:
    method: list[dict[str, Any]] = [
        {
            "inject": "process.kill",
            "target": {"node": "db2"},
            "with": {"process": {"service": "database"}},
            "at": "1s",
            "for": "3s",
        },
        {
            "inject": "process.hang",
            "target": {"node": "db3"},
            "with": {"process": {"pattern": "post.*"}},
            "at": "1s",
            "for": "3s",
        },
        {"inject": "service.stop", "target": {"role": "primary"}, "with": {"service": "database"}, "at": "9s", "for": "3s"},
        {"inject": "node.reboot", "target": {"node": "db2"}, "at": "20s", "for": "3s"},
        {
            "inject": "file.change",
            "target": {"node": "db2"},
            "with": {"path": "/etc/hosts", "replace": "a", "by": "b"},
            "at": "30s",
            "for": "3s",
        },
    ]
    shown = command("plan", command.experiment(method=method))
    assert shown.exit_code == 0, shown.output
    for words in (
        "send KILL on db2 to the processes with service database", "start database on db2",
        "send STOP on db3 to the processes with pattern post.*", "send CONT on db3 to the processes with pattern post.*",
        "stop database on db1", "power off db2", "write /etc/hosts on db2: as it is at that instant, changed as asked",
    ):  # fmt: skip
        assert words in shown.stdout, shown.stdout
    assert command.simulation.backend.labs == []
