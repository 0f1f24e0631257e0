from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import ClassVar, Literal

from chaoskit.model.capability import NETWORK_CUT, Need
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check
from chaoskit.model.steps import CutLinks, JoinLinks, Link, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class NetworkPartition(Fault):
    """Split the cluster: nodes on different sides do not hear each other, nodes on one side do.

    The target is the first side. Without `others`, every remaining node but the client nodes is the second.
    """

    NAME = "network.partition"
    OUTAGE = "a failed switch or inter-switch link, a broken route between racks or zones, a firewall change"
    EXAMPLE: ClassVar = {
        "inject": "network.partition",
        "target": {"role": "primary"},
        "with": {"clients": "everyone"},
        "at": "10s",
        "for": "30s",
    }

    others: tuple[Selector, ...] = ()
    """The further sides, one selector each."""
    direction: Literal["both", "to_target", "from_target"] = "both"
    """One way only: frames towards the target, or from it, are dropped."""
    clients: Literal["everyone", "target", "others"] = "everyone"
    """Whom the client nodes still reach."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_CUT, why="to drop frames between the sides on the lab's switch, all at once"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        taken, sides = set(nodes), [tuple(nodes)]
        for selector in self.others:
            side = tuple(node for node in scene.resolve(selector) if node not in taken)
            taken.update(side)
            sides.append(side)
        if not self.others:
            sides.append(tuple(n for n in scene.nodes if n not in taken and n not in scene.observers))
        if self.clients == "target":
            sides[0] += facts.observers
        elif self.clients == "others":
            sides[1] += facts.observers
        return facts.model_copy(
            update={
                "sides": tuple(side for side in sides if side),
                "shared": {n: tuple(m for m in scene.nodes if m != n and _meet(scene, n, m)) for n in scene.nodes},
            }
        )

    def _pairs(self, facts: Facts) -> Iterator[tuple[str, str, bool]]:
        """(a, b, a is on the target's side) for every two nodes on different sides that share a network."""
        for (i, one), (_, two) in combinations(enumerate(facts.sides), 2):
            for a in one:
                for b in two:
                    if b in facts.shared.get(a, ()):
                        yield a, b, i == 0

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        links: list[Link] = []
        for a, b, with_target in self._pairs(facts):
            if self.direction != "to_target" or not with_target:
                links.append(Link(source=a, destination=b))
            if self.direction != "from_target" or not with_target:
                links.append(Link(source=b, destination=a))
        return (CutLinks(tag=facts.tag, links=tuple(links), network=self.network),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(Check.silence(a, b, self.network) for a, b, _ in self._pairs(facts))


def _meet(scene: Scene, one: str, two: str) -> bool:
    return bool(set(scene.networks_of(one)) & set(scene.networks_of(two)))
