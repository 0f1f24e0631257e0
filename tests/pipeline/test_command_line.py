"""The commands `run`, `report` and `recover` as functions, on the simulated lab: their exit codes and what they say."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from chaoskit.engine.appending import append_line
from tests.pipeline.simulation import EVERYTHING, CommandLine, NeverAgain
from tests.simulated.cluster import SimulatedCluster


def reports(command: CommandLine) -> Path:
    (only,) = (path for path in (command.folder / "reports").iterdir() if path.is_dir())
    return only


def test_passed_is_0_and_says_where_the_report_lies(command: CommandLine) -> None:
    ended = command("run", command.experiment())
    assert ended.exit_code == 0, ended.output
    assert "PASSED" in ended.stdout
    assert str(reports(command).name) in ended.stdout
    assert not (reports(command) / "owner.json").exists()


def test_missed_is_1(command: CommandLine) -> None:
    command.simulation.cluster = lambda: SimulatedCluster(failover_s=15.0)
    ended = command("run", command.experiment())
    assert ended.exit_code == 1
    assert "MISSED" in ended.stdout


def test_a_recovery_that_times_out_is_shown_and_judged(command: CommandLine) -> None:
    """The clients are never back, because nobody leads: the run says so and goes on to its end."""
    command.simulation.cluster = NeverAgain
    ended = command("run", command.experiment())
    assert "not back in time: orders" in ended.stderr
    assert ended.exit_code == 1, ended.output


def test_unknown_is_3_with_the_reason(command: CommandLine) -> None:
    command.simulation.backend.deaf = {"power_off"}
    ended = command("run", command.experiment())
    assert ended.exit_code == 3
    assert "no evidence" in ended.stdout


def test_a_heal_that_fails_is_4_and_loud(command: CommandLine) -> None:
    command.simulation.backend.failing = {"thaw"}
    method = [{"inject": "node.hang", "target": {"node": "db2"}, "at": "2s", "for": "5s"}]
    ended = command("run", command.experiment(method=method), "--keep-lab")
    assert ended.exit_code == 4
    assert "STILL BROKEN: node.hang on db2" in ended.stdout
    assert "HEALING FAILED" in ended.stderr
    result = json.loads((reports(command) / "result.json").read_text())
    assert result["undo"]["dirty"]
    command.simulation.backend.failing = set()
    recovered = command("recover")
    assert recovered.exit_code == 0, recovered.output
    assert "healed: node.hang on db2" in recovered.stdout
    result = json.loads((reports(command) / "result.json").read_text())
    assert result["undo"] == {"owed": 1, "paid": 1, "dirty": []}
    assert "killed" not in (result["incomplete"] or "")  # it was not
    assert command("recover").stdout.startswith("nothing to recover")


def test_a_failed_heal_outranks_an_interrupt(command: CommandLine) -> None:
    command.simulation.backend.failing = {"power_on"}
    clock, backend = command.simulation.clock, command.simulation.backend
    clock.on_step.append(lambda _: os.kill(os.getpid(), signal.SIGINT) if backend.labs and backend.labs[0].cluster.off else None)
    ended = command("run", command.experiment())
    assert ended.exit_code == 4


def test_interrupted_is_130_after_healing(command: CommandLine) -> None:
    clock, backend = command.simulation.clock, command.simulation.backend
    clock.on_step.append(lambda _: os.kill(os.getpid(), signal.SIGINT) if backend.labs and backend.labs[0].cluster.off else None)
    ended = command("run", command.experiment())
    assert ended.exit_code == 130
    assert "interrupted by SIGINT" in ended.stdout
    assert not backend.labs[0].cluster.off


def test_a_run_directory_that_is_taken_is_2_and_nothing_starts(command: CommandLine) -> None:
    taken = command.folder / "taken"
    taken.mkdir()
    (taken / "file").touch()
    ended = command("run", command.experiment(), "--out", taken)
    assert ended.exit_code == 2
    assert "not empty" in ended.stderr
    assert command.simulation.backend.labs == []


def test_json_is_one_document(command: CommandLine) -> None:
    ended = command("run", command.experiment(), "--json")
    assert json.loads(ended.stdout)["verdict"] == "passed"
    assert ended.stderr == ""


@pytest.mark.parametrize("only_events", [True, False])
def test_a_disk_that_is_full_is_3_and_the_reserve_tells_the_end(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch, only_events: bool
) -> None:
    """Every append fails from the fault on, as long as the run's reserve is not given up."""
    clock, backend = command.simulation.clock, command.simulation.backend

    def full(path: Path, line: bytes, *, sync: bool = False) -> None:
        if (path.parent / ".reserve").exists():
            raise OSError(28, "No space left on device")
        append_line(path, line, sync=sync)

    def fills_up(now_ns: int) -> None:
        if backend.labs and backend.labs[0].cluster.off:
            for module in ("run_directory", "undo")[: 1 if only_events else 2]:
                monkeypatch.setattr(f"chaoskit.engine.{module}.append_line", full)

    clock.on_step.append(fills_up)
    ended = command("run", command.experiment())
    assert ended.exit_code == 3, ended.output
    assert "No space left on device" in ended.stdout
    assert not backend.labs[0].cluster.off
    assert backend.labs[0].is_down
    result = json.loads((reports(command) / "result.json").read_text())
    assert result["undo"] == {"owed": 1, "paid": 1, "dirty": []}
    assert "No space left" in result["incomplete"]
    assert not (reports(command) / ".reserve").exists()


def test_a_report_is_made_again_with_the_same_bytes(command: CommandLine) -> None:
    command("run", command.experiment())
    before = {name: (reports(command) / name).read_bytes() for name in EVERYTHING}
    assert command("report", reports(command).name).exit_code == 0
    assert {name: (reports(command) / name).read_bytes() for name in EVERYTHING} == before


def test_a_run_that_was_killed_while_it_was_judged_is_judged_by_recover(
    command: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr("chaoskit.surfaces.conducting._judged_after", lambda *_: os._exit(9))
        child = os.fork()
        if child == 0:
            command("run", command.experiment())
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 9
    assert not (reports(command) / "result.json").exists()
    assert command("recover").exit_code == 0
    result = json.loads((reports(command) / "result.json").read_text())
    assert (result["verdict"], result["incomplete"]) == ("passed", None)


def test_recover_of_a_place_that_does_not_exist_is_2(command: CommandLine) -> None:
    ended = command("recover", command.folder / "nowhere")
    assert ended.exit_code == 2
    assert "no such run directory" in ended.stderr


def test_measuring_a_recorded_run_again_prints_and_leaves_the_same_bytes(command: CommandLine) -> None:
    command.simulation.cluster = lambda: SimulatedCluster(replication_lag_s=1.0)
    command("run", command.experiment(), "--repeat", "2")
    before = {name: (reports(command) / name).read_bytes() for name in EVERYTHING}
    (reports(command) / "measures.json").unlink()
    again = command("measure", reports(command), "--json")
    assert again.exit_code == 0, again.output
    assert again.stdout_bytes == before["measures.json"]
    assert {name: (reports(command) / name).read_bytes() for name in EVERYTHING} == before
    shown = command("measure", reports(command).name).stdout
    assert "trial 1" in shown
    assert "rto" in shown
    recorded = json.loads(before["result.json"])
    assert recorded["trials"][0]["clients"]["orders"]["rto"]["text"] in shown


def test_a_run_of_several_trials_says_what_holds_over_them(command: CommandLine) -> None:
    ended = command("run", command.experiment(), "--repeat", "6")
    assert "over 6 trials" in ended.stdout
    assert "ranks 1 and 6 of 6" in ended.stdout
    assert "acknowledged writes was lost in 6 trials" in ended.stdout
