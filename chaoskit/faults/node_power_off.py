from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import NETWORK_CUT, NODE_POWER, VOLUME_LOSE_UNSYNCED, Need
from chaoskit.model.facts import Check, NodeStateQuery
from chaoskit.model.steps import PowerOff, PowerOn, Step
from chaoskit.ports.fault import Facts, Fault


class NodePowerOff(Fault):
    """Cut a node's power: its links fall silent, every process ends, data not yet flushed is lost."""

    NAME = "node.power_off"
    OUTAGE = "power supply or host failure, a hypervisor that dies, a pulled plug"
    EXAMPLE: ClassVar = {"inject": "node.power_off", "target": {"role": "primary"}, "at": "10s", "for": "20s"}

    lose_unsynced: bool = True
    """Also lose what was written but not flushed to the node's volumes."""

    def needs(self) -> tuple[Need, ...]:
        needs = [
            Need(capability=NODE_POWER, why="to end every process of the node at once"),
            Need(capability=NETWORK_CUT, why="to silence its links first, so that peers see no connection close"),
        ]
        if self.lose_unsynced:
            needs.append(Need(capability=VOLUME_LOSE_UNSYNCED, why="to lose data that was not flushed", required=False))
        return tuple(needs)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"node:{node}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(PowerOff(node=node, silent=True, lose_unsynced=self.lose_unsynced) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(PowerOn(node=node) for node in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        power = tuple(
            Check(query=NodeStateQuery(node=node), in_force=("off",), healed=("up",), means=f"{node} has no power")
            for node in facts.nodes
        )
        reach = tuple(Check.silence(node, peer) for node in facts.nodes for peer in (facts.observers or facts.others)[:1])
        return power + reach
