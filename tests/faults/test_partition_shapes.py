"""Shapes of a partition: who hears whom, on a scene made of names."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest

from chaoskit.faults.network_partition import NetworkPartition
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Query, Reading
from chaoskit.ports.fault import Facts


class Names:
    """db1..dbN and app, on one network unless said otherwise."""

    def __init__(self, count: int, seed: int = 1, networks: dict[str, tuple[str, ...]] | None = None) -> None:
        self.nodes = (*(f"db{i + 1}" for i in range(count)), "app")
        self.observers = ("app",)
        self._chance, self._networks = random.Random(seed), networks or {}

    def groups(self) -> dict[str, Sequence[str]]:
        return {}

    def read(self, query: Query) -> Reading:
        raise AssertionError(f"nothing needs to be read: {query}")

    def resolve(self, selector: Selector) -> tuple[str, ...]:
        return (selector.node,) if selector.node else selector.nodes

    def networks_of(self, node: str) -> Sequence[str]:
        return self._networks.get(node, ("lan",))

    def shuffled(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._chance.sample(tuple(nodes), len(nodes)))


def prepared(count: int, *target: str, seed: int = 1, **parameters: Any) -> Facts:
    return NetworkPartition.model_validate(parameters).prepare(Names(count, seed), target or ("db1",), "tag")


def whole(facts: Facts) -> set[tuple[str, str]]:
    """Pairs of which both ways work. The two lists must agree with each other."""
    cut = {(link.source, link.destination) for link in facts.cut}
    kept = {(link.source, link.destination) for link in facts.kept}
    nodes = {name for pair in cut | kept for name in pair}
    assert not cut & kept
    assert len(cut | kept) == len(nodes) * (len(nodes) - 1)
    return {(a, b) for a, b in combinations(sorted(nodes), 2) if (a, b) in kept and (b, a) in kept}


def within(*sides: str) -> set[tuple[str, str]]:
    return {(f"db{a}", f"db{b}") for side in sides for a, b in combinations(sorted(side), 2)}


def clients(members: str) -> set[tuple[str, str]]:
    return {("app", f"db{n}") for n in members}


def test_a_bridge_joins_two_halves_that_do_not_hear_each_other() -> None:
    facts = prepared(5, "db3", shape="bridge")
    assert whole(facts) == within("123", "345") | clients("12345")
    with pytest.raises(StepFailed, match="a bridge is one node"):
        prepared(5, "db1", "db2", shape="bridge")


def test_in_a_ring_each_hears_its_two_neighbours() -> None:
    facts = prepared(5, shape="ring", clients="target")
    assert whole(facts) == within("12", "23", "34", "45", "15") | clients("1")
    with pytest.raises(StepFailed, match="a ring of 3 cuts nobody off"):
        prepared(3, shape="ring")


def test_each_alone() -> None:
    assert whole(prepared(4, shape="each", clients="others")) == clients("234")


@pytest.mark.parametrize(("count", "minority"), [(2, 0), (3, 1), (4, 1), (5, 2), (7, 3)])
def test_the_target_is_in_the_majority_or_the_minority(count: int, minority: int) -> None:
    greater = prepared(count, "db2", shape="majority") if count > 2 else None
    if greater is not None:
        near, far = greater.sides
        assert ("db2" in near, len(near), len(far)) == (True, count - minority, minority)
    if minority == 0:
        with pytest.raises(StepFailed, match="the minority of 2 nodes is 0"):
            prepared(count, "db2", shape="minority")
        return
    near, far = prepared(count, "db2", shape="minority").sides
    assert ("db2" in near, len(near), len(far)) == (True, minority, count - minority)


def test_halves_are_drawn_by_the_seed() -> None:
    drawn = [prepared(6, shape="halves", seed=seed).sides for seed in (1, 1, *range(2, 12))]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 3
    assert all(len(one) == len(two) == 3 and len({*one, *two}) == 6 for one, two in drawn)


def test_one_way_only_frames_towards_the_targets_side_are_lost_and_the_open_way_is_checked() -> None:
    facts = prepared(3, direction="to_target", clients="target")
    lost = {(link.source, link.destination) for link in facts.cut}
    assert lost == {("db2", "db1"), ("db3", "db1"), ("db2", "app"), ("db3", "app")}
    checks = NetworkPartition(direction="to_target", clients="target").effect(facts)
    asked = {(c.query.source, c.query.destination): c for c in checks}  # type: ignore[union-attr]
    assert asked["db1", "db2"].in_force == ("answered",)
    assert asked["db2", "db1"].in_force == ("silent", "unreachable")
    assert {p for p, c in asked.items() if c.query.way == "round_trip"} == {("db2", "db3"), ("app", "db1")}  # type: ignore[union-attr]


def test_only_the_network_asked_for_is_cut() -> None:
    scene = Names(3, networks={"db1": ("lan", "san"), "db2": ("san",), "db3": ("lan",)})
    facts = NetworkPartition(network="san").prepare(scene, ("db1",), "tag")
    assert {(link.source, link.destination) for link in facts.cut} == {("db1", "db2"), ("db2", "db1")}
    assert facts.kept == ()
    with pytest.raises(StepFailed, match="nothing to cut"):
        NetworkPartition(network="lan").prepare(scene, ("db2",), "tag")
