from __future__ import annotations

from typing import ClassVar

from chaoskit.model.facts import Check, DiskFlushQuery
from chaoskit.model.steps import FailVolume
from chaoskit.ports.volume_fault import VolumeFault


class StorageLying(VolumeFault):
    """Let a disk acknowledge flushes that it does not do: what is written stays in its cache.

    Nothing is amiss until the power goes: combine it with `node.power_off` or `node.reboot` of the same node. All that was
    written since the lie began is gone then, whatever was acknowledged. It goes on through the power cycle. The heal makes the
    disk honest, and what it still holds is written.
    """

    NAME = "storage.lying"
    OUTAGE = "a consumer SSD without power-loss protection, a write cache left on, a hypervisor set to cache=unsafe"
    EXAMPLE: ClassVar = {
        "inject": "storage.lying",
        "target": {"role": "primary"},
        "with": {"volume": "pg"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to acknowledge flushes without doing them"
    PROGRAMMABLE_ONLY = True
    SURVIVES_POWER = True

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(node=node, volume=self.volume, how="lying")

    def _evidence(self, node: str) -> tuple[Check, ...]:
        return (
            Check(
                query=DiskFlushQuery(node=node, volume=self.volume),
                in_force=("lying",),
                healed=("honest",),
                means=f"the disk {self.volume} of {node} acknowledges flushes and does not do them",
            ),
        )
