from __future__ import annotations

from typing import ClassVar

from chaoskit.model.facts import Check
from chaoskit.model.steps import FailVolume
from chaoskit.ports.volume_fault import VolumeFault


class StorageLost(VolumeFault):
    """Lose a volume: every access fails with an I/O error at once, and what was not flushed is gone for good.

    The heal does what an operator must: processes of the node that still hold the dead volume are ended, it is mounted anew in
    the running node with its journal replayed, and services of the lab that ran before and do not run now are started.
    """

    NAME = "storage.lost"
    OUTAGE = "a disk or controller that dies, a lost path to a storage array"
    EXAMPLE: ClassVar = {
        "inject": "storage.lost",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to make the file system fail, and to mount it anew in the running node"

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(node=node, volume=self.volume, how="lost")

    def _evidence(self, node: str) -> tuple[Check, ...]:
        return self._ends_in(node, "eio", f"the volume {self.volume} on {node} answers with I/O errors")
