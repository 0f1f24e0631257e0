"""Compound methods on the simulated lab: triggers, repetition, stagger, holding until something happens, and what is refused."""

from __future__ import annotations

import os
import signal
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from chaoskit.model.errors import Aborted, BlastRadiusExceeded
from tests.engine.bench import Bench
from tests.simulated.clock import START_NS
from tests.simulated.cluster import SimulatedCluster

Rows = list[dict[str, Any]]
CUT = "network.isolate"
FIRST = {"inject": CUT, "name": "first", "target": {"role": "primary"}, "at": "2s", "for": "30s"}
PROMOTED = {"role": "primary", "gained_by": "anyone_else"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "run")


def said(events: Rows, kind: str) -> dict[str, dict[str, Any]]:
    """Action -> the event's data, with its instant in seconds after the baseline."""
    zero = next(e["t_ns"] for e in events if e["kind"] == "baseline.ended")
    return {e["data"]["action"]: e["data"] | {"at_s": (e["t_ns"] - zero) / 1e9} for e in events if e["kind"] == kind}


def healed(bench: Bench) -> bool:
    """Nothing is owed, and nothing of it is left in the lab."""
    cluster = bench.backend.labs[-1].cluster
    undo = bench.undo()
    left = (cluster.off, cluster.frozen, cluster.cuts, cluster.blocks, cluster.stopped)
    return undo.owed == undo.paid and undo.dirty == () and not any(left)


# -- triggers --------------------------------------------------------------------------------------------------------------


def test_the_new_leader_is_cut_off_as_soon_as_it_is_promoted(bench: Bench) -> None:
    second = {
        "inject": CUT, "name": "second", "target": {"role": "primary", "not_of": "first"}, "during": "first",
        "when": PROMOTED, "for": "5s",
    }  # fmt: skip
    events = bench.go(method=[FIRST, second])
    assert bench.ended_by is None
    injected, triggered = said(events, "fault.injected"), said(events, "action.triggered")
    assert (injected["first"]["nodes"], injected["second"]["nodes"]) == (["db1"], ["db2"])
    after_s = injected["second"]["at_s"] - injected["first"]["at_s"]
    assert 3.0 <= after_s < 3.3, "the cluster promotes another one after 3 s"
    assert triggered["second"]["details"] == "db2 gained the role primary (held before by db1)"
    assert 0 <= injected["second"]["began_ns"] - triggered["second"]["at_ns"] < 200_000_000
    assert healed(bench)


def test_a_promotion_while_the_first_effect_is_still_looked_for_is_not_missed(tmp_path: Path) -> None:
    bench = Bench(tmp_path / "run", lambda: SimulatedCluster(failover_s=0.02))
    second = {"inject": CUT, "name": "second", "target": {"role": "primary"}, "during": "first", "when": PROMOTED, "for": "2s"}
    events = bench.go(method=[FIRST, second])
    assert said(events, "fault.injected")["second"]["nodes"] == ["db2"]
    injected = said(events, "fault.injected")
    assert injected["second"]["at_s"] - injected["first"]["at_s"] < 0.2


def test_each_new_leader_is_cut_off_in_its_turn(bench: Bench) -> None:
    first = FIRST | {"for": "6s"}
    second = {
        "inject": CUT, "name": "again", "target": {"role": "primary"}, "during": "first", "when": PROMOTED, "times": 2,
        "for": "10s",
    }  # fmt: skip
    events = bench.go(method=[first, second])
    injected = said(events, "fault.injected")
    assert {name: data["nodes"] for name, data in injected.items()} == {"first": ["db1"], "again": ["db2"], "again-2": ["db1"]}
    assert injected["again-2"]["at_s"] > said(events, "fault.healed")["first"]["at_s"], "db1 is cut off again once it leads again"
    assert bench.undo().owed == 3
    assert healed(bench)


def test_a_trigger_that_never_comes_is_recorded_and_the_rest_goes_on(bench: Bench) -> None:
    method = [
        {
            "inject": CUT,
            "name": "never",
            "target": {"node": "db3"},
            "when": {"role": "primary", "gained_by": "db3"},
            "within": "4s",
        },
        {"inject": CUT, "name": "follows", "target": {"node": "db2"}, "after": "never", "for": "2s"},
        {"inject": CUT, "name": "told", "target": {"of": "never"}, "at": "6s", "for": "2s"},
        {"inject": CUT, "name": "other", "target": {"node": "db2"}, "at": "8s", "for": "2s"},
    ]
    events = bench.go(method=method)
    assert bench.ended_by is None
    skipped = said(events, "action.skipped")
    assert "not triggered: not within 4 s: db3 gains the role primary" in skipped["never"]["reason"]
    assert 4.0 <= skipped["never"]["at_s"] < 4.2
    assert "never, which was not injected" in skipped["follows"]["reason"]
    assert "never, which was not injected" in skipped["told"]["reason"]
    assert list(said(events, "fault.injected")) == ["other"]
    assert healed(bench)


def test_during_recovery_another_fault_meets_clients_that_are_still_down(bench: Bench) -> None:
    method = [
        {"inject": "node.hang", "name": "first", "target": {"role": "primary"}, "at": "2s", "for": "2s"},
        {
            "inject": CUT, "name": "second", "target": {"of": "first"}, "after": "first",
            "when": {"client": "orders", "is": "down"}, "for": "3s",
        },
    ]  # fmt: skip
    events = bench.go(method=method)
    injected, gone = said(events, "fault.injected"), said(events, "fault.healed")
    assert injected["second"]["nodes"] == injected["first"]["nodes"] == ["db1"]
    assert 0 <= injected["second"]["at_s"] - gone["first"]["at_s"] < 0.5
    assert "orders failed" in said(events, "action.triggered")["second"]["details"]
    assert healed(bench)


def test_when_clients_are_back_after_the_failover(bench: Bench) -> None:
    second = {
        "inject": CUT, "name": "second", "target": {"node": "db3"}, "during": "first",
        "when": {"client": "orders", "is": "back"}, "delay": "1s", "for": "2s",
    }  # fmt: skip
    events = bench.go(method=[FIRST, second])
    after_s = said(events, "fault.injected")["second"]["at_s"] - said(events, "fault.injected")["first"]["at_s"]
    assert 3.0 + 5.0 + 0.5 + 1.0 < after_s < 3.0 + 5.0 + 0.5 + 1.0 + 1.0  # failover, S, W, the delay


def test_when_nobody_holds_a_role_for_long_enough(bench: Bench) -> None:
    nobody = {"role": "primary", "held_by": "nobody", "for": "2s"}
    second = {"inject": CUT, "name": "second", "target": {"node": "db3"}, "during": "first", "when": nobody, "for": "1s"}
    events = bench.go(method=[FIRST | {"inject": "node.power_off"}, second])
    after_s = said(events, "fault.injected")["second"]["at_s"] - said(events, "fault.injected")["first"]["at_s"]
    assert 2.0 <= after_s < 2.5
    longer = Bench(bench.run.path.parent / "longer")
    second["when"] = nobody | {"for": "4s"}  # the cluster needs 3 s
    assert "second" in said(longer.go(method=[FIRST | {"inject": "node.power_off"}, second]), "action.skipped")


def test_when_a_log_says_so(bench: Bench) -> None:
    log = bench.run.logs / "0" / "db2" / "database.log"

    def write(now_ns: int) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        late = now_ns > START_NS + 42_000_000_000
        log.write_text("promoted, long ago\n" + ("promoted to leader\n" if late else ""))

    bench.clock.on_step.append(write)
    when = {"log": {"service": "database", "says": "^promoted"}}
    events = bench.go(
        method=[{"inject": CUT, "name": "cut", "target": {"node": "db3"}, "when": when, "within": "60s", "for": "1s"}]
    )
    assert said(events, "action.triggered")["cut"]["details"] == "db2: promoted to leader"
    assert said(events, "fault.injected")["cut"]["at_s"] > 1, "what the log said before counts for nothing"


def test_when_a_command_in_a_node_says_so(bench: Bench) -> None:
    when = {"probe": {"command": ["test", "-e", "/tmp/ready"], "on": "db2", "every": "500ms"}}

    def touch(now_ns: int) -> None:
        if bench.backend.labs and now_ns > START_NS + 45_000_000_000:
            bench.backend.labs[0].cluster.touched.add("db2:/tmp/ready")

    bench.clock.on_step.append(touch)
    method = [{"inject": CUT, "name": "cut", "target": {"node": "db3"}, "when": when, "within": "60s", "for": "1s"}]
    events = bench.go(method=method)
    assert said(events, "action.triggered")["cut"]["details"] == "exit code 0"
    assert 45 <= (said(events, "fault.injected")["cut"]["began_ns"] - START_NS) / 1e9 < 45.7


DOWN = {"client": "orders", "is": "down"}
LOGGED = {"log": {"service": "database", "says": "^promoted"}}


def logs_at(bench: Bench, second: float) -> None:
    """The database of db2 writes a line so long after the run began."""
    log = bench.run.logs / "0" / "db2" / "database.log"

    def write(now_ns: int) -> None:
        if log.parent.parent.exists() and now_ns >= START_NS + second * 1e9 and not log.exists():
            log.parent.mkdir(exist_ok=True)
            log.write_text("promoted to leader\n")

    bench.clock.on_step.append(write)


@pytest.mark.parametrize("early", [True, False])
def test_when_all_has_happened_the_last_of_it_counts(bench: Bench, early: bool) -> None:
    """What happened stays so: the promotion is 3 s after the first, the line comes before it or long after it."""
    method = [FIRST | {"at": "1s"}, {
        "inject": CUT, "name": "second", "target": {"node": "db3"}, "during": "first", "when": {"all": [PROMOTED, LOGGED]},
        "within": "29s", "for": "2s",
    }]  # fmt: skip
    plain = Bench(bench.run.path.parent / "plain")
    zero_s = next(e["t_ns"] for e in plain.go(method=method[:1]) if e["kind"] == "baseline.ended") / 1e9 - START_NS / 1e9
    logs_at(bench, zero_s + (2.5 if early else 12))
    events = bench.go(method=method)
    triggered = said(events, "action.triggered")["second"]
    assert triggered["details"].count("; ") == 1
    assert "db2 gained the role primary" in triggered["details"]
    assert "promoted to leader" in triggered["details"]
    after_s = said(events, "fault.injected")["second"]["at_s"] - said(events, "fault.injected")["first"]["at_s"]
    assert (3.0 <= after_s < 3.4) if early else (10.9 <= after_s < 11.5)
    assert healed(bench)


def test_what_must_hold_at_the_same_time_is_not_met_by_one_after_the_other(bench: Bench) -> None:
    """db1 leads until its power goes; the client is back when another one leads. Both hold once, and never together."""
    back = {"client": "orders", "is": "back"}
    first_leader = {"role": "primary", "held_by": "db1"}
    second = {
        "inject": CUT, "name": "second", "target": {"node": "db3"}, "during": "first", "when": {"all": [back, first_leader]},
        "within": "25s", "for": "1s",
    }  # fmt: skip
    events = bench.go(method=[FIRST | {"inject": "node.power_off"}, second])
    reason = said(events, "action.skipped")["second"]["reason"]
    assert "the client orders is back and db1 holds the role primary" in reason
    assert healed(bench)


def test_when_any_has_happened_the_first_of_it_counts(bench: Bench) -> None:
    never = {"role": "primary", "gained_by": "db3"}
    either = {"any": [never, {"all": [DOWN | {"for": "1s"}, {"role": "primary", "held_by": "nobody"}]}]}
    second = {"inject": CUT, "name": "second", "target": {"node": "db3"}, "during": "first", "when": either, "for": "1s"}
    events = bench.go(method=[FIRST | {"inject": "node.power_off"}, second])
    after_s = said(events, "fault.injected")["second"]["at_s"] - said(events, "fault.injected")["first"]["at_s"]
    assert 1.0 <= after_s < 2.5
    triggered = said(events, "action.triggered")["second"]
    assert "orders failed" in triggered["details"]
    assert "nobody held the role primary" in triggered["details"]
    words = "db3 gains the role primary or (the client orders is down for 1s and nobody holds the role primary)"
    assert triggered["what"] == words


def test_held_until_any_of_several_things(bench: Bench) -> None:
    until = {"any": [{"client": "orders", "is": "back"}, {"role": "primary", "gained_by": "db3"}]}
    events = bench.go(method=[FIRST | {"until": until}])
    held_s = said(events, "fault.healed")["first"]["at_s"] - said(events, "fault.injected")["first"]["at_s"]
    assert 3 + 5 < held_s < 12, "after the failover and the window S, long before the 30 s of `for`"


def test_when_and_until_a_file_is_there(bench: Bench) -> None:
    """Triggers by hand: one file lets it begin, another ends it."""

    def touch(now_ns: int) -> None:
        for name, at_s in (("GO", 45), ("ENOUGH", 52)):
            if now_ns > START_NS + at_s * 1_000_000_000:
                (bench.run.path / name).touch()

    bench.clock.on_step.append(touch)
    action = {"when": {"file": "GO"}, "within": "60s", "until": {"file": "ENOUGH"}, "for": "60s"}
    events = bench.go(method=[{"inject": CUT, "name": "cut", "target": {"node": "db3"}, **action}])
    assert said(events, "action.triggered")["cut"]["details"] == "GO was there"
    assert 45 <= (said(events, "fault.injected")["cut"]["began_ns"] - START_NS) / 1e9 < 45.2
    assert 52 <= (said(events, "fault.healed")["cut"]["began_ns"] - START_NS) / 1e9 < 52.2
    assert said(events, "fault.healing")["cut"]["because"] == "the file ENOUGH is there: ENOUGH was there"


# -- repetition, stagger, at once --------------------------------------------------------------------------------------------


def test_repetitions_are_injections_of_their_own(bench: Bench) -> None:
    method = [
        {"inject": CUT, "name": "cut", "target": {"node": "db3"}, "at": "1s", "for": "2s", "times": 3, "every": "10s"},
        {"inject": "node.hang", "name": "last", "target": {"of": "cut"}, "after": "cut", "for": "2s"},
    ]
    events = bench.go(method=method)
    injected = said(events, "fault.injected")
    assert list(injected) == ["cut", "cut-2", "cut-3", "last"]
    starts = [injected[name]["at_s"] for name in ("cut", "cut-2", "cut-3")]
    assert [b - a for a, b in pairwise(starts)] == pytest.approx([10, 10], abs=0.2)
    assert injected["last"]["at_s"] > said(events, "fault.healed")["cut-3"]["at_s"], "a name means all of its repetitions"
    assert injected["last"]["nodes"] == ["db3"]
    assert all(data["verified"] for data in said(events, "fault.effect").values())
    assert bench.undo().owed == 4
    assert healed(bench)


def test_nodes_are_hit_one_after_another(bench: Bench) -> None:
    method = [
        {"inject": CUT, "name": "cut", "target": {"nodes": ["db2", "db3"]}, "at": "1s", "for": "5s", "stagger": "2s"},
        {"inject": "node.hang", "name": "hang", "target": {"role": "replica"}, "at": "20s", "for": "5s", "stagger": "1s"},
    ]
    events = bench.go(method=method)
    injected, gone = said(events, "fault.injected"), said(events, "fault.healed")
    assert {n: d["nodes"] for n, d in injected.items()} == {"cut": ["db2"], "cut-2": ["db3"], "hang": ["db2"], "hang-2": ["db3"]}
    assert injected["cut-2"]["at_s"] - injected["cut"]["at_s"] == pytest.approx(2, abs=0.15)
    assert injected["hang-2"]["at_s"] - injected["hang"]["at_s"] == pytest.approx(1, abs=0.15)
    assert gone["hang-2"]["at_s"] - gone["hang"]["at_s"] == pytest.approx(1, abs=0.2)
    assert healed(bench)


def test_faults_of_one_instant_are_injected_before_any_effect_is_looked_for(bench: Bench) -> None:
    method = [
        {"inject": CUT, "name": "one", "target": {"node": "db2"}, "at": "1s", "for": "8s"},
        {"inject": "node.hang", "name": "two", "target": {"node": "db3"}, "at": "1s", "for": "8s"},
    ]
    events = bench.go(method=method)
    order = [e["kind"] for e in events if e["kind"] in ("fault.preparing", "fault.injected", "fault.effect")]
    assert order == ["fault.preparing"] * 2 + ["fault.injected"] * 2 + ["fault.effect"] * 2
    injected = said(events, "fault.injected")
    assert injected["two"]["began_ns"] - injected["one"]["ended_ns"] < 10_000_000
    assert all(data["verified"] for data in said(events, "fault.effect").values())
    assert bench.ended_by is None


def test_a_clash_at_run_time_leaves_the_other_fault_alone(bench: Bench) -> None:
    method = [
        FIRST | {"for": "10s"},
        {"inject": CUT, "name": "second", "target": {"node": "db1"}, "at": "4s", "for": "2s"},
    ]
    events = bench.go(method=method)
    assert "first is in force and holds links:db1" in said(events, "action.skipped")["second"]["reason"]
    held_s = said(events, "fault.healed")["first"]["at_s"] - said(events, "fault.injected")["first"]["at_s"]
    assert held_s == pytest.approx(10, abs=0.3)
    assert bench.ended_by is None
    assert healed(bench)


# -- until -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("until", "held_s", "because"),
    [
        (PROMOTED, 3.0, "db2 gained the role primary"),
        ({"role": "primary", "gained_by": "db3"}, 12.0, "12s are over, and not yet"),
    ],
)
def test_a_fault_is_held_until_something_happens_or_its_time_is_over(
    bench: Bench, until: dict[str, Any], held_s: float, because: str
) -> None:
    events = bench.go(method=[FIRST | {"for": "12s", "until": until}])
    seen_s = said(events, "fault.healing")["first"]["at_s"] - said(events, "fault.injected")["first"]["at_s"]
    assert seen_s == pytest.approx(held_s, abs=0.3)
    assert because in said(events, "fault.healing")["first"]["because"]
    assert healed(bench)


# -- blast radius ----------------------------------------------------------------------------------------------------------


HANG = {"inject": "node.hang", "name": "first", "target": {"node": "db3"}, "at": "2s", "for": "40s"}


@pytest.mark.parametrize(
    ("radius", "second", "why"),
    [
        ({"max-targets": 1}, {"inject": CUT, "target": {"role": "primary"}}, "2 nodes under fault at once (db1, db3)"),
        ({"protected": {"roles": "primary"}}, {"inject": CUT, "target": {"node": "db1"}}, "db1, which holds the role primary"),
        ({"protected": {"nodes": ["db1"]}}, {"inject": CUT, "target": {"role": "primary"}}, "would hit db1, which is protected"),
        ({"protected": {"groups": ["app"]}}, {"inject": CUT, "target": {"not_of": "first"}}, "would hit app, which is protected"),
        (
            {"protected": {"ports": [5432]}},
            {"inject": "network.port_block", "target": {"role": "primary"}, "with": {"ports": [5432]}},
            "would block port 5432, which is protected",
        ),
        (
            {"protected": {"ports": [5432]}},
            {"inject": "network.port_block", "target": {"role": "primary"}, "with": {"udp_ports": ["5000-6000"]}},
            "would block port 5432, which is protected",
        ),
    ],
)
def test_what_goes_too_far_is_not_done_and_all_is_healed(
    bench: Bench, radius: dict[str, Any], second: dict[str, Any], why: str
) -> None:
    changes: dict[str, Any] = {"blast-radius": radius}
    events = bench.go(method=[HANG, second | {"name": "second", "at": "10s", "for": "5s"}], repeat=2, **changes)
    assert isinstance(bench.ended_by, BlastRadiusExceeded)
    assert why in str(bench.ended_by)
    assert "second" not in said(events, "fault.injecting")
    assert "first" in said(events, "fault.gone")
    assert [e["kind"] for e in events].count("trial.started") == 1
    assert healed(bench)


def test_a_protected_node_is_not_cut_off_by_cutting_its_neighbours(bench: Bench) -> None:
    method = [
        {"inject": CUT, "name": "one", "target": {"nodes": ["db1", "db3"]}, "at": "1s", "for": "20s"},
        {"inject": CUT, "name": "two", "target": {"node": "app"}, "at": "5s", "for": "5s"},
    ]
    events = bench.go(method=method, **{"blast-radius": {"protected": {"nodes": ["db2"]}}})
    assert isinstance(bench.ended_by, BlastRadiusExceeded)
    assert "two would cut db2 off from every other node" in str(bench.ended_by)
    assert "one" in said(events, "fault.gone")
    assert healed(bench)


# -- abort conditions ------------------------------------------------------------------------------------------------------

FAIL = {"command": ["test", "-e", "/tmp/healthy"], "on": "app", "every": "1s"}


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ({"clients": {"orders": {"down_for": ">= 5s"}}}, "orders was down for 5"),
        ({"clients": {"orders": {"success": "< 50%", "over": "10s"}}}, "of the attempts of orders were ok over 10"),
        ({"file": "STOP"}, "STOP is there"),
        ({"probes": [FAIL]}, "'test -e /tmp/healthy' on app failed (exit code 1)"),
        ({"probes": [{"command": ["sh", "-c", "echo no quorum; exit 3"]}]}, "on this machine failed (exit code 3: no quorum)"),
        ({"probes": [{"command": ["sleep", "30"], "timeout": "100ms"}]}, "not done within 100ms"),
        ({"probes": [{"command": ["/nonexistent/probe"]}]}, "could not be run: No such file"),
        ({"probes": [{"http": "http://db1:5432/", "on": "db2"}]}, "http://db1:5432/ on db2 failed (http://db1:5432/: silent)"),
        ({"probes": [{"http": "http://127.0.0.1:1/"}]}, "http://127.0.0.1:1/ on this machine failed (exit code 1"),
    ],
)
def test_every_abort_condition_heals_and_then_ends_the_run(tmp_path: Path, when: dict[str, Any], why: str) -> None:
    bench = Bench(tmp_path / "run", lambda: SimulatedCluster(failover_s=None))

    def spoil(now_ns: int) -> None:
        cluster = bench.backend.labs[0].cluster if bench.backend.labs else None
        if cluster is not None and not cluster.cuts:
            cluster.touched.add("app:/tmp/healthy")
        if cluster is not None and cluster.cuts:
            cluster.touched.discard("app:/tmp/healthy")
            (bench.run.path / "STOP").touch()
            if "probes" in when and "on" not in when["probes"][0]:
                time.sleep(0.001)  # a process of this machine lives in real time

    bench.clock.on_step.append(spoil)
    events = bench.go(repeat=2, method=[FIRST | {"for": "60s"}], recovery="70s", **{"abort-when": when})
    assert isinstance(bench.ended_by, Aborted)
    assert why in str(bench.ended_by)
    assert [e["kind"] for e in events].count("trial.started") == 1
    (abort,) = [e for e in events if e["kind"] == "abort"]
    assert why in abort["data"]["reason"]
    assert why in events[-1]["data"]["incomplete"]
    assert healed(bench)
    assert bench.backend.labs[0].is_down


def test_probes_that_hold_abort_nothing(bench: Bench) -> None:
    bench.clock.on_step.append(lambda now: bench.backend.labs and bench.backend.labs[0].cluster.touched.add("app:/tmp/healthy"))
    page = {"http": "http://db3:5432/", "on": "app"}
    when = {"probes": [FAIL, page, {"command": ["true"]}], "file": ["STOP", str(bench.run.path / "nowhere" / "STOP")]}
    when["clients"] = {"orders": {"success": "< 50%", "over": "10s"}}
    bench.go(**{"abort-when": when})
    assert bench.ended_by is None


def test_a_file_that_is_there_already_lets_nothing_be_broken(bench: Bench) -> None:
    (bench.run.path / "STOP").touch()
    events = bench.go(**{"abort-when": {"file": "STOP"}})
    assert isinstance(bench.ended_by, Aborted)
    assert not [e for e in events if e["kind"].startswith("fault.")]


@pytest.mark.parametrize("phase", ["building", "getting ready", "baseline", "method", "recovery", "reading back"])
def test_sigusr1_aborts_in_every_phase(bench: Bench, phase: str) -> None:
    bench.progress.on_phase[phase] = lambda: os.kill(os.getpid(), signal.SIGUSR1)
    events = bench.go(repeat=2)
    assert isinstance(bench.ended_by, Aborted)
    assert "SIGUSR1" in events[-1]["data"]["incomplete"]
    assert all(lab.is_down for lab in bench.backend.labs)
    assert bench.undo().dirty == ()
