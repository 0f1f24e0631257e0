from __future__ import annotations

from typing import ClassVar

from chaoskit.model.facts import Check
from chaoskit.model.steps import FailVolume
from chaoskit.ports.volume_fault import VolumeFault


class StorageHang(VolumeFault):
    """Hang a volume: writes and flushes wait and fail never, then go on as if nothing had been.

    Reading still works where the data is cached or no access time is written. Nobody who waits can be killed until the heal,
    which lets the volume go on and starts services of the lab that ran before and do not run now.
    """

    NAME = "storage.hang"
    OUTAGE = "a storage array that fails over, a stalled network disk, a disk that retries a bad sector for minutes"
    EXAMPLE: ClassVar = {
        "inject": "storage.hang",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to freeze the file system"

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(node=node, volume=self.volume, how="hang")

    def _evidence(self, node: str) -> tuple[Check, ...]:
        return self._ends_in(node, "hangs", f"a write to the volume {self.volume} on {node} does not end")
