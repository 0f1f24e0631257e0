"""Steps on a node's files and volumes."""

from __future__ import annotations

from typing import ClassVar, Literal

from chaoskit.model import capability
from chaoskit.model.files import FileState
from chaoskit.model.steps.record import StepRecord

_FAILURES = {
    "lost": "I/O errors from now on, unflushed data is gone",
    "detach": "it vanishes from its mount point, who has it open gets I/O errors, unflushed data is gone",
    "hang": "writes and flushes wait",
    "read_only": "its file system turns read-only",
    "full": "filled until {0.free_bytes} bytes are free",
    "no_inodes": "filled with empty files until {0.free_inodes} inodes are free",
}


class WriteFile(StepRecord):
    """Make a file of a node what it shall be, in one act, whether or not it is there; its directory must be. Nothing where it
    is so already."""

    NEEDS: ClassVar = capability.FILE_EDIT
    kind: Literal["write_file"] = "write_file"
    node: str
    file: FileState

    def words(self) -> str:
        if self.file.stands_for:
            return f"write {self.file.path} on {self.node}: {self.file.stands_for}"
        size, mode, owner = len(self.file.data), f"{self.file.mode:04o}", f"{self.file.user_id}:{self.file.group_id}"
        return f"write {self.file.path} on {self.node}: {size} bytes, mode {mode}, owner {owner}"


class RemoveFile(StepRecord):
    """Remove a file of a node. Nothing where there is none."""

    NEEDS: ClassVar = capability.FILE_EDIT
    kind: Literal["remove_file"] = "remove_file"
    node: str
    path: str

    def words(self) -> str:
        return f"remove {self.path} on {self.node}"


class FailVolume(StepRecord):
    """Make a volume of a running node fail. Refused where it fails already."""

    NEEDS: ClassVar = capability.VOLUME_FAIL
    kind: Literal["fail_volume"] = "fail_volume"
    node: str
    volume: str
    how: Literal["lost", "detach", "hang", "read_only", "full", "no_inodes"]
    """`lost`: I/O errors, unflushed data gone; `detach`: the same, and unmounted in the node; `hang`: writes wait; `full`:
    `free_bytes` are left; `no_inodes`: `free_inodes` are left."""
    free_bytes: int = 0
    free_inodes: int = 0

    def words(self) -> str:
        return f"make the volume {self.volume} of {self.node} fail: {_FAILURES[self.how].format(self)}"


class RestoreVolume(StepRecord):
    """Let a volume work again. Nothing where it does. One that was lost, detached or read-only is mounted anew, for which
    the node's processes that still hold it are ended."""

    kind: Literal["restore_volume"] = "restore_volume"
    node: str
    volume: str

    def words(self) -> str:
        return f"let the volume {self.volume} of {self.node} work again; who holds one that must be mounted anew is ended"
