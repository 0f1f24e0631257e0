"""A run is in the history the moment it ends, and is held against a baseline where asked."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from chaoskit.model.comparison import Comparison
from chaoskit.surfaces.against import code_against
from tests.archive.folders import own, write_run
from tests.pipeline.simulation import CommandLine, NeverAgain
from tests.simulated.cluster import SimulatedCluster


def really_run(command: CommandLine, failovers_s: list[float], *words: str) -> Result:
    delays = itertools.cycle(failovers_s)
    command.simulation.cluster = lambda: SimulatedCluster(failover_s=next(delays))
    return command("run", command.experiment(), "--repeat", str(len(failovers_s)), "--seed", "1", *words)


def history(command: CommandLine, *words: str) -> list[dict[str, Any]]:
    found = json.loads(command("history", *words, "--json").stdout)["runs"]
    return list(found)


def test_a_run_is_listed_and_its_page_written(command: CommandLine) -> None:
    ended = really_run(command, [2.0])
    assert ended.exit_code == 0, ended.output
    reports = command.folder / "reports"
    assert (reports / "index.sqlite").is_file()
    assert "report.html" in (reports / "index.html").read_text()
    (run,) = history(command)
    assert (run["outcome"], run["backend"], run["trials"]) == ("passed", "simulated", 1)
    assert run["question"]
    point = run["figures"]["rto"][0]
    assert point["low"] <= point["point"] <= point["high"]


def test_a_run_that_lies_elsewhere_is_in_no_folders_history(command: CommandLine, tmp_path: Path) -> None:
    assert really_run(command, [2.0], "--out", str(tmp_path / "elsewhere" / "run")).exit_code == 0
    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["run"]


def test_an_index_that_cannot_be_written_changes_no_verdict(command: CommandLine) -> None:
    reports = command.folder / "reports"
    (reports / "index.html").mkdir(parents=True)
    ended = really_run(command, [2.0])
    assert ended.exit_code == 0, ended.output
    assert "the index of" in ended.stderr
    assert "chaoskit history rebuild" in ended.stderr


def test_report_notes_what_it_judged(command: CommandLine) -> None:
    really_run(command, [2.0])
    reports = command.folder / "reports"
    (name,) = [run["name"] for run in history(command)]
    (reports / name / "result.json").unlink()
    assert history(command)[0]["outcome"] == "unjudged"
    assert command("report", name).exit_code == 0
    assert history(command)[0]["outcome"] == "passed"


def test_recover_takes_the_name_of_a_run(command: CommandLine) -> None:
    own(write_run(command.folder / "reports", "20260901-primary"), alive=True)
    assert "its chaoskit still runs" in command("recover", "20260901-primary").stdout


@pytest.fixture
def baseline(command: CommandLine) -> str:
    assert really_run(command, [2, 2.2, 2.4, 2.6], "--out", str(command.folder / "reports" / "good")).exit_code == 0
    assert command("baseline", "set", "nightly", "good", "--tolerance", "2s").exit_code == 0
    return "nightly"


def test_no_worse_than_the_baseline_is_0(command: CommandLine, baseline: str) -> None:
    ended = really_run(command, [2.1, 2.3, 2.5, 2.7], "--against", baseline)
    assert ended.exit_code == 0, ended.output
    assert "EQUIVALENT  rto, tolerance 2s" in ended.stdout
    (newest, _) = history(command)
    kept = Comparison.model_validate_json((command.folder / "reports" / newest["name"] / "comparison.json").read_bytes())
    assert (kept.verdict, kept.groups[0].label) == ("equivalent", "baseline nightly")


def test_worse_than_the_baseline_is_1_though_every_objective_was_met(command: CommandLine, baseline: str) -> None:
    ended = really_run(command, [6, 6.2, 6.4, 6.6], "--against", baseline)
    assert ended.exit_code == 1, ended.output
    assert "PASSED" in ended.stdout
    assert "REGRESSED  rto" in ended.stdout
    looser = really_run(command, [6, 6.2, 6.4, 6.6], "--against", baseline, "--tolerance", "20s", "--json")
    assert looser.exit_code == 0
    assert json.loads(looser.stdout)["schema"] == "chaoskit.result/1"


def test_too_few_trials_are_told_before_anything_starts_and_are_3(command: CommandLine, baseline: str) -> None:
    ended = really_run(command, [9, 9, 9], "--against", baseline)
    assert ended.exit_code == 3, ended.output
    assert "note: 4 v 3 trials give no verdict against 'nightly', whatever they are" in ended.stderr
    assert "--repeat 4" in ended.stderr
    assert ended.stderr.index("note: 4 v 3") < ended.stderr.index("building the lab")
    assert "INCONCLUSIVE" in ended.stdout


def test_what_never_recovers_is_a_regression(command: CommandLine, baseline: str) -> None:
    command.simulation.cluster = NeverAgain
    ended = command("run", command.experiment(), "--repeat", "4", "--seed", "1", "--against", baseline)
    assert ended.exit_code == 1, ended.output
    assert "REGRESSED" in ended.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--against", "nigthly"), "did you mean 'nightly'"),
        (("--against", "nigthly"), "--against: there is no baseline"),
        (("--against", "nightly", "--tolerance", "soon"), "a tolerance is"),
        (("--tolerance", "2s"), "without --against"),
        (("--against", "nightly", "--set", "method.0.for=1s"), "asked something else"),
    ],
)
def test_what_could_not_be_compared_starts_nothing(
    command: CommandLine, baseline: str, words: tuple[str, ...], said: str
) -> None:
    before = sorted(p.name for p in (command.folder / "reports").iterdir())
    ended = really_run(command, [2.0], *words)
    assert ended.exit_code == 2, ended.output
    assert said in ended.stderr
    assert sorted(p.name for p in (command.folder / "reports").iterdir()) == before


@pytest.mark.parametrize(
    ("code", "verdict", "expected"),
    [
        (0, "equivalent", 0), (0, "improved", 0), (0, "regressed", 1), (0, "inconclusive", 3),
        (1, "equivalent", 1), (1, "inconclusive", 1), (3, "equivalent", 3), (3, "regressed", 1),
    ],
)  # fmt: skip
def test_exit_codes_of_a_run_that_was_compared(code: int, verdict: str, expected: int) -> None:
    assert code_against(code, verdict) == expected
