"""Objectives about a quantile over all trials, with a stated confidence, and whether more trials could still change the answer.

Judged once, for all that were carried out. A run may stop before `repeat` trials only where whatever the rest would give leaves
the answer as it is (curtailed sampling): looking after every trial and stopping at the first lucky moment would not have the
confidence that is claimed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit.engine.order_statistics import at_most, tail_confidence, trials_needed
from chaoskit.engine.statistics import named_trials, percent_reached
from chaoskit.model.experiment import QuantileObjective
from chaoskit.model.figures import Figure
from chaoskit.model.result import ObjectiveOutcome

ROUNDING = 1e-12


@dataclass(frozen=True)
class Counted:
    """The valid trials of one figure, held against a limit."""

    kept: tuple[int, ...]
    exceeding: tuple[int, ...]
    open: tuple[int, ...]
    """The limit lies within their bounds: they count against whatever is claimed."""
    left_out: tuple[int, ...]

    @property
    def n(self) -> int:
        return len(self.kept) + len(self.exceeding) + len(self.open)


def counted(asked: QuantileObjective, figures: Sequence[tuple[int, Figure]]) -> Counted:
    """Trials by whether the whole of their bounds keeps the limit, none of it does, or it is open."""
    sorted_out: dict[str, list[int]] = {"kept": [], "exceeding": [], "open": [], "left_out": []}
    for trial, figure in figures:
        sorted_out[_where(asked, figure)].append(trial)
    return Counted(**{key: tuple(trials) for key, trials in sorted_out.items()})


def _where(asked: QuantileObjective, figure: Figure) -> str:
    if not figure.valid or (figure.low is None and figure.high is None):
        return "left_out"
    high = math.inf if figure.censored or figure.high is None else figure.high
    if asked.limit.holds(high):
        return "kept"
    return "exceeding" if figure.low is not None and not asked.limit.holds(figure.low) else "open"


def shown(n: int, exceeding: int, quantile: float, confidence: float) -> bool:
    """Whether so many of n above the limit still show that the quantile keeps it."""
    return n > 0 and tail_confidence(n, quantile, exceeding) >= confidence - ROUNDING


def refuted(n: int, exceeding: int, quantile: float, confidence: float) -> bool:
    """Whether so many of n above the limit show that the quantile does not keep it."""
    return exceeding > 0 and at_most(n, exceeding - 1, 1 - quantile) >= confidence - ROUNDING


def met(asked: QuantileObjective, found: Counted) -> bool | None:
    """True, False, or None where the trials show neither."""
    quantile, confidence = float(asked.quantile), float(asked.confidence)
    if shown(found.n, len(found.exceeding) + len(found.open), quantile, confidence):
        return True
    return False if refuted(found.n, len(found.exceeding), quantile, confidence) else None


def attainable(asked: QuantileObjective, found: Counted, remaining: int) -> frozenset[bool | None]:
    """What `met` may still become with so many trials to come, each of which may keep the limit, exceed it or be invalid."""
    quantile, confidence = float(asked.quantile), float(asked.confidence)
    worst, surely, n = len(found.exceeding) + len(found.open), len(found.exceeding), found.n
    possible: set[bool | None] = set()
    if shown(n + remaining, worst, quantile, confidence) or shown(n, worst, quantile, confidence):
        possible.add(True)
    if refuted(n + remaining, surely + remaining, quantile, confidence):
        possible.add(False)
    always_shown = shown(n + remaining, worst + remaining, quantile, confidence)
    always_refuted = refuted(n + remaining, surely, quantile, confidence)
    return frozenset(possible) if always_shown or always_refuted else frozenset(possible | {None})


def outcome(asked: QuantileObjective, figures: Sequence[tuple[int, Figure]]) -> ObjectiveOutcome:
    """One objective about a quantile, over all trials that were carried out."""
    quantile, confidence = float(asked.quantile), float(asked.confidence)
    found = counted(asked, figures)
    against = len(found.exceeding) + len(found.open)
    reached = tail_confidence(found.n, quantile, against) if found.n else 0.0
    verdict = met(asked, found)
    actual = f"{len(found.kept)} of {found.n} trials keep it: {percent_reached(reached)} confidence"
    return ObjectiveOutcome(
        name=f"{asked.figure} {asked.name}",
        target=f"{asked.name} {asked.limit.text} with {confidence * 100:g} % confidence",
        actual=actual if found.n else "no valid trial",
        met=verdict,
        reasons=tuple(_reasons(found, verdict, quantile, confidence)),
    )


def _reasons(found: Counted, verdict: bool | None, quantile: float, confidence: float) -> list[str]:
    said = []
    if found.exceeding:
        said.append(f"{named_trials(found.exceeding)} exceed{'s' if len(found.exceeding) == 1 else ''} the limit")
    if found.open:
        said.append(f"the limit lies within the bounds of {named_trials(found.open)}, counted against what is claimed")
    if found.left_out:
        said.append(f"without a valid figure, and left out: {named_trials(found.left_out)}")
    if verdict is None:
        against = len(found.exceeding) + len(found.open)
        needed = trials_needed(quantile, confidence, against)
        above = "none above the limit" if against == 0 else f"{against} above the limit"
        said.append(f"it takes {needed} valid trials with {above}; there are {found.n}")
    return said
