"""The objectives of an experiment: what was promised, held against what was measured. Each belongs to a measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaoskit.measures.limits import ceiling, checked_clients, floor, missing, nothing_seen, outcome, per_client
from chaoskit.model.experiment import ClientSpec
from chaoskit.model.figures import ClientFigures, Figure, LedgerFigures, LevelFigures, VantageFigures
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures
from chaoskit.model.units import Bound, Duration, Fraction

NO_FRESH = "there is no client of class fresh to judge; name clients, as in {orders: ...}"
NONE = "none"
ANY = "any"
LEVELS: Mapping[str, Callable[[VantageFigures], LevelFigures]] = {
    ANY: lambda v: v.any_down,
    "quorum": lambda v: v.quorum_down,
    "all": lambda v: v.all_down,
}


def _is_none(limit: Any) -> bool:
    return isinstance(limit, str) and limit.strip() == NONE


class _PerClient:
    """An objective with one limit for every fresh client, or one a client."""

    name: str
    example: str
    levelled = False
    """Whether it can be about so many vantages at once."""

    def bound(self, limit: Any) -> Bound | str:
        raise NotImplementedError

    def figure(self, figures: ClientFigures | LevelFigures) -> Figure:
        raise NotImplementedError

    def at_level(self, limit: Any) -> tuple[Any, str]:
        """The limit itself, and how many vantages it is about: "any" where nothing is said."""
        if not isinstance(limit, Mapping):
            return limit, ANY
        level = limit.get("vantages", ANY)
        if self.levelled and "within" in limit and set(limit) <= {"within", "vantages"} and level in LEVELS:
            within = limit["within"]
            plain = isinstance(within, str) and within.strip()[:1].isdigit()  # "within: 15s" says "at most" by itself
            return f"<= {within.strip()}" if plain else within, str(level)
        example = f"{{within: {self.example.removeprefix('<= ')}, vantages: quorum}}"
        allowed = f"{example}, with vantages any of {', '.join(LEVELS)}" if self.levelled else self.example
        raise ValueError(f"{dict(limit)!r} is no limit here; write {allowed}")

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        if isinstance(limit, Mapping):
            if not limit:
                raise ValueError(
                    f"no client is named; write {self.example} or {{{next(iter(clients), 'orders')}: {self.example}}}"
                )
            checked_clients([str(name) for name in limit], clients)
            for value in limit.values():
                self.bound(self.at_level(value)[0])
            return
        self.bound(limit)

    def _one(self, limit: Any, trial: TrialMeasures, name: str, figures: ClientFigures | None) -> ObjectiveOutcome:
        value, level = self.at_level(limit)
        if figures is None:
            return missing(self.name, str(value), f"nothing was recorded of the client {name!r}", trial, name)
        # At a client with one vantage, any, a quorum and all of them are the same.
        seen = LEVELS[level](figures.vantages) if figures.vantages is not None and self.levelled else figures
        made = outcome(self.name, self.bound(value), self.figure(seen), trial, name)
        return made if level == ANY else made.model_copy(update={"target": f"{made.target} ({level} of the vantages)"})

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome a client."""
        chosen = per_client(limit, trial)
        if not chosen:
            return (missing(self.name, str(limit), NO_FRESH, trial),)
        return tuple(self._one(value, trial, name, figures) for name, figures, value in chosen)


class RtoObjective(_PerClient):
    """How long a failover may take, as fresh clients see it. A service that returns only once the fault is healed is none."""

    name = "rto"
    example = "<= 30s"
    levelled = True

    def bound(self, limit: Any) -> Bound | str:
        return ceiling(limit, Duration)

    def figure(self, figures: ClientFigures | LevelFigures) -> Figure:
        return figures.rto

    def unfit(self, client: ClientSpec) -> str:
        """Why a client's RTO would not be that of the service."""
        if client.policy is None or not client.policy.retries or client.policy.judge_rto:
            return ""
        return (
            "this client tries again, and so hides outages: its RTO is not that of the service; name a fresh client without a "
            "policy, use worst_latency or abandoned, or say judge_rto: true in its policy"
        )


class OutageObjective(_PerClient):
    """How long users may be without service, whatever brought it back: a duration, or `none`."""

    name = "outage"
    example = "none"
    levelled = True

    def bound(self, limit: Any) -> Bound | str:
        return NONE if _is_none(limit) else ceiling(limit, Duration)

    def figure(self, figures: ClientFigures | LevelFigures) -> Figure:
        return figures.user_rto


class AvailabilityObjective(_PerClient):
    """The least share of attempts that must be ok, from the end of the baseline to the end of observation."""

    name = "availability"
    example = '">= 99%"'

    def bound(self, limit: Any) -> Bound | str:
        return floor(limit, Fraction)

    def figure(self, figures: ClientFigures | LevelFigures) -> Figure:
        assert isinstance(figures, ClientFigures)  # it is not levelled
        return figures.availability


def _count(value: int | None, what: str, n: int) -> Figure:
    if value is None:
        return Figure(unit=what, n=n, valid=False, reasons=("the ledger was not read",), text="unknown")
    return Figure(point=value, low=value, high=value, unit=what, n=n, text=str(value) if value else "none")


def _readable(rpo: LedgerFigures, figure: Figure) -> Figure:
    """Counts of what was read back are as good as the read that `lost` rests on."""
    return (
        figure if rpo.lost.valid else figure.model_copy(update={"valid": False, "reasons": rpo.lost.reasons, "text": "unknown"})
    )


def _divergence(rpo: LedgerFigures) -> Figure:
    if not rpo.divergence:
        return Figure(unit="writes", valid=False, reasons=("no node's own content could be read",), text="unknown")
    worst = max(rpo.divergence.values())
    text = ", ".join(f"{node} {count}" for node, count in rpo.divergence.items() if count) or "none"
    if rpo.unread:  # a node that nobody could read may differ by anything
        why = tuple(f"the content of {node} could not be read: {detail}" for node, detail in rpo.unread.items())
        text += f"; not read: {', '.join(rpo.unread)}"
        return _readable(rpo, Figure(low=worst, unit="writes", n=rpo.acknowledged, reasons=why, text=text))
    return _readable(rpo, _count(worst, "writes", rpo.acknowledged).model_copy(update={"text": text}))


_RPO_FIGURES: Mapping[str, Callable[[LedgerFigures], Figure]] = {
    "writes": lambda r: r.lost,
    "window": lambda r: r.window,
    "duplicates": lambda r: _readable(r, _count(r.duplicated, "writes", r.acknowledged)),
    "phantoms": lambda r: _readable(r, _count(r.phantom, "writes", r.acknowledged)),
    "divergence": _divergence,
}


class RpoObjective:
    """How many acknowledged writes may be lost, or over how long a time; bare numbers are writes."""

    name = "rpo"
    example = "{writes: 0}"

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        self._bounds(limit)

    def _bounds(self, limit: Any) -> dict[str, Bound]:
        given = limit if isinstance(limit, Mapping) else {"writes": limit}
        if not given:
            raise ValueError(f"no limit is given; write {self.example}, with any of {', '.join(_RPO_FIGURES)}")
        bounds = {}
        for key, value in given.items():
            if key not in _RPO_FIGURES:
                raise ValueError(f"{key!r} is not known here; use any of {', '.join(_RPO_FIGURES)}")
            bounds[key] = ceiling(0 if _is_none(value) and key != "window" else value, Duration if key == "window" else None)
        return bounds

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome for each limit given."""
        bounds = self._bounds(limit)
        if trial.rpo is None:
            why = "no client keeps a ledger: give one of them `operation: append`"
            return tuple(missing(f"{self.name}.{key}", bound.text, why, trial) for key, bound in bounds.items())
        return tuple(outcome(f"{self.name}.{key}", bound, _RPO_FIGURES[key](trial.rpo), trial) for key, bound in bounds.items())


class FlapsObjective:
    """How often service may go down again after it was back."""

    name = "flaps"
    example = "0"

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        ceiling(0 if _is_none(limit) else limit, None)

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome."""
        bound = ceiling(0 if _is_none(limit) else limit, None)
        if trial.flapping is None:
            return (missing(self.name, bound.text, "flapping was not measured", trial),)
        return (outcome(self.name, bound, trial.flapping.flaps, trial),)


class LeaderChangesObjective:
    """How often the leader may change, fail-back included: 0 where nothing may fail over."""

    name = "leader_changes"
    example = "0"

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        ceiling(0 if _is_none(limit) else limit, None)

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome."""
        bound = ceiling(0 if _is_none(limit) else limit, None)
        if trial.flapping is None:
            return (missing(self.name, bound.text, "leaders were not measured", trial),)
        return (outcome(self.name, bound, trial.flapping.leader_changes, trial),)


TWO_LEADERS = "two leaders at once"
BLIND_AT_MOST_S = 2.0
"""Role evidence with longer gaps between samples cannot speak against two leaders: many failovers are shorter."""


def _blindness(dual_owner_time: Figure) -> tuple[str, ...]:
    """Why "none seen" proves nothing, where the watcher's samples lie too far apart for that."""
    gap_s = dual_owner_time.high
    if not dual_owner_time.valid or gap_s is None or gap_s <= BLIND_AT_MOST_S or nothing_seen(dual_owner_time)[0] is False:
        return ()
    return (f"the roles were not sampled for up to {gap_s:.1f} s, so that two leaders may have gone unseen",)


class SplitBrainObjective:
    """That no two nodes led at once: no time with two leaders, no write acknowledged by one that was superseded."""

    name = "split_brain"
    example = NONE

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError where the limit is anything but `none`."""
        if not _is_none(limit):
            raise ValueError("the only limit there is for split brain is: none")

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome. One kind of evidence is enough to miss it, and to meet it; what the other could not tell is said."""
        figures = {}
        if trial.rpo is not None:
            figures["acknowledged by a superseded leader"] = trial.rpo.split_brain_acks
        if trial.flapping is not None:
            figures[TWO_LEADERS] = trial.flapping.dual_owner_time
        blind = _blindness(trial.flapping.dual_owner_time) if trial.flapping is not None else ()
        usable = {what: f for what, f in figures.items() if f.valid and not (blind and what == TWO_LEADERS)}
        actual = "; ".join(f"{what}: {f.text}" for what, f in figures.items()) or "unknown"
        found = [what for what, f in usable.items() if nothing_seen(f)[0] is False]
        met: bool | None
        reasons: tuple[str, ...]
        if found:
            met, reasons = False, tuple(f"{what}: {usable[what].text}" for what in found)
        elif usable:
            met = True
            reasons = tuple(f"{what}: {'; '.join(f.reasons)}" for what, f in figures.items() if not f.valid) + blind
        else:
            met = None
            reasons = blind + tuple(r for f in figures.values() for r in f.reasons) or (
                "no role was watched and no ledger was kept",
            )
        return (ObjectiveOutcome(name=self.name, target=NONE, actual=actual, met=met, reasons=reasons, trial=trial.index),)
