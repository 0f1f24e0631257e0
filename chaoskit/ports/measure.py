"""What a measure and a report section look like from outside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chaoskit.model.recorded import TrialRecord
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures


class Measure(Protocol):
    """A part of `TrialMeasures`, computed from a recorded trial. Pure: no clock, no files, no chance."""

    name: str

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """Fields of TrialMeasures that this measure owns, such as {"rpo": LedgerFigures(...)}."""


class Objective(Protocol):
    """One key of `objectives:`. It belongs to a measure."""

    name: str
    example: str

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """Met, missed, or unknown (None) with the reason. Pure."""
