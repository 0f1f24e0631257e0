from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.steps import MOST_OFFSET_S
from chaoskit.model.units import Offset
from chaoskit.ports.clock_fault import ClockFault, Falsehood


class TimeJump(ClockFault):
    """Step the wall clock of processes forwards or backwards, at once. Monotonic clocks stay true, as in a real step.

    Reached: all threads of the processes, and children forked afterwards, in every call of clock_gettime, gettimeofday and time
    for the time of day that goes through the vDSO, as those of C libraries and of Go do. Not reached: programs that are executed
    afterwards, so a service that restarts has the true time; code that makes the system call itself; sleeps and timers until an
    absolute time of day, which the kernel measures; other processes, and the host, whose clock nobody touches. The heal makes
    every reached process that still lives true again, and brings the clock back in one step; `gone` in its evidence means that
    none lived on. All threads stand still for some milliseconds at both ends; while the fault lasts a look at any clock costs
    them a system call.
    """

    NAME = "time.jump"
    OUTAGE = "a time server that is wrong, an operator's date, a guest resumed from a snapshot, a dead clock battery after a boot"
    EXAMPLE: ClassVar = {
        "inject": "time.jump",
        "target": {"role": "primary"},
        "with": {"process": {"service": "patroni"}, "by": "+1h"},
        "at": "10s",
        "for": "30s",
    }

    by: Offset
    """How far, with a sign: +1h, -30s. At most 30 years."""

    @field_validator("by")
    @classmethod
    def _bounded(cls, by: Offset) -> Offset:
        if not 1e-3 <= abs(by) <= MOST_OFFSET_S:
            raise ValueError("at least 1ms and at most 30 years (10957d), forwards or backwards")
        return by

    def falsehood(self) -> Falsehood:
        return Falsehood(offset_s=float(self.by), words=f"is {self.by} off")
