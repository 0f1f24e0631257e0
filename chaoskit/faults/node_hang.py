from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import NETWORK_CUT, NODE_FREEZE, Need
from chaoskit.model.facts import Check, NodeStateQuery
from chaoskit.model.steps import CutLinks, Freeze, JoinLinks, Step, Thaw
from chaoskit.ports.fault import Facts, Fault
from chaoskit.ports.links import directed


class NodeHang(Fault):
    """Hang a whole host: its links are silent and everything on it is frozen, then it goes on as if nothing had been."""

    NAME = "node.hang"
    OUTAGE = "a kernel that hangs, a hypervisor that pauses the machine (live migration, overcommit, snapshot), a long SMI"
    EXAMPLE: ClassVar = {"inject": "node.hang", "target": {"role": "primary"}, "at": "10s", "for": "30s"}

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(capability=NODE_FREEZE, why="to stop every process of the node where it stands"),
            Need(capability=NETWORK_CUT, why="a frozen node's kernel still answers ping and accepts connections"),
        )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"node:{node}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return (CutLinks(tag=facts.tag, links=directed(facts.shared)), *(Freeze(node=node) for node in facts.nodes))

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (JoinLinks(tag=facts.tag), *(Thaw(node=node) for node in facts.nodes))

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        frozen = tuple(
            Check(query=NodeStateQuery(node=node), in_force=("frozen",), healed=("up",), means=f"{node} is frozen")
            for node in facts.nodes
        )
        silent = tuple(
            Check.silence(node, peer)
            for node in facts.nodes
            for peer in facts.shared.get(node, ())[:1]
            if peer not in facts.nodes
        )
        return frozen + silent
