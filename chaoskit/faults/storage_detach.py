from __future__ import annotations

from typing import ClassVar

from chaoskit.model.facts import Check
from chaoskit.model.steps import FailVolume
from chaoskit.ports.volume_fault import VolumeFault


class StorageDetach(VolumeFault):
    """Take a volume away: it is unmounted under its users, who get I/O errors, and what was not flushed is gone for good.

    Who opens files anew finds an empty directory at the mount point, in which nothing can be written.
    The heal does what an operator must: processes of the node that still hold the dead volume are ended, it is mounted anew in
    the running node with its journal replayed, and services of the lab that ran before and do not run now are started.
    """

    NAME = "storage.detach"
    OUTAGE = "a cloud volume that is detached, a USB disk or a multipath device that vanishes and is unmounted by the system"
    EXAMPLE: ClassVar = {
        "inject": "storage.detach",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to make the file system fail, unmount it, and mount it anew in the running node"

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(node=node, volume=self.volume, how="detach")

    def _evidence(self, node: str) -> tuple[Check, ...]:
        return self._ends_in(node, "detached", f"the volume {self.volume} on {node} is not there any more")
