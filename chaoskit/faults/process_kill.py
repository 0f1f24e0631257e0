from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.capability import PROCESS_SIGNAL, Need
from chaoskit.model.facts import Check, ProcessStateQuery, ServiceQuery
from chaoskit.model.steps import ProcessRef, Signal, StartService, Step
from chaoskit.model.steps.nodes import ending_signal
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.process_match import ProcessMatch


class ProcessKill(Fault):
    """Kill processes of a node. Whoever supervises them may start them again; the heal starts the lab's own services."""

    NAME = "process.kill"
    OUTAGE = "a crash, the out-of-memory killer, an operator's kill"
    ONE_SHOT = True
    EXAMPLE: ClassVar = {
        "inject": "process.kill",
        "target": {"role": "primary"},
        "with": {"process": {"name": "postgres", "which": "oldest"}},
        "at": "10s",
    }

    process: ProcessMatch
    signal: str = "KILL"
    """Name of the signal, without SIG: any that ends a process. One that handles it and lives is not seen to have ended."""

    @field_validator("signal")
    @classmethod
    def _ends_processes(cls, signal: str) -> str:
        return ending_signal(signal)

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_SIGNAL, why="to signal processes inside the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"process:{node}:{self.process}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        processes: dict[str, tuple[ProcessRef, ...]] = {}
        services: dict[str, tuple[str, ...]] = {}
        for node in nodes:
            found = self.process.found(node, scene.read)
            processes[node] = tuple(p.ref for p in found)
            services[node] = tuple(sorted({p.service for p in found if p.service is not None}))
        return facts.model_copy(update={"processes": processes, "services": services})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(
            Signal(node=n, processes=facts.processes[n], signal=self.signal) for n in facts.nodes if n in facts.processes
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(StartService(node=n, service=s) for n in facts.nodes for s in facts.services.get(n, ()))

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        ended = tuple(
            Check(
                query=ProcessStateQuery(node=node, process=ref),
                in_force=("gone",),
                means=f"process {ref.pid} on {node} has ended",
            )
            for node in facts.nodes
            for ref in facts.processes.get(node, ())
        )
        back = tuple(
            Check(query=ServiceQuery(node=node, service=service), healed=("running",), means=f"{service} runs on {node} again")
            for node in facts.nodes
            for service in facts.services.get(node, ())
        )
        return ended + back
