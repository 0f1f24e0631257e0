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
