from __future__ import annotations

from typing import ClassVar

from chaoskit.model.facts import Check
from chaoskit.model.steps import FailVolume
from chaoskit.ports.volume_fault import VolumeFault


class StoragePowerLoss(VolumeFault):
    """Cut the power of a disk, and not of its node: all that was not flushed is gone, and every access fails until the heal.

    `storage.lost` is a disk that cannot be reached and comes back with what it had accepted: only what the node's kernel had not
    yet sent is gone. Here the disk's own write cache is gone too, which makes a difference on a volume of kind `programmable`;
    an ext4-loop volume has no such cache. With `node.power_off` the processes die as well, and none of them sees an error.
    The heal does what an operator must: processes of the node that still hold the dead volume are ended, it is mounted anew in
    the running node with its journal replayed, and services of the lab that ran before and do not run now are started.
    """

    NAME = "storage.power_loss"
    OUTAGE = "the power supply of a disk shelf, a loose cable, an external array that restarts without a battery for its cache"
    EXAMPLE: ClassVar = {
        "inject": "storage.power_loss",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to make the disk forget, and to mount it anew in the running node"

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(node=node, volume=self.volume, how="power_loss")

    def _evidence(self, node: str) -> tuple[Check, ...]:
        return self._ends_in(node, "eio", f"the disk of the volume {self.volume} on {node} has no power")
