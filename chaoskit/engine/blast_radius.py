"""Whether an injection keeps the blast radius: how many nodes are under fault at once, and what is never hit. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.lab import LabPlan
from chaoskit.model.port_range import PortRange
from chaoskit.model.steps import CutLinks, Step


@dataclass(frozen=True)
class Hit:
    """What one injection does, as far as limits go."""

    action: str
    nodes: frozenset[str]
    """Its targets, and every other node that a step of it acts on."""
    ports: frozenset[PortRange]
    cuts: frozenset[tuple[str, str, str | None]]
    """Links that it cuts as a whole: (from, to, on which network; None for all)."""


def hit_of(action: str, nodes: Sequence[str], steps: Iterable[Step]) -> Hit:
    """What these steps hit."""
    acted_on, ports, cuts = set(nodes), set(), set()
    for step in steps:
        node = getattr(step, "node", None)
        if isinstance(node, str):
            acted_on.add(node)
        ports |= {*getattr(step, "tcp", ()), *getattr(step, "udp", ())}
        if isinstance(step, CutLinks):
            cuts |= {(link.source, link.destination, step.network) for link in step.links}
    return Hit(action, frozenset(acted_on), frozenset(ports), frozenset(cuts))


@dataclass(frozen=True)
class Surroundings:
    """What the limits of a lab refer to."""

    groups: Mapping[str, Sequence[str]]
    shared: Mapping[str, Mapping[str, frozenset[str]]]
    """Node -> the nodes it shares networks with, and which."""

    @classmethod
    def of(cls, plan: LabPlan) -> Surroundings:
        networks = {n.name: {i.network for i in n.interfaces} for n in plan.nodes}
        groups: dict[str, tuple[str, ...]] = {}
        for node in plan.nodes:
            groups[node.group] = (*groups.get(node.group, ()), node.name)
        shared = {
            a: {b: frozenset(networks[a] & networks[b]) for b in networks if b != a and networks[a] & networks[b]}
            for a in networks
        }
        return cls(groups, shared)

    def is_cut_off(self, node: str, cuts: frozenset[tuple[str, str, str | None]]) -> bool:
        """Whether these cuts leave a node without any neighbour: with each of them, one direction is gone on every network."""

        def lost(source: str, destination: str, networks: frozenset[str]) -> bool:
            gone = {network for a, b, network in cuts if (a, b) == (source, destination)}
            return None in gone or networks <= gone

        peers = self.shared.get(node, {})
        return bool(peers) and all(lost(node, p, on) or lost(p, node, on) for p, on in peers.items())


def protected_nodes(
    radius: BlastRadius, around: Surroundings, holders: Callable[[str], Iterable[str] | None]
) -> tuple[dict[str, str], str]:
    """(node -> why it is protected, and what is not known). `holders`: None where nobody knows who holds a role now."""
    found = {node: "is protected" for node in radius.protected.nodes}
    for group in radius.protected.groups:
        found |= {node: f"is protected with its group {group}" for node in around.groups.get(group, ())}
    for role in radius.protected.roles:
        holding = holders(role)
        if holding is None:
            return found, f"the role {role} is protected, and nobody knows now who holds it"
        found |= {node: f"holds the role {role}, which is protected" for node in holding}
    return found, ""


def excess(
    radius: BlastRadius,
    new: Hit,
    in_force: Sequence[Hit],
    around: Surroundings,
    holders: Callable[[str], Iterable[str] | None],
) -> str:
    """Why the new one must not be injected; empty where it may."""
    if radius.max_targets is not None:
        together = frozenset[str]().union(new.nodes, *(hit.nodes for hit in in_force))
        if len(together) > radius.max_targets:
            others = f", with {', '.join(hit.action for hit in in_force)}" if in_force else ""
            return (
                f"{new.action}{others} would have {len(together)} nodes under fault at once ({', '.join(sorted(together))}), "
                f"and max-targets is {radius.max_targets}"
            )
    blocked = sorted(port for port in radius.protected.ports if any(port in blocks for blocks in new.ports))
    if blocked:
        return f"{new.action} would block port {', '.join(map(str, blocked))}, which is protected"
    protected, unknown = protected_nodes(radius, around, holders)
    for node, why in protected.items():
        if node in new.nodes:
            return f"{new.action} would hit {node}, which {why}"
    cuts = new.cuts.union(*(hit.cuts for hit in in_force))
    for node, why in protected.items():
        if new.cuts and around.is_cut_off(node, cuts):
            return f"{new.action} would cut {node} off from every other node, and it {why}"
    return f"{new.action}: {unknown}" if unknown else ""
