"""Every registered fault on the simulated lab: it bites, is seen, heals, twice, without inject, and from the journal alone."""

from __future__ import annotations

import random
from importlib.metadata import entry_points
from typing import Any

import pytest

from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.model.capability import Need
from chaoskit.model.experiment import Action, Selector
from chaoskit.model.facts import Check
from chaoskit.model.steps import STEP, Step
from chaoskit.ports.fault import Fault
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.lab import ALL_CAPABILITIES, DEEDS, SimulatedBackend, SimulatedLab
from tests.simulated.plans import lab_plan, routed_plan

FAULTS: dict[str, type[Fault]] = {point.name: point.load() for point in entry_points(group="chaoskit.faults")}


def parameters(fault: type[Fault]) -> dict[str, Any]:
    """The parameters of the fault's own example, with processes that the simulated nodes have."""
    given = dict(Action.model_validate(fault.EXAMPLE).parameters)
    return given | ({"process": {"service": "database"}} if "process" in given else {})


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> SimulatedLab:
    clock = FakeClock()
    backend = SimulatedBackend(clock, lambda: SimulatedCluster(failover_s=None))
    routed = "fault" in request.fixturenames and request.getfixturevalue("fault").NAME == "network.router_failure"
    plan = routed_plan() if routed else lab_plan()
    made = backend.up(plan, "lab-1", "run-1", None, detached=False, progress=print)  # type: ignore[arg-type]
    clock.sleep(0.1)
    return made


@pytest.fixture(params=sorted(FAULTS))
def fault(request: pytest.FixtureRequest) -> Fault:
    kind = FAULTS[request.param]
    return kind.model_validate(parameters(kind))


def scene(lab: SimulatedLab) -> LiveScene:
    return LiveScene(lab, lambda role: ("db1",) if role == "primary" else ("db2", "db3"), random.Random(1))


def holds(lab: SimulatedLab, checks: tuple[Check, ...], side: str) -> bool:
    return seen_within(lab, checks, lambda c: getattr(c, side), 1.0, lab.clock, nothing_is=side == "healed")[0]


def state(lab: SimulatedLab) -> dict[str, Any]:
    return lab.cluster.broken()


def performed(lab: SimulatedLab, steps: tuple[Step, ...]) -> None:
    for step in steps:
        lab.perform(STEP.validate_json(STEP.dump_json(step)))


def test_it_bites_is_seen_and_heals(fault: Fault, lab: SimulatedLab) -> None:
    before = state(lab)
    facts = fault.prepare(scene(lab), ("db1",), "tag")
    checks = fault.effect(facts)
    assert not holds(lab, checks, "in_force"), "the evidence is there before anything was done: it proves nothing"
    performed(lab, fault.inject(facts))
    assert holds(lab, checks, "in_force")
    performed(lab, fault.heal(facts))
    assert holds(lab, checks, "healed")
    assert state(lab) == before


def test_a_fault_that_does_nothing_is_not_verified(fault: Fault, lab: SimulatedLab) -> None:
    facts = fault.prepare(scene(lab), ("db1",), "tag")
    lab._backend.deaf = set(DEEDS)
    performed(lab, fault.inject(facts))
    assert not holds(lab, fault.effect(facts), "in_force")


def test_healing_twice_or_without_inject_is_harmless(fault: Fault, lab: SimulatedLab) -> None:
    before = state(lab)
    facts = fault.prepare(scene(lab), ("db1",), "tag")
    performed(lab, fault.heal(facts))
    assert state(lab) == before
    performed(lab, fault.inject(facts))
    performed(lab, fault.heal(facts))
    performed(lab, fault.heal(facts))
    assert state(lab) == before


def test_facts_and_steps_survive_json_and_are_pure(fault: Fault, lab: SimulatedLab) -> None:
    facts = fault.prepare(scene(lab), ("db1", "db2"), "tag")
    copy = type(facts).model_validate_json(facts.model_dump_json())
    assert copy == facts
    again = type(fault).model_validate_json(fault.model_dump_json())
    for make in ("inject", "heal", "effect"):
        assert getattr(fault, make)(facts) == getattr(again, make)(copy)


def test_needs_cover_the_steps(fault: Fault, lab: SimulatedLab) -> None:
    facts = fault.prepare(scene(lab), ("db1",), "tag")
    needed = {need.capability for need in fault.needs() if need.required}
    for step in fault.inject(facts):
        assert step.needed in (None, *needed), f"{step.kind} is not covered by needs()"
    assert all(isinstance(need, Need) and need.why and need.capability in ALL_CAPABILITIES for need in fault.needs())


def test_preparing_reads_only(fault: Fault, lab: SimulatedLab) -> None:
    fault.prepare(scene(lab), ("db1",), "tag")
    assert lab.performed == []


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_documentation_is_present(name: str) -> None:
    kind = FAULTS[name]
    assert name == kind.NAME
    assert kind.__doc__
    assert kind.__doc__.strip().splitlines()[0].endswith(".")
    assert kind.OUTAGE
    action = Action.model_validate(kind.EXAMPLE)
    assert action.inject == name
    kind.model_validate(action.parameters)
    assert not action.target.is_empty()


def test_partition_sides_and_directions(lab: SimulatedLab) -> None:
    kind = FAULTS["network.partition"]
    others = (Selector(node="db2"), Selector(node="db3"))
    three_ways = kind.model_validate({"others": others, "clients": "others"})
    facts = three_ways.prepare(scene(lab), ("db1",), "tag")
    assert facts.sides == (("db1",), ("db2",), ("db3",))
    performed(lab, three_ways.inject(facts))
    reach = {(a, b) for a in lab.cluster.nodes for b in lab.cluster.nodes if a < b and lab.cluster.reaches(a, b)}
    assert reach == {("app", "db2"), ("app", "db3")}
    one_way = kind.model_validate({"direction": "to_target"})
    facts = one_way.prepare(scene(lab), ("db1",), "tag")
    links = one_way.inject(facts)[0]
    assert {(link.source, link.destination) for link in links.links} == {("db2", "db1"), ("db3", "db1")}  # type: ignore[union-attr]
    ways = {(c.query.source, c.query.destination) for c in one_way.effect(facts) if c.query.way == "one_way"}  # type: ignore[union-attr]
    assert ways == {("db1", "db2"), ("db2", "db1"), ("db1", "db3"), ("db3", "db1")}
