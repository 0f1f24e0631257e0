from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import model_validator

from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, VolumeSpeedQuery
from chaoskit.model.steps import FailVolume
from chaoskit.model.units import Duration, Rate, Size
from chaoskit.ports.fault import Facts, Scene
from chaoskit.ports.volume_fault import VolumeFault

Limit = tuple[Literal["latency", "iops", "bandwidth"], float, str]


class StorageSlow(VolumeFault):
    """Make a disk slow: each operation takes longer, or only so many operations or bytes a second get through.

    Latency counts for each read, write and flush that reaches the disk, however many wait at once; a limit makes them queue.
    One commit of a database is several operations. It goes on through a power cycle of the node.
    """

    NAME = "storage.slow"
    OUTAGE = "a dying disk, a noisy neighbour on a shared array, a cloud volume out of burst credits, a cache battery that failed"
    EXAMPLE: ClassVar = {
        "inject": "storage.slow",
        "target": {"role": "primary"},
        "with": {"volume": "pg", "latency": "100ms"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to delay what the disk answers"
    PROGRAMMABLE_ONLY = True
    SURVIVES_POWER = True

    latency: Duration | None = None
    """So much longer takes each read, write and flush."""
    iops: Rate | None = None
    """At most so many reads, writes and flushes a second, such as 50/s."""
    bandwidth: Size | None = None
    """At most so much is read and written a second, such as 5MiB."""

    @model_validator(mode="after")
    def _slows_something(self) -> Self:
        if not self._limits():
            raise ValueError("say how slow: one or more of latency, iops, bandwidth, each more than 0")
        if self.latency is not None and float(self.latency) > 2:
            raise ValueError("a latency of more than 2s cannot be told from a disk that hangs: use storage.hang")
        return self

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        for check in self.effect(facts):
            reading = scene.read(check.query)
            if reading.value != "faster":
                raise StepFailed(f"nothing to slow down: {check.means} even before the fault ({reading.value}: {reading.number})")
        return facts

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(
            node=node,
            volume=self.volume,
            how="slow",
            latency_s=float(self.latency or 0),
            iops=float(self.iops or 0),
            bytes_per_s=float(self.bandwidth or 0),
        )

    def _evidence(self, node: str) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=VolumeSpeedQuery(node=node, volume=self.volume, measure=measure, asked=asked),
                in_force=("as_asked",),
                healed=("faster",),
                means=f"the volume {self.volume} of {node} is slow: {words}",
            )
            for measure, asked, words in self._limits()
        )

    def _limits(self) -> list[Limit]:
        found: list[Limit] = []
        if self.latency:
            found.append(("latency", float(self.latency), f"an operation takes {self.latency} or longer"))
        if self.iops:
            found.append(("iops", float(self.iops), f"at most {self.iops} operations"))
        if self.bandwidth:
            found.append(("bandwidth", float(self.bandwidth), f"at most {self.bandwidth} a second"))
        return found
