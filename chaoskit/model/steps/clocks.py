"""Steps on the clocks of processes."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaoskit.model import capability
from chaoskit.model.steps.record import ProcessRef, StepRecord

MOST_OFFSET_S = 30 * 365.25 * 86400.0
LEAST_RATE_PPM, MOST_RATE_PPM = -900_000.0, 10_000_000.0


class ShiftClock(StepRecord):
    """Make the wall clock of exact processes false, from now on: `offset_s` ahead, and `rate_ppm` faster than the true one.

    All threads, and children forked afterwards; not programs executed afterwards. One that is gone is passed over. Refused
    where somebody else has shifted it. With both 0 it is true again, for every process of the node that has this tag's shift,
    inherited or not; nothing where none has.
    """

    NEEDS: ClassVar = capability.PROCESS_CLOCK
    kind: Literal["shift_clock"] = "shift_clock"
    node: str
    tag: str
    """Names this shift; the same with zeros undoes exactly it."""
    processes: tuple[ProcessRef, ...] = ()
    offset_s: float = Field(default=0.0, ge=-MOST_OFFSET_S, le=MOST_OFFSET_S)
    rate_ppm: float = Field(default=0.0, ge=LEAST_RATE_PPM, le=MOST_RATE_PPM)

    def words(self) -> str:
        who = ", ".join(dict.fromkeys(str(p) for p in self.processes))
        parts = [f"steps by {self.offset_s:+g} s"] if self.offset_s else []
        parts += [f"runs {abs(self.rate_ppm):g} ppm {'fast' if self.rate_ppm > 0 else 'slow'}"] if self.rate_ppm else []
        if parts:
            return f"on {self.node} the wall clock of {who} {' and '.join(parts)}"
        return f"on {self.node} those processes, and what they forked, see the true time again"
