from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pydantic import field_validator

from chaoskit.linux.process_match import ProcessMatch, with_true_clocks
from chaoskit.model.capability import PROCESS_CLOCK, Need
from chaoskit.model.facts import Check, ClockQuery
from chaoskit.model.steps import MOST_OFFSET_S, ShiftClock, Step
from chaoskit.model.units import Offset
from chaoskit.ports.fault import Facts, Fault, Scene


class TimeJump(Fault):
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

    process: ProcessMatch
    by: Offset
    """How far, with a sign: +1h, -30s. At most 30 years."""

    @field_validator("by")
    @classmethod
    def _bounded(cls, by: Offset) -> Offset:
        if not 1e-3 <= abs(by) <= MOST_OFFSET_S:
            raise ValueError("at least 1ms and at most 30 years (10957d), forwards or backwards")
        return by

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_CLOCK, why="to rewrite the clock functions in the memory of processes"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"clock:{node}:{self.process}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        return facts.model_copy(update={"processes": with_true_clocks(self.process, nodes, tag, scene.read)})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(
            ShiftClock(node=n, tag=facts.tag, processes=facts.processes[n], offset_s=float(self.by)) for n in facts.nodes
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(ShiftClock(node=n, tag=facts.tag, processes=facts.processes[n]) for n in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(
            Check(
                query=ClockQuery(node=n, tag=facts.tag, processes=facts.processes[n], offset_s=float(self.by)),
                in_force=("as_asked",),
                healed=("true", "gone"),
                means=f"the wall clock of {self.process} on {n} is {self.by} off",
            )
            for n in facts.nodes
        )
