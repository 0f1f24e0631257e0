from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.linux.process_match import services_running
from chaoskit.model.capability import VOLUME_FAIL, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, VolumeQuery
from chaoskit.model.steps import FailVolume, RestoreVolume, StartService, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class StorageReadOnly(Fault):
    """Turn a volume read-only, as a file system does that has met an error: writing fails, reading goes on.

    The heal does what an operator must: processes of the node that still hold the dead volume are ended, it is mounted anew in
    the running node with its journal replayed, and services of the lab that ran before and do not run now are started.
    It is checked and repaired (e2fsck) in between.
    """

    NAME = "storage.read_only"
    OUTAGE = "a file system error after a bad sector or a lost write: ext4 with errors=remount-ro, as most distributions set it"
    EXAMPLE: ClassVar = {
        "inject": "storage.read_only",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }

    volume: str
    """A volume of the lab that the target has."""

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(capability=VOLUME_FAIL, why="to report an error to the file system, and to mount it anew in the running node"),
        )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        # the node too: a power cycle mounts its volumes afresh, and would be the repair
        return tuple(claim for node in nodes for claim in (f"volume:{node}:{self.volume}", f"node:{node}"))

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        for node in nodes:
            state = scene.read(VolumeQuery(node=node, volume=self.volume)).value
            if state != "works":
                raise StepFailed(f"the volume {self.volume} on {node} does not work before the fault: {state}")
        return facts.model_copy(update={"services": {node: services_running(node, scene.read) for node in nodes}})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(FailVolume(node=node, volume=self.volume, how="read_only") for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        restored = tuple(RestoreVolume(node=node, volume=self.volume) for node in facts.nodes)
        started = tuple(StartService(node=n, service=s) for n in facts.nodes for s in facts.services.get(n, ()))
        return restored + started

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=VolumeQuery(node=node, volume=self.volume),
                in_force=("read_only",),
                healed=("works",),
                means=f"the volume {self.volume} on {node} cannot be written to",
            )
            for node in facts.nodes
        )
