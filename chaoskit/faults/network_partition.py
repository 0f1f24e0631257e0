from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import ClassVar, Literal

from chaoskit.model.capability import NETWORK_CUT, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check, ReachQuery
from chaoskit.model.steps import CutLinks, JoinLinks, Link, Step
from chaoskit.ports.fault import Facts, Fault, Scene

Sides = list[tuple[str, ...]]
Pair = frozenset[str]


class NetworkPartition(Fault):
    """Split the cluster: nodes on different sides do not hear each other, nodes on one side do.

    With `shape: sides` the target is the first side; without `others`, every remaining node but the client nodes is the second.
    The other shapes are made of all nodes but the client nodes. All links are cut in one atomic act on the lab's switch. The
    evidence is the whole reachability matrix: what must be cut, and what must still work.
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

    shape: Literal["sides", "majority", "minority", "halves", "bridge", "ring", "each"] = "sides"
    """`sides`: the target and `others`; `majority`, `minority`: the target is on the larger or smaller of two sides, which chance
    fills up; `halves`: two halves by chance; `bridge`: two halves that both hear the target, one node, and only through it each
    other; `ring`: each node hears only its two neighbours, in the order of the lab; `each`: every node alone. Chance is the
    run's seed."""
    others: tuple[Selector, ...] = ()
    """With `shape: sides`: the further sides, one selector each."""
    direction: Literal["both", "to_target", "from_target"] = "both"
    """One way only: frames towards the target's side, or from it, are dropped; between two other sides both ways are."""
    clients: Literal["everyone", "target", "others"] = "everyone"
    """Whom the client nodes still reach: `target`: the target and its side (of a ring or bridge, the
    target alone); `others`: everyone but these."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_CUT, why="to drop frames between the sides on the lab's switch, all at once"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        members = tuple(node for node in scene.nodes if node in nodes or node not in scene.observers)
        sides, apart = self._shaped(scene, tuple(nodes), members)
        alone = self.shape in ("ring", "bridge")
        near = tuple(nodes) if alone else next((s for s in sides if set(nodes) <= set(s)), tuple(nodes))
        if self.clients == "target":
            apart |= {frozenset((c, m)) for c in facts.observers for m in members if m not in near}
            near += facts.observers
        elif self.clients == "others":
            apart |= {frozenset((c, m)) for c in facts.observers for m in near}
        cut: list[Link] = []
        kept: list[Link] = []
        for a, b in permutations((*members, *facts.observers), 2):
            if self._meet(scene, a, b):
                open_way = frozenset((a, b)) not in apart or self._passes(a in near, b in near)
                (kept if open_way else cut).append(Link(source=a, destination=b))
        if not cut:
            raise StepFailed(f"{self.NAME}: these sides share no network, so there is nothing to cut: {sides}")
        return facts.model_copy(update={"sides": tuple(sides), "cut": tuple(cut), "kept": tuple(kept)})

    def _meet(self, scene: Scene, one: str, two: str) -> bool:
        shared = set(scene.networks_of(one)) & set(scene.networks_of(two))
        return self.network in shared if self.network is not None else bool(shared)

    def _passes(self, from_target: bool, to_target: bool) -> bool:
        """Whether frames still pass this way between two nodes that are apart."""
        if from_target == to_target:
            return False
        return self.direction == ("from_target" if to_target else "to_target")

    def _shaped(self, scene: Scene, nodes: tuple[str, ...], members: tuple[str, ...]) -> tuple[Sides, set[Pair]]:
        """The sides, for reports, and every two nodes that do not hear each other. StepFailed where there are too few."""
        if self.shape == "ring":
            if len(members) < 4:
                raise StepFailed(f"{self.NAME}: a ring of {len(members)} cuts nobody off; it takes four nodes")
            near = {frozenset((a, b)) for a, b in zip(members, (*members[1:], members[0]), strict=True)}
            return [members], {frozenset(pair) for pair in combinations(members, 2)} - near
        sides = [side for side in self._sides(scene, nodes, members) if side]
        if len(sides) < 2:
            raise StepFailed(f"{self.NAME}: there is nobody on the other side of {', '.join(sides[0])}")
        bridge = set(nodes) if self.shape == "bridge" else set()
        apart = {frozenset((a, b)) for one, two in combinations(sides, 2) for a in one for b in two if not {a, b} & bridge}
        return sides, apart

    def _sides(self, scene: Scene, nodes: tuple[str, ...], members: tuple[str, ...]) -> Sides:
        rest = tuple(node for node in members if node not in nodes)
        match self.shape:
            case "each":
                return [(node,) for node in members]
            case "halves":
                return _split(scene.shuffled(members), len(members) // 2, members)
            case "bridge":
                if len(nodes) != 1:
                    raise StepFailed(f"{self.NAME}: a bridge is one node, and the target is {', '.join(nodes)}")
                one, two = _split(rest, len(rest) // 2, members)
                return [(*one, *nodes), two]
            case "majority" | "minority":
                least = (len(members) - 1) // 2
                size = least if self.shape == "minority" else len(members) - least
                if not 1 <= len(nodes) <= size:
                    raise StepFailed(f"{self.NAME}: the {self.shape} of {len(members)} nodes is {size}, the target {len(nodes)}")
                return _split((*nodes, *scene.shuffled(rest)), size, members)
        return list(self._chosen(scene, nodes, rest))

    def _chosen(self, scene: Scene, nodes: tuple[str, ...], rest: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield nodes
        if not self.others:
            yield rest
        taken = set(nodes)
        for selector in self.others:
            side = tuple(node for node in scene.resolve(selector) if node not in taken)
            taken.update(side)
            yield side

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return (CutLinks(tag=facts.tag, links=facts.cut, network=self.network),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        """Every two nodes: where both ways are alike, a question and its answer; where not, a frame each way."""
        cut, kept = ({(link.source, link.destination) for link in links} for links in (facts.cut, facts.kept))
        checks = []
        for a, b in sorted(cut | kept):
            alike = ((a, b) in cut) == ((b, a) in cut)
            if alike and a > b:
                continue
            lost = (a, b) in cut
            how, hears = ("round_trip", f"{b} and {a} {'do not ' if lost else ''}hear each other") if alike else (
                "one_way", f"{b} {'does not hear' if lost else 'hears'} {a}"
            )  # fmt: skip
            checks.append(
                Check(
                    query=ReachQuery.model_validate({"source": a, "destination": b, "network": self.network, "way": how}),
                    in_force=("silent", "unreachable") if lost else ("answered",),
                    healed=("answered",),
                    means=hears,
                )
            )
        return tuple(checks)


def _split(nodes: tuple[str, ...], size: int, order: tuple[str, ...]) -> Sides:
    """The first `size` and the rest, each in the order of the lab."""
    return [tuple(sorted(part, key=order.index)) for part in (nodes[:size], nodes[size:])]
