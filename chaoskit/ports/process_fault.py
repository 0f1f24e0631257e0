"""What the faults of processes share."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit.model.capability import PROCESS_SIGNAL, Need
from chaoskit.model.facts import Check, ProcessInfo, ServiceQuery
from chaoskit.model.steps import ProcessRef
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.process_match import ProcessMatch


class ProcessFault(Fault):
    """A fault of chosen processes of each target. A subclass says what becomes of them, and how that shows."""

    process: ProcessMatch
    """Which processes of the target. One or more of its keys; several narrow each other down."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_SIGNAL, why="to signal processes inside the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"process:{node}:{self.process}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        """The processes, and the lab's services that they belong to. StepFailed where none matches."""
        facts = super().prepare(scene, nodes, tag)
        processes: dict[str, tuple[ProcessRef, ...]] = {}
        services: dict[str, tuple[str, ...]] = {}
        for node in nodes:
            found = self.process.found(node, scene.read)
            self._fit(node, found)
            processes[node] = tuple(p.ref for p in found)
            services[node] = tuple(sorted({p.service for p in found if p.service is not None}))
        return facts.model_copy(update={"processes": processes, "services": services})

    def _fit(self, node: str, found: Sequence[ProcessInfo]) -> None:
        """StepFailed where the heal could not give these processes back as they are."""

    def _back(self, facts: Facts) -> tuple[Check, ...]:
        """Evidence that the services of the processes run again once it is healed."""
        return tuple(
            Check(query=ServiceQuery(node=node, service=service), healed=("running",), means=f"{service} runs on {node} again")
            for node in facts.nodes
            for service in facts.services.get(node, ())
        )
