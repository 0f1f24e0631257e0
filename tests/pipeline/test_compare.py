"""`compare` on runs of the simulated lab: verdicts, exit codes, what may not be compared."""

from __future__ import annotations

import copy
import itertools
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipeline.simulation import CommandLine, Simulation
from tests.simulated.cluster import SimulatedCluster


def really_run(command: CommandLine, name: str, failovers_s: list[float]) -> Path:
    delays = itertools.cycle(failovers_s)
    command.simulation.cluster = lambda: SimulatedCluster(failover_s=next(delays))
    out = command.folder / "reports" / name
    command("run", command.experiment(), "--repeat", str(len(failovers_s)), "--out", out, "--seed", "1")
    assert (out / "result.json").is_file()
    return out


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """plan.json and result.json of one run of one trial."""
    folder = tmp_path_factory.mktemp("one")
    made = really_run(CommandLine(folder, Simulation(folder / "run")), "one", [2.0])
    return {name: json.loads((made / name).read_bytes()) for name in ("plan.json", "result.json")}


Runs = Callable[..., Path]


@pytest.fixture
def runs(command: CommandLine, one_run: dict[str, Any]) -> Runs:
    """Writes a run of several trials like that one, each with an RTO of its own; None: it never recovered, NaN: invalid."""

    def write(name: str, rto_s: list[float | None], **experiment: Any) -> Path:
        plan, result = copy.deepcopy(one_run["plan.json"]), copy.deepcopy(one_run["result.json"])
        plan["experiment"].update(experiment)
        (trial,) = result["trials"]
        result["run_id"] = f"run-{name}"
        result["trials"] = [copy.deepcopy(trial) | {"index": i} for i in range(len(rto_s))]
        for made, point in zip(result["trials"], rto_s, strict=True):
            figure = made["clients"]["orders"]["rto"]
            if point is None:
                figure.update(point=None, low=58.0, high=None, censored=True)
            elif math.isnan(point):
                figure.update(valid=False, reasons=["no evidence that db1 is off"])
            else:
                figure.update(point=point, low=point - 0.05, high=point + 0.05)
        out = command.folder / "reports" / name
        out.mkdir(parents=True)
        for file, data in (("plan.json", plan), ("result.json", result)):
            (out / file).write_text(json.dumps(data))
        return out

    return write


def test_slower_by_more_than_the_tolerance_is_1(command: CommandLine) -> None:
    really_run(command, "old", [2, 2.2, 2.4, 2.6])
    really_run(command, "new", [6, 6.2, 6.4, 6.6])
    ended = command("compare", "old", "new", "--tolerance", "2s")
    assert ended.exit_code == 1, ended.output
    assert "REGRESSED  rto, tolerance 2s" in ended.stdout
    made = json.loads(command("compare", "old", "new", "--tolerance", "2s", "--json").stdout)
    assert (made["schema"], made["verdict"], made["tolerance"]) == ("chaoskit.comparison/1", "regressed", 2)
    (outcome,) = made["outcomes"]
    assert outcome["shift"]["point"] == pytest.approx(4, abs=0.2)
    assert outcome["shift"]["confidence"] == pytest.approx(1 - 2 / 70)
    assert [g["rank"] for g in made["groups"]] == [1, 1]  # 4 trials give no interval of the median: a tie
    back = command("compare", "new", "old", "--tolerance", "2s")
    assert (back.exit_code, back.stdout[:8]) == (0, "IMPROVED")


def test_within_the_tolerance_is_0_and_in_between_is_3(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2.2, 2.4, 2.6])
    runs("new", [2.1, 2.3, 2.5, 2.7])
    assert command("compare", "old", "new", "--tolerance", "2s").exit_code == 0
    ended = command("compare", "old", "new")
    assert ended.exit_code == 3
    assert "10% (none was declared) of the first group's median" in ended.stdout


def test_three_against_three_says_that_no_verdict_is_possible(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2, 2])
    runs("new", [9, 9, 9])
    ended = command("compare", "old", "new", "--tolerance", "1s")
    assert ended.exit_code == 3
    assert "3 v 3 valid trials give no 95 % interval" in ended.stdout


def test_runs_of_a_glob_or_a_folder_are_taken_together_and_several_are_ranked(command: CommandLine, runs: Runs) -> None:
    for name, delay in (("a1", 2.0), ("a2", 2.5), ("b1", 5.0), ("b2", 5.5), ("c1", 2.2), ("c2", 2.3)):
        runs(name, [delay, delay + 0.1, delay + 0.2])
    ended = command("compare", str(command.folder / "reports" / "a*"), "b*", "c*", "--tolerance", "1s", "--json")
    assert ended.exit_code == 1, ended.output
    made = json.loads(ended.stdout)
    assert [g["summary"]["n"] for g in made["groups"]] == [6, 6, 6]
    assert [g["rank"] for g in made["groups"]] == [1, 3, 1]  # a and c overlap
    assert [o["verdict"] for o in made["outcomes"]] == ["regressed", "equivalent"]
    shown = command("compare", "a*", "b*", "c*", "--tolerance", "1s", "--markdown").stdout
    assert "| 1 (tie) | a\\* | 6 |" in shown
    assert "- **regressed**: b\\* against a\\*" in shown
    whole = command("compare", str(command.folder / "reports"), "a*", "--tolerance", "1s", "--json")
    assert json.loads(whole.stdout)["groups"][0]["summary"]["n"] == 18


def test_trials_that_never_recovered_count_as_infinite(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2.2, 2.4, 2.6])
    runs("new", [None, None, None, None])
    ended = command("compare", "old", "new", "--tolerance", "2s")
    assert ended.exit_code == 1
    assert "infinite" in ended.stdout
    assert "not known (censored)" in ended.stdout


def test_invalid_trials_are_left_out_and_named(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2.2, 2.4, 2.6])
    runs("new", [math.nan] * 4)
    ended = command("compare", "old", "new", "--tolerance", "2s")
    assert ended.exit_code == 3
    assert "0 of 4" in ended.stdout
    assert "left out: trial 3 of" in ended.stdout
    assert "no evidence" in ended.stdout


def test_another_method_is_refused_with_what_differs_and_compared_anyway(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2.2, 2.4, 2.6])
    method = [{"inject": "node.hang", "target": {"role": "primary"}, "at": "2s", "for": "20s"}]
    runs("new", [2, 2.2, 2.4, 2.6], method=method)
    ended = command("compare", "old", "new", "--tolerance", "2s")
    assert ended.exit_code == 2
    assert "experiment.method.0.inject differs between old and new" in ended.stderr
    assert "node.power_off" in ended.stderr
    assert "--anyway" in ended.stderr
    assert command("compare", "old", "new", "--tolerance", "2s", "--anyway").exit_code == 0


def test_another_setting_is_compared_and_said(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2.2, 2.4, 2.6])
    runs("new", [2, 2.2, 2.4, 2.6], recovery="31s")
    ended = command("compare", "old", "new", "--tolerance", "2s")
    assert ended.exit_code == 0
    assert "experiment.recovery differs: 30s in old, 31s in new" in ended.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("old",), "at least two"),
        (("old", "nowhere"), "no recorded run"),
        (("old", "new", "--figure", "rot"), "no run has this figure"),
        (("old", "new", "--tolerance", "-1s"), "a tolerance is"),
        (("old", "new", "--tolerance", "soon"), "a tolerance is 2s here"),
        (("old", "new", "--figure", "lost", "--tolerance", "inf"), "finite"),
    ],
)
def test_bad_input_is_2(command: CommandLine, runs: Runs, words: tuple[str, ...], said: str) -> None:
    runs("old", [2])
    runs("new", [2])
    ended = command("compare", *words)
    assert ended.exit_code == 2
    assert said in ended.stderr


def test_a_run_against_itself_says_so(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2.2, 2.4, 2.6])
    ended = command("compare", "old", "old", "--tolerance", "2s")
    assert ended.exit_code == 0
    assert "compared with itself" in ended.stdout


def test_losses_are_compared_as_counts(command: CommandLine, runs: Runs) -> None:
    runs("old", [2, 2, 2, 2])
    ended = command("compare", "old", "old", "--figure", "lost", "--tolerance", "0")
    assert ended.exit_code == 0, ended.output
    assert "0 writes" in ended.stdout
