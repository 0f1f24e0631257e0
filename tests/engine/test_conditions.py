"""What conditions rest on: who held a role when, what a log says, what a command answers, and previews of every fault."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.conditions import LogFollower, Met, Wait
from chaoskit.engine.leading import RoleHistory
from chaoskit.engine.previewing import PreviewScene
from chaoskit.engine.probing import Answer, RepeatedProbe
from chaoskit.engine.registry import Registry
from chaoskit.model.condition import Condition, LogLine, Probe
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Action
from chaoskit.ports.watcher import RoleChanged
from chaoskit.surfaces.catalogue import example_lab, example_plan
from tests.simulated.clock import FakeClock

S = 1_000_000_000


def history(*changes: tuple[int, str, int | None]) -> RoleHistory:
    """(second, node, state) of each change."""
    made, states = RoleHistory(), dict[str, int | None]()
    for at_s, node, state in changes:
        before, states[node] = states.get(node), state
        made.note(RoleChanged(role="primary", node=node, state=state, before=before, between_ns=(0, at_s * S)), states)
    return made


def test_a_node_that_only_fell_silent_gains_nothing_when_it_answers_again() -> None:
    seen = history((1, "db1", 1), (5, "db1", None), (6, "db1", 1))
    assert seen.gains_since("primary", 2 * S) == ()
    assert seen.holders_at("primary", 5 * S) == {"db1"}


def test_a_silent_holder_is_one_no_more_once_another_leads_and_gains_when_it_comes_back() -> None:
    seen = history((1, "db1", 1), (5, "db1", None), (8, "db2", 1), (20, "db2", 0), (21, "db1", 1))
    assert seen.gains_since("primary", 5 * S) == ((8 * S, "db2"), (21 * S, "db1"))
    assert seen.known_holders("primary") == {"db1"}
    assert seen.holders_at("primary", 9 * S) == {"db2"}


def test_two_who_answer_hold_it_both() -> None:
    assert history((1, "db1", 1), (5, "db2", 1)).known_holders("primary") == {"db1", "db2"}


def test_who_led_last_counts_where_nobody_does_when_the_wait_begins() -> None:
    seen = history((1, "db1", 1), (5, "db1", 0), (9, "db2", 1))
    assert seen.holders_at("primary", 7 * S) == {"db1"}


def test_a_line_counts_once_and_only_when_it_is_whole(tmp_path: Path) -> None:
    log, clock = tmp_path / "db1" / "store.log", FakeClock()
    log.parent.mkdir()
    log.write_text("promoted before\n")
    follower = LogFollower(tmp_path, LogLine(service="store", says="promoted"), clock)
    with log.open("a") as file:
        file.write("other\npromo")
        file.flush()
        follower.poll()
        assert follower.found == []
        file.write("ted now\n")
        file.flush()
        follower.poll()
        follower.poll()
    assert [met.how for met in follower.found] == ["db1: promoted now"]
    log.write_text("promoted anew\n")  # rotated: shorter than it was
    follower.poll()
    (tmp_path / "db2").mkdir()
    (tmp_path / "db2" / "store.log").write_text("promoted as well\n")
    (tmp_path / "db2" / "other.log").write_text("promoted elsewhere\n")
    follower.poll()
    assert [met.how for met in follower.found][1:] == ["db1: promoted anew", "db2: promoted as well"]


def test_what_must_last_begins_anew_after_a_break_and_after_a_time_nobody_looked() -> None:
    clock, holds = FakeClock(), True
    condition = Condition.model_validate({"role": "primary", "held_by": "nobody", "for": "2s"})
    wait = Wait(condition, 0, lambda _: Met(clock.monotonic_ns(), "nobody") if holds else None)

    def met_after(seconds: float) -> bool:
        clock.sleep(seconds)
        return wait.met(clock.monotonic_ns()) is not None

    assert not any(met_after(0.5) for _ in range(4))
    holds = False
    assert not met_after(0.5)
    holds = True
    assert not any(met_after(0.5) for _ in range(3))
    assert not met_after(5), "nobody looked for 5 s"
    assert [met_after(0.5) for _ in range(4)] == [False, False, False, True]


class Nobody:
    """A lab that is not asked."""


def answered(probe: RepeatedProbe) -> Answer:
    deadline = time.monotonic() + 20
    while (answer := probe.poll()) is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return answer


def lives(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def local(tmp_path: Path, *command: str, **more: str) -> RepeatedProbe:
    lab: Any = Nobody()
    return RepeatedProbe(Probe(command=command, **more), lab, tmp_path, FakeClock())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("script", "ok", "words"),
    [
        ("pwd", True, "exit code 0: {tmp_path}"),
        ("echo no quorum >&2; exit 3", False, "exit code 3: no quorum"),
        ("head -c 300000 /dev/zero | tr '\\0' x; echo; echo end", True, "x end"),
        ("sleep 60 & echo left; exit 0", True, "exit code 0: left"),
    ],
)
def test_a_probe_on_this_machine(tmp_path: Path, script: str, ok: bool, words: str) -> None:
    answer = answered(local(tmp_path, "sh", "-c", script, timeout="10s"))
    assert (answer.ok, words.format(tmp_path=tmp_path) in answer.said) == (ok, True), answer


def test_a_probe_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    probe = local(tmp_path, "sh", "-c", "sleep 4711 & echo $! > child; wait", timeout="500ms")
    answer = answered(probe)
    assert (answer.ok, answer.said) == (False, "it was not done within 500ms")
    child = int((tmp_path / "child").read_text())
    deadline = time.monotonic() + 10
    while lives(child):
        assert time.monotonic() < deadline, "its child still runs"
        time.sleep(0.01)


@pytest.mark.parametrize("name", Registry().names("faults"))
def test_a_plan_shows_the_steps_of_every_fault_or_says_what_they_depend_on(name: str) -> None:
    kind = Registry().load("faults", name)
    action = Action.model_validate(dict(kind.EXAMPLE))
    fault = kind.model_validate(action.parameters)
    scene = PreviewScene(example_plan(example_lab(action)), random.Random(0), fault)
    try:
        facts = fault.prepare(scene, scene.resolve(action.target), "tag")
    except StepFailed as error:
        said = str(error)
    else:
        said = ""
    if said:
        assert "depends on" in said
        return
    assert fault.inject(facts)
    assert all(step.words() for step in (*fault.inject(facts), *fault.heal(facts)))
