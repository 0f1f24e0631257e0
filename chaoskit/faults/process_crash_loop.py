from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.facts import Check, KillsQuery
from chaoskit.model.steps import Cease, KeepKilling, ProcessCriteria, Step
from chaoskit.model.steps.nodes import EndingSignal
from chaoskit.model.units import Duration
from chaoskit.ports.fault import Facts, services_started
from chaoskit.ports.process_fault import ProcessFault


class ProcessCrashLoop(ProcessFault):
    """Kill processes of a node, and again whenever they return, for as long as the fault lasts.

    A service of the lab that is started again by itself comes back after 0.2 s, and after twice as long each time, up to 5 s: so
    often it is killed. One that nobody starts again dies once. The heal starts the lab's own services that ran before.
    """

    NAME = "process.crash_loop"
    OUTAGE = "a service that crashes on start: a corrupt file, a bad release, a record that kills whoever reads it"
    EXAMPLE: ClassVar = {
        "inject": "process.crash_loop",
        "target": {"role": "primary"},
        "with": {"process": {"service": "patroni"}},
        "at": "10s",
        "for": "30s",
    }

    signal: EndingSignal = "KILL"
    """Name of the signal, without SIG: any that ends a process. Each process gets it once."""
    delay: Duration = Duration(0.0)
    """A process that is back lives for so long."""
    every: Duration = Duration(0.1)
    """So often is looked for processes that are back, at least 0.02s."""

    @field_validator("every")
    @classmethod
    def _bounded(cls, every: Duration) -> Duration:
        if every < 0.02:
            raise ValueError("at least 0.02s: looking costs time too")
        return every

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        match = ProcessCriteria(**self.process.model_dump())
        times = {"every_s": float(self.every), "delay_s": float(self.delay)}
        return tuple(KeepKilling(tag=facts.tag, node=node, match=match, signal=self.signal, **times) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (Cease(tag=facts.tag), *services_started(facts))

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        killed = tuple(
            Check(
                query=KillsQuery(node=node, tag=facts.tag),
                in_force=("killed", "killed again"),
                healed=("ended", "none"),
                means=f"{self.process} on {node} is killed whenever it is there; kills",
            )
            for node in facts.nodes
        )
        return killed + self._back(facts)
