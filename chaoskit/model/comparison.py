"""What `chaoskit compare` finds (schema `chaoskit.comparison/1`): groups of runs, and how a figure shifted between them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaoskit.model.over_trials import Summary
from chaoskit.model.record import Record

ShiftVerdict = Literal["regressed", "equivalent", "improved", "inconclusive"]


class Shift(Record):
    """How much more a figure is in B than in A: Hodges and Lehmann, the median of all differences between their trials."""

    point: float | None
    """None where it is infinite or cannot be told, because trials are censored."""
    interval: tuple[float | None, float | None] | None
    """With at least 95 %; an end of None is infinite. None: so few trials give no such interval at all."""
    confidence: float | None
    """The exact confidence of the interval."""
    n_a: int
    n_b: int


class ComparedRun(Record):
    run_id: str
    path: str
    verdict: str


class ComparedGroup(Record):
    """Runs of one argument, their trials together."""

    label: str
    runs: tuple[ComparedRun, ...]
    summary: Summary
    left_out: tuple[str, ...] = ()
    """Trials without a valid figure, with the reason."""
    rank: int = 1
    """1 + how many groups are surely better: groups whose intervals of the median overlap are tied."""


class Difference(Record):
    """Something in which two runs differ that could be the cause of a shift, or forbids the comparison."""

    between: tuple[str, str]
    what: str
    a: str
    b: str
    forbids: bool = False


class ShiftOutcome(Record):
    """One group held against the first."""

    group: str
    shift: Shift
    verdict: ShiftVerdict
    reason: str


class Comparison(Record):
    schema_: Literal["chaoskit.comparison/1"] = Field(default="chaoskit.comparison/1", alias="schema")
    figure: str
    unit: str
    tolerance: float | None
    """In the figure's unit; None where a share of an unknown median was declared."""
    tolerance_text: str
    verdict: ShiftVerdict
    groups: tuple[ComparedGroup, ...]
    outcomes: tuple[ShiftOutcome, ...]
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
