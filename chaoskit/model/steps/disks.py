"""Steps on a node's files and volumes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaoskit.model import capability
from chaoskit.model.files import FileState
from chaoskit.model.steps.record import StepRecord

_FAILURES = {
    "lost": "I/O errors from now on, unflushed data is gone",
    "power_loss": "I/O errors from now on, unflushed data is gone, also what the disk itself has in its cache",
    "detach": "it vanishes from its mount point, who has it open gets I/O errors, unflushed data is gone",
    "hang": "writes and flushes wait",
    "read_only": "its file system turns read-only",
    "full": "filled until {0.free_bytes} bytes are free",
    "no_inodes": "filled with empty files until {0.free_inodes} inodes are free",
    "lying": "flushes are acknowledged and not done",
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
    how: Literal["lost", "power_loss", "detach", "hang", "read_only", "full", "no_inodes", "slow", "errors", "lying"]
    """`lost`: I/O errors, unflushed data gone; `power_loss`: with what the disk has in its cache; `detach`: and unmounted in the
    node; `hang`: writes wait; `full`: `free_bytes` are left; `no_inodes`: `free_inodes` are left. Only on a programmable disk:
    `slow`, `errors`, and `lying`, which acknowledges flushes and does not do them."""
    free_bytes: int = 0
    free_inodes: int = 0
    latency_s: float = Field(default=0.0, ge=0)
    """`slow`: each read, write and flush takes so much longer."""
    iops: float = Field(default=0.0, ge=0)
    """`slow`: at most so many of them a second; 0: no limit."""
    bytes_per_s: float = Field(default=0.0, ge=0)
    """`slow`: at most so much is read and written; 0: no limit."""
    share: float = Field(default=0.0, ge=0, le=1)
    """`errors`: of the operations."""
    reads: bool = False
    writes: bool = False
    """`errors`: on which of them; flushes are writes."""
    seed: int = 0
    """`errors`: of the chance that chooses."""

    def words(self) -> str:
        return f"make the volume {self.volume} of {self.node} fail: {self._failure()}"

    def _failure(self) -> str:
        if self.how == "slow":
            said = [f"each operation takes {self.latency_s:g} s longer"] if self.latency_s else []
            said += [f"at most {self.iops:g} operations a second"] if self.iops else []
            said += [f"at most {self.bytes_per_s:g} bytes a second"] if self.bytes_per_s else []
            return ", ".join(said)
        if self.how == "errors":
            which = " and ".join(w for w, hit in (("reads", self.reads), ("writes and flushes", self.writes)) if hit)
            return f"{100 * self.share:g} % of {which}, by chance, end in an I/O error"
        return _FAILURES[self.how].format(self)


class RestoreVolume(StepRecord):
    """Let a volume work again. Nothing where it does. One that was lost, detached or read-only, or whose file system met an
    error, is mounted anew, for which the node's processes that still hold it are ended. A liar makes its promises good."""

    kind: Literal["restore_volume"] = "restore_volume"
    node: str
    volume: str

    def words(self) -> str:
        return f"let the volume {self.volume} of {self.node} work again; who holds one that must be mounted anew is ended"
