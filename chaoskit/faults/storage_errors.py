from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import model_validator

from chaoskit.model.facts import Check, DiskErrorsQuery
from chaoskit.model.steps import FailVolume
from chaoskit.model.units import Fraction
from chaoskit.ports.volume_fault import VolumeFault


class StorageErrors(VolumeFault):
    """Let a share of a disk's operations end in an I/O error, chosen by chance with a seed.

    What ext4 makes of it is part of the fault: an error in its journal turns it read-only, cached reads go on. The heal makes
    the disk answer well again; where the file system took harm it is checked (e2fsck) and mounted anew, for which processes that
    hold it are ended; services of the lab that ran before and do not run now are started.
    """

    NAME = "storage.errors"
    OUTAGE = "bad sectors, a failing controller, a flaky cable, a path to the storage that is lost now and then"
    EXAMPLE: ClassVar = {
        "inject": "storage.errors",
        "target": {"role": "primary"},
        "with": {"volume": "pg", "share": "20%"},
        "at": "10s",
        "for": "30s",
    }
    WHY = "to answer operations with errors"
    PROGRAMMABLE_ONLY = True

    share: Fraction
    """Of the operations that fail."""
    reads: bool = True
    """Reads fail."""
    writes: bool = True
    """Writes and flushes fail."""
    seed: int = 1
    """Of the chance that chooses."""

    @model_validator(mode="after")
    def _hits_something(self) -> Self:
        if not self.share or not self._operations():
            raise ValueError("a share of more than 0%, of reads or of writes or of both")
        return self

    def _failure(self, node: str) -> FailVolume:
        return FailVolume(
            node=node,
            volume=self.volume,
            how="errors",
            share=float(self.share),
            reads=self.reads,
            writes=self.writes,
            seed=self.seed,
        )

    def _evidence(self, node: str) -> tuple[Check, ...]:
        errors = tuple(
            Check(
                query=DiskErrorsQuery(
                    node=node, volume=self.volume, operation=operation, expected_percent=100 * float(self.share)
                ),
                in_force=("as_asked",),
                healed=("none",),
                means=f"{self.share} of the {operation}s of the disk {self.volume} of {node} fail",
            )
            for operation in self._operations()
        )
        works = Check(query=self._works(node), healed=("works",), means=f"the volume {self.volume} of {node} cannot be used")
        return (*errors, works)

    def _operations(self) -> list[Literal["read", "write"]]:
        found: list[Literal["read", "write"]] = []
        if self.reads:
            found.append("read")
        if self.writes:
            found.append("write")
        return found
