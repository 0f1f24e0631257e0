"""What clients with a retry policy may do to the service, and what their users may feel. Of the measure `behaviour`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit.measures.limits import ceiling, checked_clients, missing, outcome
from chaoskit.model.experiment import ClientSpec
from chaoskit.model.figures import BehaviourFigures, Figure
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures
from chaoskit.model.units import Bound, Duration, Fraction

NO_POLICY = "there is no client with a policy to judge; give one a `policy` or `policies`"


def at_most(limit: Any, quantity: type[Duration] | type[Fraction] | None) -> Bound:
    """A limit from above; a bare quantity, such as 2s, is one too. ValueError where it is none."""
    bare = quantity is not None and isinstance(limit, str) and limit.strip()[:1].isdigit()
    return ceiling(f"<= {limit.strip()}" if bare else limit, quantity)


class _PerPolicy:
    """An objective with one limit for every client with a policy, or one a client."""

    name: str
    example: str

    def bound(self, limit: Any) -> Bound:
        raise NotImplementedError

    def figure(self, figures: BehaviourFigures) -> Figure:
        raise NotImplementedError

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        if isinstance(limit, Mapping):
            if not limit:
                raise ValueError(f"no client is named; write {self.example} or {{users-fixed: {self.example}}}")
            checked_clients([str(name) for name in limit], clients)
        for value in limit.values() if isinstance(limit, Mapping) else (limit,):
            self.bound(value)

    def unfit(self, client: ClientSpec) -> str:
        """Why a client has no behaviour to judge."""
        return "" if client.policy is not None else "this client has no policy, so its behaviour is not measured"

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome a client."""
        chosen = limit if isinstance(limit, Mapping) else dict.fromkeys(sorted(trial.behaviour), limit)
        if not chosen:
            return (missing(self.name, str(limit), NO_POLICY, trial),)
        return tuple(
            outcome(self.name, self.bound(value), self.figure(trial.behaviour[name]), trial, name)
            if name in trial.behaviour
            else missing(self.name, str(value), f"no behaviour was recorded of the client {name!r}", trial, name)
            for name, value in chosen.items()
        )


class AmplificationObjective(_PerPolicy):
    """How many attempts a request may become, on average, during the outage."""

    name = "amplification"
    example = "3"

    def bound(self, limit: Any) -> Bound:
        return at_most(limit, None)

    def figure(self, figures: BehaviourFigures) -> Figure:
        return figures.amplification


class PeakAmplificationObjective(_PerPolicy):
    """How many attempts may come for each request in any second: a retry storm is a peak."""

    name = "peak_amplification"
    example = "5"

    def bound(self, limit: Any) -> Bound:
        return at_most(limit, None)

    def figure(self, figures: BehaviourFigures) -> Figure:
        return figures.peak_amplification


class AbandonedObjective(_PerPolicy):
    """How many requests may be given up, whatever was tried."""

    name = "abandoned"
    example = "0"

    def bound(self, limit: Any) -> Bound:
        return at_most(limit, None)

    def figure(self, figures: BehaviourFigures) -> Figure:
        return figures.abandoned


class WorstLatencyObjective(_PerPolicy):
    """How long the unluckiest user may wait, for an answer or for giving up."""

    name = "worst_latency"
    example = "2s"

    def bound(self, limit: Any) -> Bound:
        return at_most(limit, Duration)

    def figure(self, figures: BehaviourFigures) -> Figure:
        return figures.worst_latency


class NoticedObjective(_PerPolicy):
    """The share of the requests due during the outage that may be noticed: given up, or later than the client's `slo` (1 s)."""

    name = "noticed"
    example = "10%"

    def bound(self, limit: Any) -> Bound:
        return at_most(limit, Fraction)

    def figure(self, figures: BehaviourFigures) -> Figure:
        return figures.noticed
