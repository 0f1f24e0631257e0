from __future__ import annotations

from typing import ClassVar

from chaoskit.model.facts import Check
from chaoskit.model.steps import FailVolume
from chaoskit.ports.volume_fault import VolumeFault


class StorageReadOnly(VolumeFault):
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
    WHY = "to report an error to the file system, and to mount it anew in the running node"

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(node=node, volume=self.volume, how="read_only")

    def _evidence(self, node: str) -> tuple[Check, ...]:
        return self._ends_in(node, "read_only", f"the volume {self.volume} on {node} cannot be written to")
