"""Shapes of a partition in a real lab of five nodes and a client."""

from __future__ import annotations

import random
from typing import Any

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.faults.network_partition import NetworkPartition
from chaoskit.model.facts import Check, ReachQuery
from chaoskit.model.steps import CutLinks, JoinLinks, Link

from . import plans
from .conftest import Up

pytestmark = pytest.mark.lab

SHAPES: list[tuple[str, dict[str, Any]]] = [
    ("bridge", {}),
    ("ring", {}),
    ("majority", {"clients": "target"}),
    ("minority", {"clients": "others"}),
    ("halves", {}),
    ("each", {"clients": "target"}),
    ("sides", {"direction": "to_target"}),
    ("sides", {"direction": "from_target", "clients": "target"}),
]


def proven(lab: NamespaceLab, checks: tuple[Check, ...], side: str) -> tuple[bool, list[str]]:
    held, rows = seen_within(lab, checks, lambda c: getattr(c, side), 1.0, SystemClock())
    return held, [f"{row['means']}: {row['seen']}" for row in rows if not row["holds"]]


def test_each_shape_cuts_what_it_says_and_nothing_else(up: Up) -> None:
    lab = up(plans.bare(6).model_copy(update={"clients": ("n5",)}))
    scene = LiveScene(lab, lambda _: (), random.Random(3))
    for shape, more in SHAPES:
        fault = NetworkPartition.model_validate({"shape": shape, **more})
        facts = fault.prepare(scene, ("n1",), "shape")
        checks = fault.effect(facts)
        assert not proven(lab, checks, "in_force")[0], shape
        for step in fault.inject(facts):
            lab.perform(step)
        assert proven(lab, checks, "in_force") == (True, []), shape
        for step in fault.heal(facts):
            lab.perform(step)
        assert proven(lab, checks, "healed") == (True, []), shape


def test_a_partition_that_cuts_too_much_is_seen(up: Up) -> None:
    lab = up(plans.bare(4))
    fault = NetworkPartition(shape="halves", direction="both")
    facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "halves")
    one, two = facts.sides[0]
    for step in fault.inject(facts):
        lab.perform(step)
    lab.perform(CutLinks(tag="more", links=(Link(source=one, destination=two),)))
    held, wrong = proven(lab, fault.effect(facts), "in_force")
    assert (held, wrong) == (False, [f"{two} and {one} hear each other: silent"])
    lab.perform(JoinLinks(tag="more"))
    assert proven(lab, fault.effect(facts), "in_force") == (True, [])


def test_a_cut_of_a_tag_that_is_there_already_takes_its_place(up: Up) -> None:
    lab = up(plans.bare(3))
    for other, spared in (("n1", "n2"), ("n2", "n1"), ("n2", "n1")):
        lab.perform(CutLinks(tag="same", links=(Link(source="n0", destination=other),)))
        seen = [lab.read(ReachQuery(source="n0", destination=node)).value for node in (other, spared)]
        assert seen == ["silent", "answered"]
