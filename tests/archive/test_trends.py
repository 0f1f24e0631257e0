"""Trends: bounds, what never recovered, what is invalid, and when trials of several runs are taken together."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaoskit.archive.index import opened
from chaoskit.archive.trends import NOT_MEASURED, trend
from chaoskit.engine.pooling import doubts
from chaoskit.model.indexed import IndexedRun, Trend
from tests.archive.folders import own, write_run
from tests.reporting.recorded_runs import Shape


def trend_of(reports: Path, figure: str = "rto") -> Trend:
    with opened(reports) as index:
        return trend(index.runs(), figure)


def test_oldest_first_with_bounds(tmp_path: Path) -> None:
    write_run(tmp_path, "b", Shape(trials=3, outage_s=20), day=2)
    write_run(tmp_path, "a", Shape(outage_s=25), day=1)
    made = trend_of(tmp_path)
    assert [p.run for p in made.points] == ["a", "b"]
    single, several = made.points
    assert single.point == pytest.approx(25, abs=0.06)
    assert (single.low, single.high) == (pytest.approx(24.95, abs=0.06), pytest.approx(25.05, abs=0.06))
    assert several.point == pytest.approx(21.7, abs=0.06), "the median of 20, 21.7 and 23.4"
    assert (several.low, several.high) == (pytest.approx(19.95, abs=0.06), pytest.approx(23.45, abs=0.06))
    assert several.text == "median 21.70 s (19.95 s to 23.45 s), 3 trials"
    assert made.predicted_s == (18.0, 24.0)


def test_what_never_recovered_and_what_is_invalid_is_marked(tmp_path: Path) -> None:
    write_run(tmp_path, "a", Shape(recovers=False), day=1)
    write_run(tmp_path, "b", Shape(verified=False), day=2)
    own(write_run(tmp_path, "c", day=3), alive=False)
    never, invalid, dead = trend_of(tmp_path).points
    assert (never.censored, never.point, never.high) == (1, None, None)
    assert never.low is not None
    assert "never recovered" in never.text
    assert (invalid.n, invalid.point, invalid.low) == (0, None, None)
    assert "not verified" in invalid.text
    assert invalid.invalid
    assert (dead.n, dead.outcome, dead.point) == (0, "dead", None)


def test_a_figure_that_was_not_measured_is_said(tmp_path: Path) -> None:
    write_run(tmp_path, "a")
    (point,) = trend_of(tmp_path, "nothing").points
    assert (point.text, point.point) == (NOT_MEASURED, None)


def test_counts_are_told_as_counts(tmp_path: Path) -> None:
    write_run(tmp_path, "a", Shape(trials=2), day=1)
    write_run(tmp_path, "b", Shape(trials=2, lost=4), day=2)
    assert [p.text for p in trend_of(tmp_path, "lost").points] == ["0 writes in each of 2 trials", "4 writes in each of 2 trials"]


def test_runs_that_asked_the_same_are_taken_together(tmp_path: Path) -> None:
    write_run(tmp_path, "other", day=0, settings={"ttl": "99s"})
    write_run(tmp_path, "a", Shape(trials=2, outage_s=20), day=1)
    write_run(tmp_path, "b", Shape(outage_s=30), day=2, experiment={"tags": ["renamed"], "objectives": {"rto": "<= 5s"}})
    own(write_run(tmp_path, "c", day=3), alive=False)
    together = trend_of(tmp_path).pooled
    assert together is not None
    assert together.runs == ("a", "b"), "tags and objectives change no trial"
    assert (together.summary.n, together.summary.median) == (3, pytest.approx(21.7, abs=0.06))
    assert together.doubts == ()
    assert sorted(together.left_out) == [
        "1 run that asked something else (experiment, lab, settings or backend differ)",
        "1 run without a verdict: dead",
    ]


def test_one_run_alone_is_nothing_together(tmp_path: Path) -> None:
    write_run(tmp_path, "a", day=1, backend="docker")
    write_run(tmp_path, "b", day=2)
    assert trend_of(tmp_path).pooled is None


def test_doubts_about_one_sample() -> None:
    def run(name: str, seed: int, **more: object) -> IndexedRun:
        return IndexedRun.model_validate({"name": name, "state": "judged", "run_id": name, "seed": seed, **more})

    machine = {"kernel": "6.1", "cpus": "2"}
    a, b = run("a", 1), run("b", 2)
    assert doubts([a, b], [machine, machine]) == ()
    assert doubts([a], [machine]) == ()
    (kernel,) = doubts([a, b], [machine, {**machine, "kernel": "6.2"}])
    assert "kernel is 6.1, 6.2" in kernel
    (stopped,) = doubts([a, run("b", 2, stopped="decided")], [machine, machine])
    assert stopped.startswith("b stopped as soon as")
    (early,) = doubts([a, run("b", 2, incomplete="killed")], [machine, machine])
    assert early.startswith("b ended early")
    (seed,) = doubts([a, run("b", 1)], [machine, machine])
    assert "same seed" in seed
