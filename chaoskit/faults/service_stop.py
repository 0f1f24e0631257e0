from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.capability import PROCESS_SIGNAL, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, ServiceQuery
from chaoskit.model.steps import StartService, Step, StopService
from chaoskit.model.units import Duration
from chaoskit.ports.fault import Facts, Fault, Scene

MOST_GRACE_S = 20.0


class ServiceStop(Fault):
    """Stop a service of the lab as an operator does: TERM, and KILL for what is left when its time is over.

    Nobody starts it again while the fault holds, whatever its `restart` says. A reboot of the node does, as it does after a
    manual stop. The heal starts it.
    """

    NAME = "service.stop"
    OUTAGE = "an operator stops a service and forgets it, a package upgrade that leaves it stopped, maintenance on the wrong host"
    EXAMPLE: ClassVar = {
        "inject": "service.stop",
        "target": {"role": "primary"},
        "with": {"service": "patroni"},
        "at": "10s",
        "for": "30s",
    }

    service: str
    """A service of the lab that runs on the target."""
    grace: Duration = Duration(10.0)
    """How long it may take to end after TERM, at most 20s."""

    @field_validator("grace")
    @classmethod
    def _bounded(cls, grace: Duration) -> Duration:
        if grace > MOST_GRACE_S:
            raise ValueError(f"at most {MOST_GRACE_S:g}s, so that an injection has an end")
        return grace

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_SIGNAL, why="to send TERM and KILL to the service's processes"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"process:{node}:service {self.service}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        for node in nodes:
            state = scene.read(ServiceQuery(node=node, service=self.service)).value
            if state != "running":
                raise StepFailed(f"{self.service} on {node} is {state}: there is nothing to stop, and the heal would start it")
        return facts.model_copy(update={"services": {node: (self.service,) for node in nodes}})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(StopService(node=n, service=s, grace_s=float(self.grace)) for n in facts.nodes for s in facts.services[n])

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(StartService(node=n, service=s) for n in facts.nodes for s in facts.services[n])

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=ServiceQuery(node=node, service=service),
                in_force=("exited",),
                healed=("running",),
                means=f"{service} does not run on {node}",
            )
            for node in facts.nodes
            for service in facts.services[node]
        )
