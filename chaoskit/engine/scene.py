"""What a fault may look at while it prepares: the lab as it is right now."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from chaoskit.model.drain import DrainPlan
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Query, Reading
from chaoskit.model.lab import LabPlan
from chaoskit.ports.lab import Lab

RoleHolders = Callable[[str], tuple[str, ...] | None]
"""Role -> who holds it now; None where no role watcher has said yet."""


def chosen_nodes(
    selector: Selector,
    groups: Mapping[str, Sequence[str]],
    holders: RoleHolders,
    chance: random.Random,
    hit: Mapping[str, Sequence[str]],
) -> tuple[str, ...]:
    """Nodes for a selector: each key narrows the choice, `count` takes that many. StepFailed where none is left.

    `hit`: name -> the nodes that an action has hit so far.
    """
    everyone = tuple(node for members in groups.values() for node in members)
    found = everyone
    if selector.node is not None:
        found = tuple(n for n in found if n == selector.node)
    if selector.nodes:
        found = tuple(n for n in found if n in selector.nodes)
    if selector.group is not None:
        found = tuple(n for n in found if n in groups.get(selector.group, ()))
    if selector.role is not None:
        holding = holders(selector.role)
        if not holding:
            raise StepFailed(f"no node holds the role {selector.role!r} now, so there is no target")
        found = tuple(n for n in found if n in holding)
    for name, inside in ((selector.of, True), (selector.not_of, False)):
        if name is not None and name not in hit:
            raise StepFailed(f"the action {name} has hit nothing yet, so it tells no target")
        found = tuple(n for n in found if name is None or (n in hit[name]) is inside)
    if not found:
        said = selector.model_dump(exclude_defaults=True)
        raise StepFailed(f"no node is left for the target {said}")
    if selector.count is not None:
        if selector.count > len(found):
            raise StepFailed(f"the target asks for {selector.count} nodes, and only {len(found)} match: {', '.join(found)}")
        found = tuple(sorted(chance.sample(found, selector.count)))
    return found


class LiveScene:
    """The scene of a lab that is up."""

    def __init__(self, lab: Lab, holders: RoleHolders, chance: random.Random) -> None:
        self._lab = lab
        self._holders = holders
        self._chance = chance
        self.nodes = tuple(node.name for node in lab.plan.nodes)
        self.observers = lab.plan.clients
        self.hit: dict[str, tuple[str, ...]] = {}
        """Action -> the nodes that it hit."""

    def groups(self) -> Mapping[str, Sequence[str]]:
        return groups_of(self._lab.plan)

    def read(self, query: Query) -> Reading:
        return self._lab.read(query)

    def resolve(self, selector: Selector) -> tuple[str, ...]:
        return chosen_nodes(selector, self.groups(), self._holders, self._chance, self.hit)

    def drain_of(self, node: str) -> DrainPlan | None:
        return self._lab.plan.node(node).drain

    def networks_of(self, node: str) -> Sequence[str]:
        return tuple(interface.network for interface in self._lab.plan.node(node).interfaces)

    def address_of(self, node: str, network: str) -> str:
        return self._lab.plan.address(node, network)

    def shuffled(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._chance.sample(tuple(nodes), len(nodes)))


def groups_of(plan: LabPlan) -> Mapping[str, tuple[str, ...]]:
    """Group -> its nodes, in the order of the lab."""
    groups: dict[str, tuple[str, ...]] = {}
    for node in plan.nodes:
        groups[node.group] = (*groups.get(node.group, ()), node.name)
    return groups
