from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.model.capability import PROCESS_SIGNAL, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, LimitQuery, RoomQuery
from chaoskit.model.steps import SetLimit, Step
from chaoskit.model.steps.resources import UNLIMITED, limit_words
from chaoskit.ports.fault import Facts, Fault, ProcessLimit, Scene, services_running, services_started
from chaoskit.ports.process_match import ProcessMatch


class ResourceDescriptors(Fault):
    """Let running processes run out of file descriptors: they can open a few more files and connections, then no others.

    Their soft limit is lowered; the hard limit stays, so that the heal can give back exactly what was there. A process that
    raises its own soft limit meanwhile escapes. What is open stays open. The heal starts services of the lab that ran before and
    do not run now.
    """

    NAME = "resource.descriptors"
    OUTAGE = (
        "a leak of connections or files, a limit that was forgotten when the service was moved, more clients than ever before"
    )
    EXAMPLE: ClassVar = {
        "inject": "resource.descriptors",
        "target": {"role": "primary"},
        "with": {"process": {"service": "patroni"}, "spare": 2},
        "at": "10s",
        "for": "30s",
    }

    process: ProcessMatch
    """Which processes of the target. One or more of its keys; several narrow each other down."""
    spare: int = Field(default=0, ge=0, le=100_000)
    """So many more can still be opened."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_SIGNAL, why="to change the limits of a process inside the node"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"descriptors:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        limits = {node: self._limits(scene, node) for node in nodes}
        services = {node: services_running(node, scene.read) for node in nodes}
        return facts.model_copy(update={"limits": limits, "services": services})

    def _limits(self, scene: Scene, node: str) -> tuple[ProcessLimit, ...]:
        found = []
        for process in self.process.found(node, scene.read):
            said = scene.read(LimitQuery(node=node, process=process.ref, resource="descriptors")).value or "gone"
            room = scene.read(RoomQuery(node=node, process=process.ref, spare=self.spare)).number
            if said == "gone" or room is None:
                raise StepFailed(f"process {process.pid} on {node} ended while its limits were read")
            soft, hard = (UNLIMITED if limit == "unlimited" else int(limit) for limit in said.split(":"))
            if soft != UNLIMITED and soft <= room:
                raise StepFailed(
                    f"process {process.pid} on {node} may have {soft} descriptors: no more than {self.spare} are left"
                )
            found.append(ProcessLimit(process=process.ref, soft=soft, hard=hard, lowered=int(room)))
        return tuple(found)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(
            SetLimit(node=node, processes=(limit.process,), resource="descriptors", soft=limit.lowered, hard=limit.hard)
            for node in facts.nodes
            for limit in facts.limits[node]
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        raised = tuple(
            SetLimit(node=node, processes=(limit.process,), resource="descriptors", soft=limit.soft, hard=limit.hard)
            for node in facts.nodes
            for limit in facts.limits[node]
        )
        return raised + services_started(facts)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=LimitQuery(node=node, process=limit.process, resource="descriptors"),
                in_force=(limit_words(limit.lowered, limit.hard),),
                healed=(limit_words(limit.soft, limit.hard), "gone"),
                means=f"process {limit.process.pid} on {node} may have no more than {limit.lowered} descriptors; open now",
            )
            for node in facts.nodes
            for limit in facts.limits[node]
        )
