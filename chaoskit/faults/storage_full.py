from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from chaoskit.model.facts import Check, VolumeQuery
from chaoskit.model.steps import FailVolume
from chaoskit.model.units import Size
from chaoskit.ports.volume_fault import VolumeFault

_BEYOND_BYTES = 65536
_BEYOND_INODES = 16
"""So much more than what is left free is tried, and must fail."""


class StorageFull(VolumeFault):
    """Fill a volume, so that writing fails for want of space or of inodes; deleting files frees what they held.

    The heal removes what fills it (.chaoskit-ballast in the volume's top directory), and starts services of the lab that
    ran before and do not run now.
    """

    NAME = "storage.full"
    OUTAGE = "a log that nobody rotates, a forgotten dump, a replication slot that keeps every log segment, a spool of tiny files"
    EXAMPLE: ClassVar = {
        "inject": "storage.full",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to fill a file system of bounded size"

    free: Size = Size(0)
    """So much is left free."""
    inodes: bool = False
    """Use up the inodes and not the bytes: no file can be made, while those that are there can grow."""
    free_inodes: int = Field(default=0, ge=0, le=1000)
    """With `inodes`: so many are left free."""

    def _failure(self, node: str) -> FailVolume:
        if self.inodes:
            return FailVolume(node=node, volume=self.volume, how="no_inodes", free_inodes=self.free_inodes)
        return FailVolume(node=node, volume=self.volume, how="full", free_bytes=int(self.free))

    def _evidence(self, node: str) -> tuple[Check, ...]:
        what = "no file can be made" if self.inodes else "nothing can be written"
        return self._ends_in(node, "full", f"{what} on the volume {self.volume} of {node}")

    def _works(self, node: str) -> VolumeQuery:
        query = VolumeQuery(node=node, volume=self.volume)
        if self.inodes:
            return query.model_copy(update={"inodes": self.free_inodes + _BEYOND_INODES, "count_inodes": True})
        return query.model_copy(update={"write_bytes": int(self.free) + _BEYOND_BYTES})

    def _works_words(self, node: str) -> str:
        left = f"{self.free_inodes} files" if self.inodes else str(self.free)
        return f"on the volume {self.volume} of {node}, {left} and more cannot be written"
