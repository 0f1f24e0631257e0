from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import NODE_POWER, Need
from chaoskit.model.facts import Check, NodeStateQuery
from chaoskit.model.steps import PowerOff, PowerOn, Step
from chaoskit.ports.fault import Facts, Fault


class NodeCrash(Fault):
    """End every process of a node at once; its peers see their connections close and are refused."""

    NAME = "node.crash"
    OUTAGE = "a container killed by its engine, an operating system that goes down fast, an operator's kill of everything"
    EXAMPLE: ClassVar = {"inject": "node.crash", "target": {"group": "db", "count": 1}, "at": "10s", "for": "20s"}

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NODE_POWER, why="to end every process of the node at once"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"node:{node}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(PowerOff(node=node, silent=False, lose_unsynced=False) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(PowerOn(node=node) for node in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(query=NodeStateQuery(node=node), in_force=("off",), healed=("up",), means=f"nothing runs on {node}")
            for node in facts.nodes
        )
