"""Steps on what processes and nodes may use."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaoskit.model import capability
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


_WORDS = {
    "cpu": ("CPU time", "{:g} cores of CPU time at most"),
    "memory": ("memory", "{:.0f} bytes of memory at most"),
    "pids": ("process numbers", "{:.0f} processes and threads at most"),
}


def limit_words(soft: int, hard: int) -> str:
    """soft:hard, as evidence shows it."""
    return ":".join("unlimited" if limit == UNLIMITED else str(limit) for limit in (soft, hard))
