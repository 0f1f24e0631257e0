"""From a recorded run to a verdict: the same bytes every time, and unknown is never a pass."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.judging import judge_run, over_trials, run_verdict
from chaoskit.engine.measuring import MeasureClash, iso_at, measure_run, measured_trial, read_measures
from chaoskit.engine.statistics import summary
from chaoskit.model.errors import InputError
from chaoskit.model.figures import Figure
from chaoskit.model.plan import Plan
from chaoskit.model.recorded import TrialRecord
from chaoskit.model.result import ObjectiveOutcome, Result, TrialResult, UndoSummary
from tests.measures.recorded import FAULT_S, client, event, failed_over, fault, final_read, ns, plan, trial
from tests.measures.run_directories import write_run

OBJECTIVES: dict[str, Any] = {"rto": "<= 10s", "rpo": {"writes": 0}, "split_brain": "none"}


def record(down_s: float = 5.0, index: int = 0, planned: Plan | None = None, **changes: Any) -> TrialRecord:
    orders = client(down=[(FAULT_S, FAULT_S + down_s)], leads=lambda at: "db1" if at < FAULT_S else "db2", probes=2)
    given = {"roles": failed_over(), "read_backs": [final_read(orders)], "planned": planned} | changes
    return trial(orders, index=index, **given)


def judged(run_dir: Path, *records: TrialRecord, objectives: dict[str, Any] | None = None, **changes: Any) -> Result:
    made = plan(OBJECTIVES if objectives is None else objectives, trials=changes.pop("trials", len(records)))
    run = write_run(run_dir, made, *records, ended=changes.pop("ended", True))
    measure_run(run)
    return judge_run(run, **changes)


def test_a_good_run_passes_and_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    result = judged(tmp_path, record())
    assert result.verdict == "passed", result.reasons
    assert [(o.name, o.met) for o in result.objectives] == [("rto", True), ("rpo.writes", True), ("split_brain", True)]
    first = [(tmp_path / name).read_bytes() for name in ("measures.json", "result.json")]
    measure_run(tmp_path)
    judge_run(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in ("measures.json", "result.json")] == first
    assert Result.model_validate_json((tmp_path / "result.json").read_bytes()) == result


def test_a_run_measured_from_its_spool_or_merged_gives_the_same_bytes(tmp_path: Path) -> None:
    made = plan(OBJECTIVES)
    for name, spooled in (("a", False), ("b", True)):
        measure_run(write_run(tmp_path / name, made, record(), spooled=spooled))
    assert (tmp_path / "a" / "measures.json").read_bytes() == (tmp_path / "b" / "measures.json").read_bytes()


def test_instants_come_from_the_record(tmp_path: Path) -> None:
    result = judged(tmp_path, record())
    assert result.run_id == "20260131-115919-synthetic-0000"
    assert result.started == "2026-01-31T11:59:19.000Z"
    (made,) = result.trials
    assert made.started == "2026-01-31T11:59:20.000Z"
    assert made.faults[0].effective_at == "2026-01-31T12:00:02.020Z"
    assert made.faults[0].effective_s == pytest.approx(2.02)
    assert (made.baseline_s, made.observed_s) == (30.0, 60.0)


def test_wall_clock_time_follows_the_nearest_event_before() -> None:
    events = (event(0, "trial.started"), event(10, "baseline.started"))
    assert iso_at(events, ns(12.5)) == "2026-01-31T12:00:12.500Z"
    assert iso_at(events, ns(-1)) == "2026-01-31T11:59:59.000Z"


def test_one_trial_that_misses_fails_the_run(tmp_path: Path) -> None:
    result = judged(tmp_path, *(record(5.0 + 10 * (i == 1), i) for i in range(3)))
    assert result.verdict == "failed"
    assert [t.verdict for t in result.trials] == ["passed", "failed", "passed"]
    rto = result.objectives[0]
    assert rto.met is False
    assert rto.actual.startswith("met in 2 of 3 trials (trial 1:")
    assert any(r.startswith("trial 1: rto of orders") for r in result.reasons)
    assert result.summary["rto"].n == 3
    assert result.summary["rto"].max == pytest.approx(15, abs=0.1)


def test_one_trial_that_is_unknown_leaves_the_run_unknown(tmp_path: Path) -> None:
    result = judged(tmp_path, record(), record(index=1, faults=[fault(verified=False)]))
    assert result.verdict == "unknown"
    assert [t.verdict for t in result.trials] == ["passed", "unknown"]
    assert result.objectives[0].met is None
    assert result.summary["rto"].n == 1
    assert "1 of 2 trials are invalid" in result.summary["rto"].confidence


def test_no_objective_is_no_pass(tmp_path: Path) -> None:
    result = judged(tmp_path, record(), objectives={})
    assert result.verdict == "unknown"
    assert any("no objective was stated" in r for r in result.reasons)


def test_a_problem_of_the_record_leaves_everything_unknown(tmp_path: Path) -> None:
    result = judged(tmp_path, record(20, problems=["the disk was full"]))
    assert result.verdict == "unknown"
    assert "the disk was full" in result.reasons


def test_a_run_that_was_killed_is_incomplete_and_never_passed(tmp_path: Path) -> None:
    result = judged(tmp_path, record(), ended=False, trials=2)
    assert result.verdict == "unknown"
    assert result.incomplete is not None
    assert "killed" in result.incomplete


def test_fewer_trials_than_planned_is_no_pass(tmp_path: Path) -> None:
    result = judged(tmp_path, record(), trials=3)
    assert result.verdict == "unknown"
    assert "1 of 3 trials were carried out" in result.reasons


def test_something_still_broken_is_no_pass_and_is_said(tmp_path: Path) -> None:
    undo = UndoSummary(owed=1, paid=0, dirty=("node.power_off on db1",))
    result = judged(tmp_path, record(), undo=undo)
    assert result.verdict == "unknown"
    assert "still broken: node.power_off on db1" in result.reasons
    assert result.undo == undo


def test_a_caller_may_say_why_it_is_incomplete(tmp_path: Path) -> None:
    result = judged(tmp_path, record(), incomplete="interrupted by Ctrl-C")
    assert result.incomplete == "interrupted by Ctrl-C"
    assert result.verdict == "unknown"


def test_an_unmeasured_run_says_so(tmp_path: Path) -> None:
    run = write_run(tmp_path, plan(OBJECTIVES), record())
    with pytest.raises(InputError, match="not measured"):
        judge_run(run)
    with pytest.raises(InputError):
        read_measures(run)


def test_a_run_that_never_reached_a_trial_is_unknown(tmp_path: Path) -> None:
    result = judged(tmp_path, trials=1)
    assert result.verdict == "unknown"
    assert result.trials == ()
    assert result.reasons == ("0 of 1 trials were carried out",)


class Twice:
    def __init__(self, name: str, field: str) -> None:
        self.name, self.field = name, field

    def measure(self, trial: TrialRecord) -> dict[str, Any]:
        return {self.field: ()}


def test_two_measures_of_one_field_are_refused() -> None:
    with pytest.raises(MeasureClash, match="'a' and 'b' both write 'phases'"):
        measured_trial(record(), [Twice("a", "phases"), Twice("b", "phases")])


@pytest.mark.parametrize("field", ["verdict", "index", "colour"])
def test_a_measure_writes_only_a_measures_fields(field: str) -> None:
    with pytest.raises(MeasureClash, match="not a measure's field"):
        measured_trial(record(), [Twice("a", field)])


# -- statistics ---------------------------------------------------------------------------------------------------------


def figure(point: float | None, **changes: Any) -> Figure:
    return Figure(**({"point": point, "low": point, "high": point} | changes))


def test_a_censored_trial_is_infinite_in_order_statistics() -> None:
    made = summary([figure(1.0), figure(2.0), figure(None, low=60.0, high=None, censored=True)])
    assert (made.n, made.median, made.max, made.censored) == (3, 2.0, None, 1)
    made = summary([figure(1.0), figure(None, low=60.0, high=None, censored=True)])
    assert made.median is None


def test_no_outage_counts_as_its_upper_bound_and_an_invalid_figure_not_at_all() -> None:
    made = summary([figure(None, low=0.0, high=0.005), figure(9.0, valid=False)])
    assert (made.n, made.median) == (1, 0.005)
    assert "invalid" in made.confidence
    assert summary([figure(9.0, valid=False)]).n == 0


def outcome(met: bool | None, trial: int) -> ObjectiveOutcome:
    return ObjectiveOutcome(name="rto", target="<= 10s", actual="5 s", met=met, trial=trial, subject="orders")


def result_of(met: bool | None, index: int) -> TrialResult:
    verdict = "passed" if met else "unknown" if met is None else "failed"
    return TrialResult(
        index=index, started="", ended="", baseline_s=30, observed_s=60, verdict=verdict, objectives=(outcome(met, index),)
    )


@pytest.mark.parametrize(
    ("met", "expected"),
    [
        ([True, True], "passed"),
        ([True, None], "unknown"),
        ([None, False], "failed"),
        ([False, True], "failed"),
        ([], "unknown"),
    ],
)
def test_the_verdict_over_trials(met: list[bool | None], expected: str) -> None:
    trials = [result_of(m, i) for i, m in enumerate(met)]
    assert run_verdict(trials, len(trials), None, UndoSummary())[0] == expected
    if trials:
        (together,) = over_trials(trials)
        assert together.met is {"passed": True, "unknown": None, "failed": False}[expected]
