from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import PROCESS_SIGNAL, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, ProcessStateQuery
from chaoskit.model.steps import ProcessRef, Signal, Step
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.process_match import ProcessMatch


class ProcessHang(Fault):
    """Stop processes of a node where they stand; their sockets stay open and nobody reads them."""

    NAME = "process.hang"
    OUTAGE = "a deadlock, a long garbage collection, a process stuck on dead storage"
    EXAMPLE: ClassVar = {
        "inject": "process.hang",
        "target": {"role": "primary"},
        "with": {"process": {"service": "patroni"}},
        "at": "10s",
        "for": "30s",
    }

    process: ProcessMatch

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_SIGNAL, why="to signal processes inside the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"process:{node}:{self.process}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        processes: dict[str, tuple[ProcessRef, ...]] = {}
        for node in nodes:
            found = self.process.found(node, scene.read)
            if already := [p.pid for p in found if p.state == "T"]:
                raise StepFailed(f"process {already[0]} on {node} is stopped already; the heal would change that")
            processes[node] = tuple(p.ref for p in found)
        return facts.model_copy(update={"processes": processes})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(Signal(node=n, processes=facts.processes[n], signal="STOP") for n in facts.nodes if n in facts.processes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(Signal(node=n, processes=facts.processes[n], signal="CONT") for n in facts.nodes if n in facts.processes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=ProcessStateQuery(node=node, process=ref),
                in_force=("stopped",),
                healed=("running", "gone"),
                means=f"process {ref.pid} on {node} is stopped",
            )
            for node in facts.nodes
            for ref in facts.processes.get(node, ())
        )
