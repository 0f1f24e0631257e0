from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import NODE_POWER, VOLUME_LOSE_UNSYNCED, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, NodeStateQuery, ProcessesQuery, ProcessStateQuery
from chaoskit.model.steps import PowerOff, PowerOn, ProcessRef, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class NodeReboot(Fault):
    """Reset a node: everything on it ends at once, data not yet flushed is lost, and it boots again without a pause."""

    NAME = "node.reboot"
    OUTAGE = "a watchdog or fencing device that resets a host, a kernel panic with automatic reboot, an operator's reboot -f"
    ONE_SHOT = True
    EXAMPLE: ClassVar = {"inject": "node.reboot", "target": {"role": "primary"}, "at": "10s"}

    lose_unsynced: bool = True
    """Also lose what was written but not flushed to the node's volumes."""

    def needs(self) -> tuple[Need, ...]:
        needs = [Need(capability=NODE_POWER, why="to end every process of the node at once and start it again")]
        if self.lose_unsynced:
            needs.append(Need(capability=VOLUME_LOSE_UNSYNCED, why="to lose data that was not flushed", required=False))
        return tuple(needs)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"node:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        first: dict[str, tuple[ProcessRef, ...]] = {}
        for node in nodes:
            found = [p.ref for p in scene.read(ProcessesQuery(node=node)).processes if p.pid == 1]
            if not found:
                raise StepFailed(f"{node} is off: there is nothing to reboot")
            first[node] = tuple(found)
        return facts.model_copy(update={"processes": first})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        off = tuple(PowerOff(node=node, silent=True, lose_unsynced=self.lose_unsynced) for node in facts.nodes)
        return off + tuple(PowerOn(node=node) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(PowerOn(node=node) for node in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        ended = tuple(
            Check(
                query=ProcessStateQuery(node=node, process=ref),
                in_force=("gone",),
                means=f"the first process {node} had before has ended",
            )
            for node in facts.nodes
            for ref in facts.processes.get(node, ())
        )
        return ended + tuple(
            Check(query=NodeStateQuery(node=node), healed=("up",), means=f"{node} has booted again") for node in facts.nodes
        )
