"""Steps on what processes and nodes may use."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaoskit.model import capability
from chaoskit.model.steps.matching import ProcessCriteria
from chaoskit.model.steps.record import ProcessRef, StepRecord

QuotaResource = Literal["cpu", "memory", "pids"]
LimitResource = Literal["descriptors"]
UNLIMITED = -1


class SetLimit(StepRecord):
    """Set a limit of exact processes, which their later children inherit. One that is gone, or whose number was reused, is
    left alone.

    Refused where the hard limit would have to be raised and the kernel does not allow it.
    """

    NEEDS: ClassVar = capability.PROCESS_SIGNAL
    kind: Literal["set_limit"] = "set_limit"
    node: str
    processes: tuple[ProcessRef, ...]
    resource: LimitResource
    soft: int = Field(ge=UNLIMITED)
    """-1: none."""
    hard: int = Field(ge=UNLIMITED)

    def words(self) -> str:
        whom = ", ".join(str(p.pid) for p in self.processes)
        return f"set the limit of {self.resource} of {whom} on {self.node} to {limit_words(self.soft, self.hard)}"


class SetQuota(StepRecord):
    """Set what all processes of a node may use together, those to come included. Nothing where it is so already."""

    kind: Literal["set_quota"] = "set_quota"
    node: str
    resource: QuotaResource
    value: float | None = Field(default=None, ge=0)
    """Cores of CPU time, bytes of memory, or processes and threads; None: as much as there is."""

    @property
    def needed(self) -> str | None:
        return None if self.value is None else capability.QUOTAS[self.resource]

    def words(self) -> str:
        if self.value is None:
            return f"let {self.node} use as much {_WORDS[self.resource][0]} as there is"
        amount = _WORDS[self.resource][1].format(self.value)
        return f"let all of {self.node} together use {amount}"


class StartLoad(StepRecord):
    """Let processes of a node use its processors, memory or a volume, until `Cease` with the same tag.

    Refused where the same goes on, or where it would be too much: more than most of the memory that is available on this machine,
    more than half of a volume's free space.
    """

    NEEDS: ClassVar = capability.RESOURCE_LOAD
    kind: Literal["start_load"] = "start_load"
    tag: str
    node: str
    load: Literal["cpu", "memory", "disk"]
    workers: int = Field(default=0, ge=0, le=1024)
    """Of a cpu load: so many processes; 0: one for each core."""
    share: float = Field(default=1.0, gt=0, le=1)
    """Of a cpu load: the part of the time in which each is busy."""
    amount_bytes: int = Field(default=0, ge=0)
    """So much memory is taken and touched, or so large is the file that is written over and over."""
    leave_bytes: int | None = None
    """Of a memory load, instead: all but so much of what the node has left."""
    volume: str | None = None
    chunk_bytes: int = Field(default=1 << 20, ge=4096)
    """Of a disk load: flushed after so much."""

    def words(self) -> str:
        if self.load == "cpu":
            whom = f"{self.workers} processes" if self.workers else "one process for each core"
            return f"keep {whom} on {self.node} busy {self.share:.0%} of the time"
        if self.load == "memory":
            much = f"{self.amount_bytes} bytes" if self.leave_bytes is None else f"all but {self.leave_bytes} bytes"
            return f"take {much} of the memory of {self.node}, and touch every page"
        return (
            f"write {self.amount_bytes} bytes over and over to the volume {self.volume} of {self.node}, "
            f"flushed every {self.chunk_bytes} bytes"
        )


class KeepKilling(StepRecord):
    """Send a signal to each process that matches, once, as soon as it is there, until `Cease` with the same tag.

    Refused where the same goes on. A node that is off or frozen is waited for."""

    NEEDS: ClassVar = capability.PROCESS_SIGNAL
    kind: Literal["keep_killing"] = "keep_killing"
    tag: str
    node: str
    match: ProcessCriteria
    signal: str
    """Name without SIG."""
    every_s: float = Field(default=0.1, ge=0.02)
    """So often is looked."""
    delay_s: float = Field(default=0.0, ge=0)
    """A process that is back lives for so long."""

    def words(self) -> str:
        wait = f" {self.delay_s:g} s after" if self.delay_s else ""
        return f"send {self.signal} on {self.node} to {self.match}, and again{wait} whenever it returns"


_WORDS = {
    "cpu": ("CPU time", "{:g} cores of CPU time at most"),
    "memory": ("memory", "{:.0f} bytes of memory at most"),
    "pids": ("process numbers", "{:.0f} processes and threads at most"),
}


def limit_words(soft: int, hard: int) -> str:
    """soft:hard, as evidence shows it."""
    return ":".join("unlimited" if limit == UNLIMITED else str(limit) for limit in (soft, hard))
