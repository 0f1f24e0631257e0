"""Nodes of a real lab, drained and taken back by the lab's own commands."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.faults.node_drain import NodeDrain
from chaoskit.model.drain import DrainPlan
from chaoskit.model.errors import StepFailed
from chaoskit.model.steps import Exec

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]


def test_a_node_is_drained_on_every_balancer_that_the_lab_names(up: Up) -> None:
    drain = DrainPlan(
        on=("lb1", "lb2"), do=("touch", "/run/out-web"), undo=("rm", "-f", "/run/out-web"), shown=("test", "-e", "/run/out-web")
    )
    lab = up(plans.plan(plans.node("web", 0, drain=drain), plans.node("lb1", 1), plans.node("lb2", 2)))
    scene = LiveScene(lab, lambda _: (), random.Random(1))
    fault = NodeDrain()
    facts = fault.prepare(scene, ("web",), "tag")
    checks = fault.effect(facts)
    assert len(checks) == 2

    def holds(side: str) -> bool:
        return seen_within(lab, checks, lambda c: getattr(c, side), 0.2, SystemClock())[0]

    for step in fault.heal(facts):
        lab.perform(step)
    assert (holds("in_force"), holds("healed")) == (False, True)
    first, *rest = fault.inject(facts)
    lab.perform(first)
    assert not holds("in_force"), "one balancer still sends work there"
    for step in rest:
        lab.perform(step)
    assert (holds("in_force"), holds("healed")) == (True, False)
    with pytest.raises(StepFailed, match="web is drained already"):
        fault.prepare(scene, ("web",), "tag")
    for _ in range(2):
        for step in fault.heal(facts):
            lab.perform(step)
        assert holds("healed")
    lab.perform(Exec(node="lb2", argv=("touch", "/run/out-web")))
    with pytest.raises(StepFailed, match="web is drained already"):
        fault.prepare(scene, ("web",), "tag")


def test_what_the_lab_does_not_say_or_cannot_tell_is_refused(up: Up) -> None:
    unclear = DrainPlan(on=("n1",), do=("true",), undo=("true",), shown=("sh", "-c", "echo who knows; exit 3"))
    lab = up(plans.plan(plans.node("n0", 0), plans.node("n1", 1, drain=unclear)))
    scene = LiveScene(lab, lambda _: (), random.Random(1))
    with pytest.raises(StepFailed, match="does not say how n0 is drained"):
        NodeDrain().prepare(scene, ("n0",), "tag")
    with pytest.raises(StepFailed, match=r"cannot be told.*exit code 3.*who knows"):
        NodeDrain().prepare(scene, ("n1",), "tag")
