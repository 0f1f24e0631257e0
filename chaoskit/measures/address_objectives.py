"""What was promised of floating addresses, held against who answered for them on the wire."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit.measures.limits import ceiling, missing, nothing_seen, outcome
from chaoskit.model.figures import AddressFigures, Figure
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures
from chaoskit.model.units import Bound, Duration

NONE = "none"
NO_ADDRESS = "no floating address was watched: name one under the lab's `addresses`, or under `watch`"
BLIND_AT_MOST_S = 2.0
"""A longer time in which nobody looked cannot speak against two owners: many of them are shorter."""


class _PerAddress:
    """An objective with one limit for every floating address, or one an address."""

    name: str
    example: str

    def bound(self, limit: Any) -> Bound | str:
        raise NotImplementedError

    def figure(self, figures: AddressFigures) -> Figure:
        raise NotImplementedError

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        if isinstance(limit, Mapping) and not limit:
            raise ValueError(f"no address is named; write {self.example} or {{vip: {self.example}}}")
        for value in limit.values() if isinstance(limit, Mapping) else (limit,):
            self.bound(value)

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome an address."""
        limits = limit if isinstance(limit, Mapping) else dict.fromkeys(trial.addresses, limit)
        if not limits:
            return (missing(self.name, str(limit), NO_ADDRESS, trial),)
        made = []
        for name, value in limits.items():
            figures = trial.addresses.get(name)
            if figures is None:
                made.append(missing(self.name, str(value), f"there is no floating address {name!r}", trial, name))
            else:
                made.append(self.judged(self.bound(value), self.figure(figures), trial, name))
        return tuple(made)

    def judged(self, bound: Bound | str, figure: Figure, trial: TrialMeasures, name: str) -> ObjectiveOutcome:
        return outcome(self.name, bound, figure, trial, name)


class _OwnerTime(_PerAddress):
    """A time that may be none: as far as questions on the wire could tell, as long as they came often enough."""

    def bound(self, limit: Any) -> Bound | str:
        if isinstance(limit, str) and limit.strip() == NONE:
            return NONE
        bound = ceiling(limit, Duration)
        return NONE if bound.limit == 0 else bound

    def judged(self, bound: Bound | str, figure: Figure, trial: TrialMeasures, name: str) -> ObjectiveOutcome:
        blind_s = figure.high or 0.0
        if bound == NONE and nothing_seen(figure)[0] and blind_s > BLIND_AT_MOST_S:
            why = f"nobody looked who has the address for up to {blind_s:.1f} s"
            return outcome(self.name, bound, figure, trial, name).model_copy(update={"met": None, "reasons": (why,)})
        return super().judged(bound, figure, trial, name)


class DualOwnerObjective(_OwnerTime):
    """How long two nodes may answer for one floating address: a duration, or `none`."""

    name = "dual_owner"
    example = "none"

    def figure(self, figures: AddressFigures) -> Figure:
        return figures.dual_owner_time


class NoOwnerObjective(_OwnerTime):
    """How long nobody may answer for a floating address: a duration, or `none`."""

    name = "no_owner"
    example = "<= 5s"

    def figure(self, figures: AddressFigures) -> Figure:
        return figures.no_owner_time


class VipMovesObjective(_PerAddress):
    """How often a floating address may move from one node to another, its way back included."""

    name = "vip_moves"
    example = "2"

    def bound(self, limit: Any) -> Bound | str:
        return ceiling(0 if limit == NONE else limit, None)

    def figure(self, figures: AddressFigures) -> Figure:
        return figures.moves
