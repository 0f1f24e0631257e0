"""Several trials on the simulated lab: stopping when decided, promises over all of them, yearly downtime."""

from __future__ import annotations

import itertools
import json

from tests.pipeline.simulation import EVERYTHING, CommandLine, Simulation
from tests.pipeline.test_command_line import reports
from tests.simulated.cluster import SimulatedCluster


def test_a_run_stops_at_the_trial_that_decides_and_says_why(simulation: Simulation) -> None:
    delays = iter([2.0, 15.0, 3.0, 3.0])
    simulation.cluster = lambda: SimulatedCluster(failover_s=next(delays))
    outcome = simulation.carry_out(repeat=4, **{"stop-when": "decided"})
    assert [t.verdict for t in outcome.result.trials] == ["passed", "failed"]
    assert len(simulation.backend.labs) == 2
    assert (outcome.result.verdict, outcome.ended_by, outcome.result.incomplete) == ("failed", None, None)
    assert (outcome.result.stopped or "").startswith("trial 1 failed (rto of orders")
    assert any("stopped after 2 of 4 trials" in reason for reason in outcome.result.reasons)
    assert "stopped after 2 of 4 trials" in (outcome.directory / "report.md").read_text()


def test_it_is_off_by_default(simulation: Simulation) -> None:
    delays = itertools.cycle([15.0, 3.0])
    simulation.cluster = lambda: SimulatedCluster(failover_s=next(delays))
    outcome = simulation.carry_out(repeat=3)
    assert (len(outcome.result.trials), outcome.result.stopped) == (3, None)


def test_a_promise_over_trials_passes_with_the_trials_it_takes_and_stops_there(simulation: Simulation) -> None:
    promise = {"objectives": {}, "over-trials": [{"quantile": "50%", "limit": "<= 10s", "confidence": "80%"}]}
    outcome = simulation.carry_out(repeat=4, **promise, **{"stop-when": "decided"})
    assert len(outcome.result.trials) == 4  # 3 would do with none above; 4 were planned, and the 4th may be above
    assert outcome.result.verdict == "passed", outcome.reasons()
    (only,) = outcome.result.objectives
    assert (only.name, only.met) == ("rto p50", True)
    assert outcome.is_rendered()


def test_too_few_trials_for_a_promise_are_unknown(simulation: Simulation) -> None:
    outcome = simulation.carry_out(repeat=2, objectives={}, **{"over-trials": [{"quantile": "95%", "limit": "<= 10s"}]})
    assert outcome.result.verdict == "unknown"
    assert "it takes 59 valid trials" in outcome.reasons()


def test_a_promise_names_a_figure_there_is_with_a_limit_of_its_kind(command: CommandLine) -> None:
    wrong = [{"figure": "rot", "quantile": "95%", "limit": "<= 1s"}, {"figure": "lost", "quantile": "95%", "limit": "<= 1s"}]
    ended = command("validate", command.experiment(**{"over-trials": wrong}))
    assert ended.exit_code == 2
    assert "over-trials[0].figure" in ended.stderr
    assert "over-trials[1].limit" in ended.stderr
    right = [
        {"figure": "lost", "quantile": "95%", "limit": "<= 0"},
        {"figure": "rto:orders", "quantile": "95%", "limit": "<= 1s"},
    ]
    assert command("validate", command.experiment(**{"over-trials": right})).exit_code == 0
    assert "takes 59 trials" in command("plan", command.experiment(**{"over-trials": right})).stdout


def test_the_yearly_downtime_is_in_result_report_and_on_the_terminal(command: CommandLine) -> None:
    words = ("--repeat", "2", "--failures-per-year", "12", "--availability-target", "99.99%")
    ended = command("run", command.experiment(), *words)
    assert ended.exit_code == 0, ended.output
    assert "yearly downtime: " in ended.stdout
    assert "error budget of 99.99 % is 52.6 min a year" in ended.stdout
    yearly = json.loads((reports(command) / "result.json").read_bytes())["yearly"]
    assert 20 < yearly["downtime_s"] < 50
    assert yearly["downtime_low_s"] <= yearly["downtime_s"] <= yearly["downtime_high_s"]
    assert "error budget" in (reports(command) / "report.md").read_text()
    assert "error budget" in (reports(command) / "report.html").read_text()


def test_a_rate_may_be_stated_afterwards_and_a_plain_report_gives_the_bytes_of_the_run_again(command: CommandLine) -> None:
    command("run", command.experiment(**{"failures-per-year": 4}), "--quiet")
    before = {name: (reports(command) / name).read_bytes() for name in EVERYTHING}
    assert json.loads(before["result.json"])["yearly"]["failures_per_year"] == 4
    again = command("report", reports(command), "--failures-per-year", "100", "--availability-target", "99.9%", "--json")
    assert json.loads(again.stdout)["yearly"]["failures_per_year"] == 100
    assert command("report", reports(command)).exit_code == 0
    assert {name: (reports(command) / name).read_bytes() for name in EVERYTHING} == before
    wrong = command("report", reports(command), "--availability-target", "four nines")
    assert (wrong.exit_code, "--availability-target" in wrong.stderr) == (2, True)
