from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from pydantic import Field

from chaoskit.model.capability import RESOURCE_LOAD, Need
from chaoskit.model.facts import Check, LoadQuery
from chaoskit.model.lab import LabSpec
from chaoskit.model.steps import Cease, StartLoad, Step
from chaoskit.model.units import Size
from chaoskit.ports.fault import Facts, Fault


class ResourceDiskBandwidth(Fault):
    """Keep a volume busy: a process writes a file over and over, and flushes it, so that others wait for the disk.

    The file has no name, takes no more than its size, and is gone with the process that writes it.
    """

    NAME = "resource.disk_bandwidth"
    OUTAGE = "a backup at the wrong hour, a log at debug level, a neighbour on the same array"
    EXAMPLE: ClassVar = {
        "inject": "resource.disk_bandwidth",
        "target": {"role": "primary"},
        "with": {"volume": "pg", "size": "8MiB"},
        "at": "10s",
        "for": "30s",
    }

    volume: str
    """A volume of the lab that the target has."""
    size: Size = Field(default=Size(64 << 20), ge=1 << 20)
    """Of the file; at most half of what is free."""
    flush_every: Size = Field(default=Size(1 << 20), ge=4096)
    """So much is written from one flush to the next."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=RESOURCE_LOAD, why="to run a process in the node that writes"),)

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        groups = tuple(dict.fromkeys(lab.group_of(node) for node in nodes))
        if not any(self.volume in lab.nodes[group].volumes for group in groups):
            known = ", ".join(dict.fromkeys(v for group in groups for v in lab.nodes[group].volumes)) or "none"
            yield f"no target has a volume {self.volume!r}; volumes of {', '.join(groups)}: {known}"

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"volume:{node}:{self.volume}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        what = {"amount_bytes": int(self.size), "chunk_bytes": int(self.flush_every)}
        return tuple(StartLoad(tag=facts.tag, node=n, load="disk", volume=self.volume, **what) for n in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (Cease(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=LoadQuery(node=node, tag=facts.tag),
                in_force=("busy",),
                healed=("ended", "none"),
                means=f"a process writes to the volume {self.volume} of {node}; bytes a second",
            )
            for node in facts.nodes
        )
