"""What was promised of the old leader's return."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaoskit.measures.limits import ceiling, missing, outcome
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures
from chaoskit.model.units import Bound, Duration

NONE = "none"


class FailbackObjective:
    """How long users may be without service when the old leader leads again: a duration, or `none`. One that does not come back
    costs nothing."""

    name = "failback"
    example = "none"

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        self._bound(limit)

    def _bound(self, limit: Any) -> Bound | str:
        return NONE if isinstance(limit, str) and limit.strip() == NONE else ceiling(limit, Duration)

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome a trial."""
        if trial.failback is None:
            why = "no other node was seen to lead after the fault, so there was nothing to come back to"
            return (missing(self.name, str(limit), why, trial),)
        return (outcome(self.name, self._bound(limit), trial.failback.outage, trial, trial.failback.node),)
