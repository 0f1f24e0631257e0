"""Limits, without a lab: what counts as hit, and as cut off."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from chaoskit.engine.blast_radius import Surroundings, excess, hit_of
from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.steps import BlockPorts, CutLinks, Link, PowerOff, SetLink

AROUND = Surroundings(
    groups={"db": ("db1", "db2"), "app": ("app",)},
    shared={
        "db1": {"db2": frozenset({"lan", "san"}), "app": frozenset({"lan"})},
        "db2": {"db1": frozenset({"lan", "san"}), "app": frozenset({"lan"})},
        "app": {"db1": frozenset({"lan"}), "db2": frozenset({"lan"})},
    },
)


def cut(*pairs: str, network: str | None = None) -> CutLinks:
    links = tuple(Link(source=a, destination=b) for a, b in (pair.split(">") for pair in pairs))
    return CutLinks(tag="t", links=links, network=network)


@pytest.mark.parametrize(
    ("steps", "cut_off"),
    [
        ((cut("db1>db2", "db1>app"),), True),
        ((cut("db2>db1", "app>db1"),), True),
        ((cut("db1>db2"),), False),
        ((cut("db1>db2", "db1>app", network="lan"),), False),  # the other network is left
        ((cut("db1>db2", "db1>app", network="lan"), cut("db1>db2", network="san")), True),
    ],
)
def test_cut_off_means_from_everyone_on_every_network(steps: Sequence[CutLinks], cut_off: bool) -> None:
    radius = BlastRadius.model_validate({"protected": {"nodes": ["db1"]}})
    why = excess(radius, hit_of("x", ("db2",), steps), (), AROUND, lambda role: ())
    assert ("would cut db1 off" in why) is cut_off
    earlier = [hit_of("earlier", ("db2",), steps[:1])]
    if len(steps) > 1:
        assert "would cut db1 off" in excess(radius, hit_of("x", ("db2",), steps[1:]), earlier, AROUND, lambda role: ())


def test_every_node_that_a_step_acts_on_counts() -> None:
    radius = BlastRadius.model_validate({"max-targets": 1})
    alone = hit_of("one", ("db1",), (PowerOff(node="db1"),))
    assert excess(radius, alone, (), AROUND, lambda role: ()) == ""
    assert excess(radius, alone, [alone], AROUND, lambda role: ()) == "", "the same node twice is one node"
    more = hit_of("two", ("db1",), (PowerOff(node="db1"), SetLink(node="app", up=False)))
    assert "2 nodes under fault at once (app, db1)" in excess(radius, more, (), AROUND, lambda role: ())


def test_a_role_that_nobody_knows_of_protects_everything() -> None:
    radius = BlastRadius.model_validate({"protected": {"roles": ["primary"]}})
    hit = hit_of("one", ("db1",), ())
    assert "nobody knows now who holds it" in excess(radius, hit, (), AROUND, lambda role: None)
    assert "holds the role primary" in excess(radius, hit, (), AROUND, lambda role: ("db1",))
    assert excess(radius, hit, (), AROUND, lambda role: ("db2",)) == ""


def test_ports_are_protected_in_both_protocols() -> None:
    radius = BlastRadius.model_validate({"protected": {"ports": [53]}})
    blocks = [{"tcp": (53,)}, {"udp": (53, 80)}, {"tcp": ("50-60",)}, {"udp": ("53-53",)}]
    for block in (BlockPorts.model_validate({"tag": "t", "links": (), **ports}) for ports in blocks):
        assert "would block port 53" in excess(radius, hit_of("x", ("db1",), (block,)), (), AROUND, lambda role: ())
    beside = BlockPorts.model_validate({"tag": "t", "links": (), "tcp": ("1-52", "54-65535")})
    assert excess(radius, hit_of("x", ("db1",), (beside,)), (), AROUND, lambda role: ()) == ""


def test_the_stricter_limits_hold() -> None:
    one = BlastRadius.model_validate({"max-targets": 3, "protected": {"nodes": "db1", "ports": [22]}})
    two = BlastRadius.model_validate({"max-targets": 2, "protected": {"nodes": ["db1", "db2"], "roles": "primary"}})
    both = one.with_limits_of(two)
    assert both == two.with_limits_of(one).model_copy(update={"protected": both.protected})
    assert (both.max_targets, both.protected.nodes, both.protected.roles, both.protected.ports) == (
        2,
        ("db1", "db2"),
        ("primary",),
        (22,),
    )
    assert one.with_limits_of(BlastRadius()).max_targets == 3
