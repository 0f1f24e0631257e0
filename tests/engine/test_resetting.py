"""Several trials on one lab: each begins only where the lab is as it was before the first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.resetting import NotRestored, SharedLab, questions
from chaoskit.engine.running import run_plan
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.facts import NodeStateQuery, ReachQuery, ServiceQuery
from chaoskit.surfaces.conducting import judged
from tests.engine.bench import REGISTRY, Bench
from tests.simulated.plans import lab_plan, plan


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "run")


def standing(bench: Bench) -> Any:
    return bench.backend.up(lab_plan(), "mine", "other-run", bench.run.logs, detached=True, progress=print)


def go(bench: Bench, **changes: Any) -> list[dict[str, Any]]:
    made = plan(bench.clock, **changes)
    bench.ended_by, _ = run_plan(
        made, bench.backend, bench.run, "run-0001", bench.clock, bench.progress,
        lambda name: REGISTRY.load("faults", name), on_lab="mine",
    )  # fmt: skip
    return bench.events()


def test_every_trial_uses_the_lab_once_it_is_as_before(bench: Bench) -> None:
    lab = standing(bench)
    events = go(bench, repeat=3)
    assert bench.ended_by is None
    assert len(bench.backend.labs) == 1
    assert not lab.is_down
    said = [(e["kind"], e["trial"]) for e in events if e["kind"] in ("lab.joined", "lab.reset", "lab.ready")]
    assert said == [
        ("lab.joined", 0), ("lab.ready", 0),
        ("lab.joined", 1), ("lab.reset", 1), ("lab.ready", 1),
        ("lab.joined", 2), ("lab.reset", 2), ("lab.ready", 2),
    ]  # fmt: skip
    result, _ = judged(bench.run.path)
    assert result.verdict == "passed", result.reasons
    ledgers = [t.rpo for t in result.trials if t.rpo is not None]
    assert [(rpo.phantom, rpo.duplicated, rpo.lost.point) for rpo in ledgers] == [(0, 0, 0)] * 3  # each its own tokens


LOGGED = {"log": {"service": "database", "says": "promoted"}}


@pytest.mark.parametrize("condition", [LOGGED, {"any": [{"client": "orders", "is": "down"}, LOGGED]}])
@pytest.mark.parametrize("key", ["when", "until"])
def test_who_waits_for_a_line_of_a_log_is_refused_on_a_lab_whose_logs_are_elsewhere(
    bench: Bench, key: str, condition: dict[str, Any]
) -> None:
    lab = standing(bench)
    before = list(lab.performed)
    action = {"inject": "node.hang", "target": {"node": "db3"}, "for": "2s", key: condition}
    events = go(bench, method=[action])
    assert isinstance(bench.ended_by, LabUnavailable)
    assert "the logs of the lab mine are not this run's, and an action waits for a line of one; leave --on out" in str(
        bench.ended_by
    )
    assert lab.performed == before
    assert not lab.is_down
    assert not [e for e in events if e["kind"].startswith(("fault.", "lab.joined"))]


def test_who_waits_for_something_else_is_not(bench: Bench) -> None:
    standing(bench)
    go(
        bench,
        method=[
            {
                "inject": "node.hang",
                "target": {"node": "db3"},
                "at": "1s",
                "for": "2s",
                "until": {"client": "orders", "is": "back"},
            }
        ],
    )
    assert bench.ended_by is None


def test_a_trial_on_a_lab_that_is_not_restored_is_invalid_and_says_what_is_different(bench: Bench) -> None:
    """Something beyond the faults' own evidence: a node hangs by itself after the first trial, for good."""
    lab = standing(bench)

    def hang() -> None:
        if bench.progress.phases.count("ending") == 1:
            lab.cluster.frozen.add("db3")

    bench.progress.on_phase["ending"] = hang
    go(bench, repeat=2)
    result, _ = judged(bench.run.path)
    assert [t.verdict for t in result.trials] == ["passed", "unknown"]
    assert result.verdict == "unknown"
    assert any("not as it was before the first trial: db3 is frozen, and was up" in reason for reason in result.reasons)
    assert result.summary["rto"].n == 1
    assert result.undo.dirty == ()


def test_it_waits_for_what_takes_a_while_to_come_back(bench: Bench) -> None:
    lab, shared = standing(bench), SharedLab()
    assert shared.verify(lab, bench.clock, 10, lambda: None) is None
    lab.cluster.off.add("db2")
    looked: list[int] = []

    def back() -> None:
        looked.append(1)
        if len(looked) == 4:
            lab.cluster.off.discard("db2")

    took_s = shared.verify(lab, bench.clock, 10, back)
    assert took_s is not None
    assert 1.5 <= took_s < 3
    lab.cluster.off.add("db2")
    with pytest.raises(NotRestored, match="db2 is off, and was up"):
        shared.verify(lab, bench.clock, 10, lambda: None)


def test_every_node_link_service_and_way_is_asked() -> None:
    asked = [query for _, query in questions(lab_plan())]
    assert sum(isinstance(q, NodeStateQuery) for q in asked) == 4
    assert sum(isinstance(q, ReachQuery) for q in asked) == 4 * 3
    assert not any(isinstance(q, ServiceQuery) for q in asked)  # this lab has none
    assert len({words for words, _ in questions(lab_plan())}) == len(asked)
