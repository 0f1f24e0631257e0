from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.steps import LEAST_RATE_PPM, MOST_RATE_PPM
from chaoskit.model.units import Drift
from chaoskit.ports.clock_fault import ClockFault, Falsehood

_LEAST_PPM = 50.0


class TimeSkew(ClockFault):
    """Let the wall clock of processes run fast or slow, from the injection on. Monotonic clocks stay true.

    It drifts away from the true time, by 0.5 ms a second at 500 ppm, and the heal brings it back in one step. What is reached
    and what is not is the same as with `time.jump`: threads and forked children of the processes, through the vDSO; not programs
    executed afterwards, nor raw system calls, nor the kernel's own timers.
    """

    NAME = "time.skew"
    OUTAGE = "a clock that nobody disciplines (no NTP), a bad oscillator, a guest that loses ticks on a busy host"
    EXAMPLE: ClassVar = {
        "inject": "time.skew",
        "target": {"role": "primary"},
        "with": {"process": {"service": "patroni"}, "rate": "+500ppm"},
        "at": "10s",
        "for": "30s",
    }

    rate: Drift
    """How much faster, with a sign, in ppm or percent: +500ppm, -1%. From -90% to +1000%, and at least 50ppm either way."""

    @field_validator("rate")
    @classmethod
    def _bounded(cls, rate: Drift) -> Drift:
        if not LEAST_RATE_PPM <= rate <= MOST_RATE_PPM or abs(rate) < _LEAST_PPM:
            raise ValueError(
                f"from -90% to +1000%, and at least {_LEAST_PPM:g}ppm either way, which is what can be proven quickly"
            )
        return rate

    def falsehood(self) -> Falsehood:
        return Falsehood(rate_ppm=float(self.rate), words=f"runs at {self.rate}")
