from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.model.capability import QUOTA_PIDS, Need
from chaoskit.model.facts import Check
from chaoskit.model.steps import StartService, Step
from chaoskit.ports import quota
from chaoskit.ports.fault import Facts, Fault, Scene, services_running


class ResourceProcesses(Fault):
    """Let a node run out of processes: once so many more were started, each further fork and thread fails (EAGAIN).

    What runs goes on. The heal gives the limit back, and starts services of the lab that ran before and do not run now.
    """

    NAME = "resource.processes"
    OUTAGE = "a fork bomb, a leak of threads, a service manager's TasksMax that nobody thought of"
    EXAMPLE: ClassVar = {
        "inject": "resource.processes",
        "target": {"role": "primary"},
        "with": {"spare": 0},
        "at": "10s",
        "for": "30s",
    }

    spare: int = Field(default=0, ge=0, le=1000)
    """So many processes and threads can still be started."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=QUOTA_PIDS, why="to limit the number of processes of the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"quota:{node}:pids" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        services = {node: services_running(node, scene.read) for node in nodes}
        facts = facts.model_copy(update={"services": services})
        return quota.with_quotas(facts, scene, "pids", lambda used: max(1.0, quota.beyond_use(used, self.spare)))

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return quota.lowered(facts, "pids")

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        started = tuple(StartService(node=n, service=s) for n in facts.nodes for s in facts.services.get(n, ()))
        return quota.given_back(facts, "pids") + started

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return quota.felt(facts, "pids", "a fork on {node} fails for want of a process number")
