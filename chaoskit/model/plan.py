"""plan.json: everything that will happen, decided before anything starts."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.capability import Survey
from chaoskit.model.experiment import Action, Experiment
from chaoskit.model.lab import LabPlan, LabSpec
from chaoskit.model.record import Record
from chaoskit.model.source import SourceFile
from chaoskit.model.steps import Step

PLAN_FORMAT = 1
"""Of plan.json; one more whenever this code could misread what an earlier one wrote."""


class PlannedAction(Record):
    """One fault of the method, with the instants chosen and, as far as known before the run, its steps."""

    name: str
    fault: str
    action: Action
    """As it is to be carried out: one of several repetitions or staggered injections has its own."""
    entry: str = ""
    """The name of the entry of `method` that it comes from, where that stands for several."""
    at_s: float | None
    """After the baseline, delay and phase included; None where it waits for something."""
    phase_s: float = 0.0
    """The random extra wait drawn from the action's `phase`; contained in `at_s`, added where it waits for something."""
    candidates: tuple[str, ...]
    """The nodes it may hit; which one is decided by the role held at that instant."""
    inject_preview: tuple[Step, ...] = ()
    """The steps for the first candidate(s), as an example where the target is a role."""
    heal_preview: tuple[Step, ...] = ()
    notes: tuple[str, ...] = ()
    """What is missing here (an optional need), said beforehand."""

    def is_of(self, name: str) -> bool:
        """Whether a reference to `name` (after, during, of) means this one, or this one among others."""
        return name in (self.name, self.entry)

    def waits_for(self, other: PlannedAction) -> bool:
        """Whether it starts after or during another one. Among those of its own entry a name means exactly one."""
        named = self.action.after or self.action.during
        if named is None or other.name == self.name:
            return False
        return other.name == named if named == self.entry else other.is_of(named)


class TrialPlan(Record):
    index: int
    seed: int
    actions: tuple[PlannedAction, ...]
    phase_s: float = 0.0
    """How much later than written this trial's actions by the clock begin; contained in their `at_s`."""
    phase_of_s: float = 0.0
    """It was drawn between 0 and this."""
    phase_rule: str = ""
    """Where that comes from."""

    @property
    def injection_phase_s(self) -> float:
        """The random part of the first injection: the trial's, and the first action's own `phase`."""
        return self.phase_s + (self.actions[0].phase_s if self.actions else 0.0)


class Plan(Record):
    """What `plan` returns and `run` carries out."""

    format: Annotated[int, Field(ge=1, le=PLAN_FORMAT)] = PLAN_FORMAT
    """Of the run directory; one from before there were formats does not say, and is read as the first."""
    experiment: Experiment
    experiment_source: SourceFile
    lab: LabSpec
    lab_source: SourceFile
    lab_plan: LabPlan
    survey: Survey
    seed: int
    trials: tuple[TrialPlan, ...]
    predicted_rto_s: tuple[float, float] | None = None
    notes: tuple[str, ...] = ()
    overrides: dict[str, Any] = {}

    @property
    def blast_radius(self) -> BlastRadius:
        """The experiment's and the lab's together."""
        return self.experiment.blast_radius.with_limits_of(self.lab.blast_radius)
