from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.linux.process_match import services_running
from chaoskit.model.capability import VOLUME_FAIL, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, VolumeQuery
from chaoskit.model.steps import FailVolume, RestoreVolume, StartService, Step
from chaoskit.model.units import Size
from chaoskit.ports.fault import Facts, Fault, Scene

_BEYOND_BYTES = 65536
"""So much more than what is left free is tried, and must fail."""


class StorageFull(Fault):
    """Fill a volume, so that writing fails for want of space; deleting files frees what they held.

    The heal removes the file that fills it (.chaoskit-ballast in the volume's top directory), and starts services of the lab that
    ran before and do not run now.
    """

    NAME = "storage.full"
    OUTAGE = "a log that nobody rotates, a forgotten dump, a replication slot that keeps every log segment"
    EXAMPLE: ClassVar = {
        "inject": "storage.full",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }

    volume: str
    """A volume of the lab that the target has."""
    free: Size = Size(0)
    """So much is left free."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=VOLUME_FAIL, why="to fill a file system of bounded size"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        # the node too: a power cycle mounts its volumes afresh, and would be the repair
        return tuple(claim for node in nodes for claim in (f"volume:{node}:{self.volume}", f"node:{node}"))

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        for node in nodes:
            state = scene.read(self._query(node)).value
            if state != "works":
                raise StepFailed(
                    f"on the volume {self.volume} of {node}, {self.free} and more cannot be written even now: {state}"
                )
        return facts.model_copy(update={"services": {node: services_running(node, scene.read) for node in nodes}})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(FailVolume(node=node, volume=self.volume, how="full", free_bytes=int(self.free)) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        restored = tuple(RestoreVolume(node=node, volume=self.volume) for node in facts.nodes)
        started = tuple(StartService(node=n, service=s) for n in facts.nodes for s in facts.services.get(n, ()))
        return restored + started

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=self._query(node),
                in_force=("full",),
                healed=("works",),
                means=f"nothing can be written to the volume {self.volume} on {node}",
            )
            for node in facts.nodes
        )

    def _query(self, node: str) -> VolumeQuery:
        return VolumeQuery(node=node, volume=self.volume, write_bytes=int(self.free) + _BEYOND_BYTES)
