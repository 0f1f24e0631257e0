from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.capability import PROCESS_SIGNAL, Need
from chaoskit.model.facts import Check, KillsQuery, ServiceQuery
from chaoskit.model.steps import Cease, KeepKilling, ProcessCriteria, StartService, Step
from chaoskit.model.steps.nodes import ending_signal
from chaoskit.model.units import Duration
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.process_match import ProcessMatch


class ProcessCrashLoop(Fault):
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

    process: ProcessMatch
    signal: str = "KILL"
    """Name of the signal, without SIG: any that ends a process. Each process gets it once."""
    delay: Duration = Duration(0.0)
    """A process that is back lives for so long."""
    every: Duration = Duration(0.1)
    """So often is looked for processes that are back, at least 0.02s."""

    @field_validator("signal")
    @classmethod
    def _ends_processes(cls, signal: str) -> str:
        return ending_signal(signal)

    @field_validator("every")
    @classmethod
    def _bounded(cls, every: Duration) -> Duration:
        if every < 0.02:
            raise ValueError("at least 0.02s: looking costs time too")
        return every

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_SIGNAL, why="to signal processes inside the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"process:{node}:{self.process}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        services: dict[str, tuple[str, ...]] = {}
        for node in nodes:
            found = self.process.found(node, scene.read)
            services[node] = tuple(sorted({p.service for p in found if p.service is not None}))
        return facts.model_copy(update={"services": services})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        match = ProcessCriteria(**self.process.model_dump())
        times = {"every_s": float(self.every), "delay_s": float(self.delay)}
        return tuple(KeepKilling(tag=facts.tag, node=node, match=match, signal=self.signal, **times) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        started = tuple(StartService(node=n, service=s) for n in facts.nodes for s in facts.services.get(n, ()))
        return (Cease(tag=facts.tag), *started)

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
        back = tuple(
            Check(query=ServiceQuery(node=node, service=service), healed=("running",), means=f"{service} runs on {node} again")
            for node in facts.nodes
            for service in facts.services.get(node, ())
        )
        return killed + back
