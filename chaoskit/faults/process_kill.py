from __future__ import annotations

from typing import ClassVar

from chaoskit.model.facts import Check, ProcessStateQuery
from chaoskit.model.steps import Signal, Step
from chaoskit.model.steps.nodes import EndingSignal
from chaoskit.ports.fault import Facts, services_started
from chaoskit.ports.process_fault import ProcessFault


class ProcessKill(ProcessFault):
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

    signal: EndingSignal = "KILL"
    """Name of the signal, without SIG: any that ends a process. One that handles it and lives is not seen to have ended."""

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(
            Signal(node=n, processes=facts.processes[n], signal=self.signal) for n in facts.nodes if n in facts.processes
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return services_started(facts)

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
        return ended + self._back(facts)
