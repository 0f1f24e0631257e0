from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, ProcessInfo, ProcessStateQuery
from chaoskit.model.steps import Signal, Step
from chaoskit.ports.fault import Facts
from chaoskit.ports.process_fault import ProcessFault


class ProcessHang(ProcessFault):
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

    def _fit(self, node: str, found: Sequence[ProcessInfo]) -> None:
        if already := [p.pid for p in found if p.state == "T"]:
            raise StepFailed(f"process {already[0]} on {node} is stopped already; the heal would change that")

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
