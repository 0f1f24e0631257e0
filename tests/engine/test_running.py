"""A run on the simulated lab, from the first event to the last: what is recorded, healed and left behind."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.run_directory import RunDirectory
from chaoskit.engine.running import run_plan
from chaoskit.engine.undo import journal_lines
from chaoskit.model.errors import Aborted, ChaoskitError, HealFailed, Interrupted, LabUnavailable, RecordingFailed
from chaoskit.model.history import Event
from tests.engine.bench import REGISTRY, Bench
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.plans import ORDERS, plan


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "run")


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [e["kind"] for e in events]


def test_a_run_goes_through_every_stage_in_order(bench: Bench) -> None:
    events = bench.go()
    assert bench.ended_by is None
    said = [k for k in kinds(events) if k != "role.changed"]
    assert said == [
        "run.started", "trial.started", "lab.creating", "lab.up", "lab.ready", "client.started", "baseline.started",
        "baseline.ended",
        "fault.preparing", "fault.injecting", "fault.injected", "fault.effect", "fault.healing", "fault.healed", "fault.gone",
        "clients.recovered", "observation.ended", "ledgers.read", "lab.down", "trial.ended", "run.ended",
    ]  # fmt: skip
    effect = next(e for e in events if e["kind"] == "fault.effect")
    assert effect["data"]["verified"]
    assert effect["data"]["nodes"] == ["db1"]
    assert bench.backend.labs[0].is_down
    assert (bench.undo().owed, bench.undo().paid, bench.undo().dirty) == (1, 1, ())


def test_the_debt_is_on_disk_before_the_first_step(bench: Bench) -> None:
    seen: list[int] = []
    lab_perform = bench.backend.up

    def watched_up(*args: Any, **kwargs: Any) -> Any:
        lab = lab_perform(*args, **kwargs)
        perform = lab.perform
        lab.perform = lambda step: (seen.append(len(journal_lines(bench.run.undo_file))), perform(step))[1]  # type: ignore[method-assign]
        return lab

    bench.backend.up = watched_up  # type: ignore[method-assign]
    bench.go()
    assert seen[0] == 1


def test_the_hold_is_as_long_as_asked(bench: Bench) -> None:
    events = bench.go()
    at = {e["kind"]: e["t_ns"] for e in events}
    assert (at["fault.injecting"] - at["baseline.ended"]) / 1e9 == pytest.approx(2.0, abs=0.2)
    assert (at["fault.healing"] - at["fault.injected"]) / 1e9 == pytest.approx(20.0, abs=0.5)
    assert (at["baseline.ended"] - at["baseline.started"]) / 1e9 == pytest.approx(30.0, abs=0.2)


def test_without_a_period_a_fault_ends_when_clients_are_back(bench: Bench) -> None:
    events = bench.go(method=[{"inject": "node.power_off", "target": {"role": "primary"}, "at": "2s"}])
    at = {e["kind"]: e["t_ns"] for e in events}
    held_s = (at["fault.healing"] - at["fault.injected"]) / 1e9
    assert 3.0 + 5.0 < held_s < 3.0 + 5.0 + 2.5  # failover, the window S, the deadline


def test_a_second_fault_may_wait_for_the_first_and_overlap_by_the_clock(bench: Bench) -> None:
    method = [
        {"inject": "network.isolate", "name": "cut", "target": {"node": "db3"}, "at": "1s", "for": "5s"},
        {"inject": "node.hang", "name": "hang", "target": {"node": "db2"}, "at": "3s", "for": "5s"},
        {"inject": "node.crash", "name": "crash", "target": {"role": "primary"}, "after": "cut", "for": "6s"},
    ]
    events = bench.go(method=method)
    order = [(e["kind"], e["data"]["action"]) for e in events if e["kind"] in ("fault.injecting", "fault.healing")]
    assert order == [
        ("fault.injecting", "cut"), ("fault.injecting", "hang"), ("fault.healing", "cut"), ("fault.injecting", "crash"),
        ("fault.healing", "hang"), ("fault.healing", "crash"),
    ]  # fmt: skip
    assert bench.ended_by is None


def test_two_faults_on_one_node_are_proven_gone_once_the_other_is_over(bench: Bench) -> None:
    method = [
        {"inject": "network.partition", "name": "cut", "target": {"node": "db1"}, "at": "1s", "for": "5s"},
        {"inject": "node.power_off", "name": "off", "target": {"node": "db1"}, "at": "3s", "for": "9s"},
    ]
    events = bench.go(method=method)
    assert bench.ended_by is None
    effects = {e["data"]["action"]: e["data"]["verified"] for e in events if e["kind"] == "fault.effect"}
    assert effects == {"cut": True, "off": True}
    proofs = [(e["data"]["action"], len(e["data"]["evidence"])) for e in events if e["kind"] == "fault.gone"]
    assert proofs == [("cut", 3), ("off", 2), ("cut", 3)]
    assert (bench.undo().owed, bench.undo().paid) == (2, 2)


def test_an_effect_that_is_not_seen_is_recorded_as_such(bench: Bench) -> None:
    bench.backend.deaf = {"power_off"}
    events = bench.go()
    effect = next(e for e in events if e["kind"] == "fault.effect")
    assert not effect["data"]["verified"]
    assert {row["seen"] for row in effect["data"]["evidence"]} == {"up", "answered"}


def test_clients_that_never_come_back_end_in_a_recovery_timeout(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "run", lambda: SimulatedCluster(failover_s=None))
    bench.backend.deaf = {"power_on"}
    events = bench.go()
    assert "recovery.timeout" in kinds(events) or isinstance(bench.ended_by, HealFailed)
    assert isinstance(bench.ended_by, HealFailed)
    assert bench.ended_by.exit_code == 4


@pytest.mark.parametrize("phase", ["building", "getting ready", "steady state", "baseline", "method", "recovery", "reading back"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_any_phase_heals_first(bench: Bench, phase: str, number: signal.Signals) -> None:
    bench.progress.on_phase[phase] = lambda: os.kill(os.getpid(), number)
    events = bench.go()
    assert isinstance(bench.ended_by, Interrupted)
    assert all(lab.is_down for lab in bench.backend.labs)
    assert bench.undo().dirty == ()
    assert kinds(events)[-1] == "run.ended"
    assert number.name in events[-1]["data"]["incomplete"]


def test_a_signal_while_the_fault_holds_heals_it(bench: Bench) -> None:
    bench.clock.on_step.append(lambda now: os.kill(os.getpid(), signal.SIGINT) if bench.backend.labs[0].cluster.off else None)
    events = bench.go()
    assert isinstance(bench.ended_by, Interrupted)
    assert "fault.gone" in kinds(events)
    assert not bench.backend.labs[0].cluster.off


def test_a_heal_that_fails_is_loud_and_the_rest_is_healed(bench: Bench) -> None:
    bench.backend.failing = {"thaw"}
    method = [
        {"inject": "network.isolate", "target": {"node": "db3"}, "at": "1s", "for": "30s"},
        {"inject": "node.hang", "target": {"node": "db2"}, "at": "2s", "for": "5s"},
    ]
    events = bench.go(method=method)
    assert isinstance(bench.ended_by, HealFailed)
    assert "thaw does not work today" in str(bench.ended_by)
    assert bench.backend.labs[0].cluster.cuts == {}
    assert {"fault.heal_failed", "fault.gone"} <= set(kinds(events))


def test_an_abort_condition_heals_and_ends_the_run(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "run", lambda: SimulatedCluster(failover_s=None))
    changes: dict[str, Any] = {"abort-when": {"clients": {"orders": {"down_for": ">= 5s"}}}}
    events = bench.go(repeat=3, **changes)
    assert isinstance(bench.ended_by, Aborted)
    assert kinds(events).count("trial.started") == 1
    assert bench.undo().dirty == ()
    assert "abort" in kinds(events)


def test_a_target_that_does_not_exist_at_run_time_spoils_the_trial_only(bench: Bench) -> None:
    method = [{"inject": "node.crash", "target": {"group": "db", "role": "primary", "node": "db2"}, "at": "1s", "for": "2s"}]
    events = bench.go(repeat=2, method=method)
    assert bench.ended_by is None
    assert kinds(events).count("trial.ended") == 2
    assert sum(k == "problem" for k in kinds(events)) == 2
    assert bench.undo().owed == 0


def test_a_lab_that_cannot_be_built_ends_the_run_with_the_reason(bench: Bench) -> None:
    bench.backend.never_up = "db2: postgres exited with 1"
    events = bench.go(repeat=3)
    assert isinstance(bench.ended_by, LabUnavailable)
    assert [e["data"]["message"] for e in events if e["kind"] == "problem"] == ["db2: postgres exited with 1"]
    assert "db2" in events[-1]["data"]["incomplete"]


def test_a_service_that_ends_during_the_baseline_ends_the_trial(bench: Bench) -> None:
    def die() -> None:
        lab = bench.backend.labs[0]
        data = {"node": "db2", "service": "patroni", "code": 1}
        lab.pending_events = [
            Event(t_ns=bench.clock.monotonic_ns(), wall="x", trial=None, kind="service.exited", source="backend", data=data)
        ]

    bench.progress.on_phase["baseline"] = die
    events = bench.go()
    assert isinstance(bench.ended_by, LabUnavailable)
    assert "patroni on db2 ended with code 1" in str(bench.ended_by)
    assert "fault.injecting" not in kinds(events)


def test_a_probe_that_dies_ends_the_run(bench: Bench) -> None:
    bench.backend.probe_dies = True
    bench.go()
    assert isinstance(bench.ended_by, LabUnavailable)


def test_a_full_disk_heals_and_says_so(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(now_ns: int) -> None:
        if bench.backend.labs[0].cluster.off:
            monkeypatch.setattr("chaoskit.engine.run_directory.EventLog._write", _no_space, raising=True)

    bench.clock.on_step.append(full)
    bench.go()
    assert isinstance(bench.ended_by, RecordingFailed)
    assert "No space left" in str(bench.ended_by)
    assert not bench.backend.labs[0].cluster.off
    assert bench.undo().dirty == ()


def _no_space(*args: Any) -> None:
    raise OSError(28, "No space left on device")


def test_a_run_directory_that_is_taken_is_refused(bench: Bench) -> None:
    with pytest.raises(ChaoskitError, match="not empty"):
        RunDirectory.create(bench.run.path)


def test_a_secret_reaches_its_client_and_no_file_that_stays(bench: Bench) -> None:
    made = plan(bench.clock, clients={"orders": ORDERS | {"password": "${db_password}"}})
    run_plan(
        made, bench.backend, bench.run, "run-0001", bench.clock, bench.progress, lambda n: REGISTRY.load("faults", n),
        secrets={"db_password": "open-sesame"},
    )  # fmt: skip
    probe = next(agent for agent in bench.backend.labs[0].agents if agent.name == "orders")
    assert probe.config.options["password"] == "open-sesame"  # type: ignore[union-attr]
    kept = [path for path in bench.run.path.rglob("*") if path.is_file() and b"open-sesame" in path.read_bytes()]
    assert kept == []


def test_several_clients_and_repeats_get_their_own_labs(bench: Bench) -> None:
    shop = ORDERS | {"class": "pooled"}
    events = bench.go(repeat=2, clients={"orders": ORDERS, "shop": shop})
    assert len(bench.backend.labs) == 2
    assert [e["data"]["client"] for e in events if e["kind"] == "client.started"] == ["orders", "shop"] * 2
    assert (bench.run.path / "samples.sqlite").exists()
