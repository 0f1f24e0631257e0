"""Services of a real lab, stopped and started as an operator does."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.faults.service_disable import ServiceDisable
from chaoskit.faults.service_stop import ServiceStop
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ServiceEnabledQuery, ServiceQuery
from chaoskit.model.steps import Exec, PowerOff, PowerOn, StartService, StopService

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]


def state(lab: NamespaceLab, service: str, node: str = "n0") -> str | None:
    return lab.read(ServiceQuery(node=node, service=service)).value


def count(lab: NamespaceLab, name: str) -> int:
    return int(lab.perform(Exec(node="n0", argv=("sh", "-c", f"grep -lsx {name} /proc/[0-9]*/comm | wc -l"))).output)


def test_a_stopped_service_stays_down_though_it_is_always_restarted_until_the_heal(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(restart="always"),))))
    fault = ServiceStop(service="sleeper")
    facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")
    for step in fault.inject(facts):
        assert lab.perform(step).output == "TERM"
    assert seen_within(lab, fault.effect(facts), lambda c: c.in_force, 1.0, SystemClock())[0]
    time.sleep(1.0)  # a restart would come after 0.2 s
    assert state(lab, "sleeper") == "exited"
    with pytest.raises(StepFailed, match="sleeper on n0 is exited"):
        fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")
    for _ in range(2):
        for step in fault.heal(facts):
            lab.perform(step)
        assert state(lab, "sleeper") == "running"
    lab.perform(Exec(node="n0", argv=("sh", "-c", "kill -9 $(grep -lsx sleep /proc/[0-9]*/comm | cut -d/ -f3)")))
    deadline = time.monotonic() + 5
    while state(lab, "sleeper") != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state(lab, "sleeper") == "running", "once healed, it is supervised as before"


def test_one_that_ignores_term_is_killed_with_everything_it_started(up: Up) -> None:
    deaf = plans.service("deaf", "sh", "-c", "trap '' TERM; sleep 1000 & sleep 1000")
    lab = up(plans.plan(plans.node("n0", 0, services=(deaf,))))
    assert count(lab, "sleep") == 2
    done = lab.perform(StopService(node="n0", service="deaf", grace_s=0.3))
    assert done.output == "KILL after 0.3 s"
    assert (done.ended_ns - done.began_ns) / 1e9 >= 0.3
    assert (state(lab, "deaf"), count(lab, "sleep")) == ("exited", 0)
    assert lab.perform(StopService(node="n0", service="deaf")).output == "it did not run"


def test_a_boot_starts_what_was_stopped_and_a_node_that_is_off_has_nothing_to_stop(up: Up) -> None:
    lab: Any = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(),))))
    lab.perform(StopService(node="n0", service="sleeper"))
    lab.perform(PowerOff(node="n0"))
    with pytest.raises(StepFailed, match="n0 is off"):
        lab.perform(StopService(node="n0", service="sleeper"))
    lab.perform(PowerOn(node="n0"))
    deadline = time.monotonic() + 5
    while state(lab, "sleeper") != "running" and time.monotonic() < deadline:
        time.sleep(0.05)
    assert state(lab, "sleeper") == "running"
    lab.perform(StartService(node="n0", service="sleeper"))


def settled(lab: NamespaceLab, service: str, wanted: str, within_s: float = 5.0) -> str | None:
    deadline = time.monotonic() + within_s
    while (seen := state(lab, service)) != wanted and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def test_a_disabled_service_runs_on_and_is_not_started_at_boot_nor_after_its_exit(up: Up) -> None:
    both = (plans.sleeper(restart="always"), plans.sleeper("other"), plans.sleeper("once", restart="never"))
    lab: Any = up(plans.plan(plans.node("n0", 0, services=both)))
    scene = LiveScene(lab, lambda _: (), random.Random(1))
    fault = ServiceDisable(service="sleeper")
    facts = fault.prepare(scene, ("n0",), "tag")
    checks = fault.effect(facts)
    assert not seen_within(lab, checks, lambda c: c.in_force, 0.1, SystemClock())[0]
    for step in fault.inject(facts):
        lab.perform(step)
    assert seen_within(lab, checks, lambda c: c.in_force, 0.1, SystemClock())[0]
    assert state(lab, "sleeper") == "running", "it runs on"
    with pytest.raises(StepFailed, match="sleeper on n0 is disabled, not enabled"):
        fault.prepare(scene, ("n0",), "tag")
    lab.perform(Exec(node="n0", argv=("sh", "-c", "kill -9 $(grep -lsx sleep /proc/[0-9]*/comm | cut -d/ -f3)")))
    assert settled(lab, "sleeper", "exited") == "exited"
    time.sleep(1.0)  # a restart would come after 0.2 s
    assert state(lab, "sleeper") == "exited"
    lab.perform(StartService(node="n0", service="sleeper"))
    assert state(lab, "sleeper") == "running", "by hand it can be started"
    lab.perform(PowerOff(node="n0"))
    lab.perform(PowerOn(node="n0"))
    assert settled(lab, "other", "running") == "running"
    time.sleep(0.5)
    assert state(lab, "sleeper") == "exited", "the boot did not start it"
    assert lab.read(ServiceEnabledQuery(node="n0", service="sleeper")).value == "disabled"
    for _ in range(2):
        for step in fault.heal(facts):
            lab.perform(step)
        assert seen_within(lab, checks, lambda c: c.healed, 1.0, SystemClock())[0]
    lab.perform(PowerOff(node="n0"))
    lab.perform(PowerOn(node="n0"))
    assert settled(lab, "sleeper", "running") == "running", "once healed, a boot starts it"
    assert lab.read(ServiceEnabledQuery(node="n0", service="once")).value == "never"
