from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import NODE_FREEZE, Need
from chaoskit.model.facts import Check, NodeStateQuery
from chaoskit.model.steps import Freeze, Step, Thaw
from chaoskit.ports.fault import Facts, Fault


class NodePause(Fault):
    """Freeze every process of a node while its kernel goes on: ping is answered and TCP connects, and nobody reads.

    For a host that falls silent altogether see node.hang.
    """

    NAME = "node.pause"
    OUTAGE = "a machine that thrashes or waits for dead storage, a paused container: health checks by ping or connect see nothing"
    EXAMPLE: ClassVar = {"inject": "node.pause", "target": {"role": "primary"}, "at": "10s", "for": "30s"}

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NODE_FREEZE, why="to stop every process of the node where it stands"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"node:{node}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(Freeze(node=node) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(Thaw(node=node) for node in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(query=NodeStateQuery(node=node), in_force=("frozen",), healed=("up",), means=f"{node} is frozen")
            for node in facts.nodes
        )
