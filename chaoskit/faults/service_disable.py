from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from chaoskit.model.capability import SERVICE_CONTROL, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, ServiceEnabledQuery, ServiceQuery
from chaoskit.model.lab import LabSpec
from chaoskit.model.steps import SetService, StartService, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class ServiceDisable(Fault):
    """Disable a service of the lab: it runs on, and is not started again, neither when its node boots nor when it exits.

    Nothing is felt until then: let a `node.reboot`, `node.power_off` or `process.kill` follow, which shows what was forgotten. It
    can still be started by hand. The heal enables it again, and starts it where it does not run.
    """

    NAME = "service.disable"
    OUTAGE = "a service that was started by hand and never enabled, systemctl disable before maintenance and no enable after it"
    EXAMPLE: ClassVar = {
        "inject": "service.disable",
        "target": {"role": "primary"},
        "with": {"service": "database"},
        "at": "10s",
        "for": "60s",
    }

    service: str
    """A service of the lab that the target runs."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=SERVICE_CONTROL, why="to tell whoever starts services at boot"),)

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        known = lab.services.get(self.service)
        groups = tuple(dict.fromkeys(lab.group_of(node) for node in nodes))
        if not any(self.service in lab.nodes[group].services for group in groups):
            there = ", ".join(dict.fromkeys(s for group in groups for s in lab.nodes[group].services)) or "none"
            yield f"no target runs a service {self.service!r}; services of {', '.join(groups)}: {there}"
        elif known is not None and known.restart == "never":
            yield f"nobody ever starts {self.service} again (`restart: never`), so there is nothing to disable"

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"enabled:{node}:{self.service}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        for node in nodes:
            for query, wanted in (
                (ServiceQuery(node=node, service=self.service), "running"),
                (ServiceEnabledQuery(node=node, service=self.service), "enabled"),
            ):
                state = scene.read(query).value
                if state != wanted:
                    raise StepFailed(f"{self.service} on {node} is {state}, not {wanted}; the heal would change that")
        return facts.model_copy(update={"services": {node: (self.service,) for node in nodes}})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(SetService(node=n, service=s, enabled=False) for n in facts.nodes for s in facts.services[n])

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        steps: list[Step] = []
        for node in facts.nodes:
            for service in facts.services[node]:
                steps += [SetService(node=node, service=service, enabled=True), StartService(node=node, service=service)]
        return tuple(steps)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        checks: list[Check] = []
        for node in facts.nodes:
            for service in facts.services[node]:
                disabled = f"{service} on {node} is not started when its node boots or it exits"
                checks += [
                    Check(
                        query=ServiceEnabledQuery(node=node, service=service),
                        in_force=("disabled",),
                        healed=("enabled",),
                        means=disabled,
                    ),
                    Check(query=ServiceQuery(node=node, service=service), healed=("running",), means=f"{service} runs on {node}"),
                ]
        return tuple(checks)
