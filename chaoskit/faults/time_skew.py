from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator

from chaoskit.linux.process_match import ProcessMatch, with_true_clocks
from chaoskit.model.capability import PROCESS_CLOCK, Need
from chaoskit.model.facts import Check, ClockQuery
from chaoskit.model.steps import LEAST_RATE_PPM, MOST_RATE_PPM, ShiftClock, Step
from chaoskit.model.units import Drift
from chaoskit.ports.fault import Facts, Fault, Scene

_LEAST_PPM = 50.0


class TimeSkew(Fault):
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

    process: ProcessMatch
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

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_CLOCK, why="to rewrite the clock functions in the memory of processes"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"clock:{node}:{self.process}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        return facts.model_copy(update={"processes": with_true_clocks(self.process, nodes, tag, scene.read)})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(
            ShiftClock(node=n, tag=facts.tag, processes=facts.processes[n], rate_ppm=float(self.rate)) for n in facts.nodes
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(ShiftClock(node=n, tag=facts.tag, processes=facts.processes[n]) for n in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=ClockQuery(node=n, tag=facts.tag, processes=facts.processes[n], rate_ppm=float(self.rate)),
                in_force=("as_asked",),
                healed=("true", "gone"),
                means=f"the wall clock of {self.process} on {n} runs at {self.rate}",
            )
            for n in facts.nodes
        )
