"""What the faults of the wall clock share: whose clock, and that it was true before."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from chaoskit.model.capability import PROCESS_CLOCK, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, ClockQuery
from chaoskit.model.record import Record
from chaoskit.model.steps import ProcessRef, ShiftClock, Step
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.process_match import ProcessMatch


class Falsehood(Record):
    """How a clock is wrong from the injection on."""

    words: str
    """What a clock that is wrong like this does: "is 30s off"."""
    offset_s: float = 0.0
    rate_ppm: float = 0.0


class ClockFault(Fault):
    """A fault that gives processes a wrong wall clock. A subclass says how it is wrong."""

    process: ProcessMatch
    """Whose clock. One or more of its keys; several narrow each other down."""

    @abstractmethod
    def falsehood(self) -> Falsehood:
        """Pure."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=PROCESS_CLOCK, why="to rewrite the clock functions in the memory of processes"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"clock:{node}:{self.process}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        """StepFailed where no process matches, or the clock of one cannot be told or is false."""
        facts = super().prepare(scene, nodes, tag)
        found: dict[str, tuple[ProcessRef, ...]] = {}
        for node in nodes:
            found[node] = tuple(p.ref for p in self.process.found(node, scene.read))
            state = scene.read(ClockQuery(node=node, tag=tag, processes=found[node])).value
            if state != "true":
                raise StepFailed(
                    f"the wall clock of {self.process} on {node} is {state!r} already, so a heal could not put it back"
                )
        return facts.model_copy(update={"processes": found})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        false = self.falsehood()
        return tuple(
            ShiftClock(node=n, tag=facts.tag, processes=facts.processes[n], offset_s=false.offset_s, rate_ppm=false.rate_ppm)
            for n in facts.nodes
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(ShiftClock(node=n, tag=facts.tag, processes=facts.processes[n]) for n in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        false = self.falsehood()
        return tuple(
            Check(
                query=ClockQuery(
                    node=n, tag=facts.tag, processes=facts.processes[n], offset_s=false.offset_s, rate_ppm=false.rate_ppm
                ),
                in_force=("as_asked",),
                healed=("true", "gone"),
                means=f"the wall clock of {self.process} on {n} {false.words}",
            )
            for n in facts.nodes
        )
