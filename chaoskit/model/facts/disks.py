"""What may be asked of a node's files and volumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaoskit.model.record import Record


class FileQuery(Record):
    """-> reading file and value, its fingerprint; or only value: "absent" | "a directory" | whatever else it is."""

    kind: Literal["file"] = "file"
    node: str
    path: str
    """Absolute; symbolic links are followed."""


class VolumeQuery(Record):
    """Write to a volume from inside its node, and flush.

    -> reading value: "works" | "eio" | "hangs" (not done in time) | "read_only" | "full" | "detached" (not mounted in the node)
    | "off"; number: bytes free, or with `count_inodes` inodes free.
    """

    kind: Literal["volume"] = "volume"
    node: str
    volume: str
    write_bytes: int = Field(default=4096, ge=1)
    inodes: int = Field(default=1, ge=1)
    """So many files are made."""
    count_inodes: bool = False
    """True: the number is that of free inodes."""
    timeout_s: float = Field(default=2.0, le=8)


class VolumeSpeedQuery(Record):
    """Write to a volume from inside its node, past all caches, one write after the other.

    -> reading number: `latency`: seconds one write takes (median); `iops`: writes a second; `bandwidth`: bytes a second;
    value: "as_asked" (no faster than asked, within a twentieth) | "faster", or what VolumeQuery says where it does not work.
    """

    kind: Literal["volume_speed"] = "volume_speed"
    node: str
    volume: str
    measure: Literal["latency", "iops", "bandwidth"]
    asked: float
    timeout_s: float = Field(default=8.0, le=8)

    def judged(self, felt: float) -> str:
        slow = felt >= 0.95 * self.asked if self.measure == "latency" else felt <= 1.05 * self.asked
        return "as_asked" if slow else "faster"


class DiskErrorsQuery(Record):
    """Read or write a programmable disk, where no file system minds, and count the I/O errors.

    -> reading number: percent of the operations that failed; value: "none" | "as_asked" (within four standard deviations of
    what is expected of so many) | "other".
    """

    kind: Literal["disk_errors"] = "disk_errors"
    node: str
    volume: str
    operation: Literal["read", "write"]
    expected_percent: float
    operations: int = Field(default=400, ge=1)
    timeout_s: float = Field(default=8.0, le=8)

    def judged(self, percent: float) -> str:
        if not percent:
            return "none"
        share, felt = self.expected_percent / 100, percent / 100
        deviation = (share * (1 - share) / self.operations) ** 0.5
        return "as_asked" if abs(felt - share) <= 4 * deviation else "other"


class DiskFlushQuery(Record):
    """Write to a volume and flush, then ask its programmable disk.

    -> reading number: flushes it acknowledged and did not do since it began to lie; value: "lying" (one or more) | "honest".
    """

    kind: Literal["disk_flushes"] = "disk_flushes"
    node: str
    volume: str
    timeout_s: float = Field(default=2.0, le=8)
