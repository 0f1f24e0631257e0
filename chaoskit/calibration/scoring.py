"""What the measures said beside what was true. Pure.

Each outage is cut out of the session as a trial of its own: clean service before it as its baseline, the outage, and service
until shortly before the next. The registered measures then work on it as on any trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import numpy as np

from chaoskit.calibration.session import ACTION, BASELINE_S, HIT, SPARED, Recorded, Truth, clients_of
from chaoskit.engine.measuring import measured_trial
from chaoskit.model.figures import Figure
from chaoskit.model.recorded import MISSING, ClientSamples, FaultRecord, TrialRecord
from chaoskit.model.result import TrialMeasures
from chaoskit.ports.measure import Measure

_NEIGHBOURS = 5
_BEFORE_NEXT_NS = 50_000_000
_BASELINE_ENDS_NS = 100_000_000
"""Before the outage: what was on its way when it began is no part of the clean baseline."""
_AT_CONNECT = ("refuse", "drop", "flap")
"""Kinds in which the connection decides what becomes of an attempt; in the others it is the request."""
_NS = 1e9


@dataclass(frozen=True)
class Score:
    """One outage: the truth, the figure, and whether they agree. Seconds."""

    kind: str
    index: int
    truth_s: float
    uncertainty_s: float
    """The truth lies within truth_s -+ this."""
    spacing_s: float
    point_s: float | None
    low_s: float | None
    high_s: float | None
    text: str
    covered: bool
    """The bounds hold the truth, as far as the truth itself is known."""
    strictly: bool
    """The bounds hold truth_s itself."""
    invalid: tuple[str, ...]
    """Gates that were not met: the figure would not be believed."""

    @property
    def error_s(self) -> float | None:
        """How far the point lies from the truth; None where no attempt met the outage."""
        return None if self.point_s is None else abs(self.point_s - self.truth_s)

    def words(self) -> str:
        """For people."""
        gates = f"; invalid: {'; '.join(self.invalid)}" if self.invalid else ""
        said = "covers it" if self.covered else "does not cover it"
        truth = f"{self.truth_s:.6f} s (known to {self.uncertainty_s * 1000:.3f} ms)"
        return f"{self.kind} {self.index}: true {truth}, measured {self.text}: {said}{gates}"

    def data(self) -> dict[str, Any]:
        """For machines."""
        names = ("kind", "index", "truth_s", "uncertainty_s", "point_s", "low_s", "high_s", "text", "covered", "strictly")
        return {**{name: getattr(self, name) for name in names}, "invalid": list(self.invalid)}


def scores(recorded: Recorded, measures: Sequence[Measure]) -> tuple[Score, ...]:
    """One for each outage, by kind, in order."""
    found = []
    for kind in dict.fromkeys(t.kind for t in recorded.truths):
        of_kind = [t for t in recorded.truths if t.kind == kind]
        for position, truth in enumerate(of_kind):
            before = of_kind[position - 1] if position else None
            after = of_kind[position + 1] if position + 1 < len(of_kind) else None
            found.append(_score(recorded.record, truth, before, after, measures))
    return tuple(found)


def _score(session: TrialRecord, truth: Truth, before: Truth | None, after: Truth | None, measures: Sequence[Measure]) -> Score:
    trial = cut_out(session, truth, before, after)
    measured = measured_trial(trial, measures)
    name = HIT if truth.kind == "half" else truth.kind
    figure = measured.clients[name].rto
    samples = trial.clients[name]
    began, ended = truth.phases[0][:2], truth.phases[-1][2:]
    on_its_way = transit_ns(samples, began[0], ended[0], connecting=truth.kind in _AT_CONNECT)
    middle = (sum(ended) - sum(began)) / 2
    low, high = ended[0] - on_its_way - began[1], ended[1] - began[0] + on_its_way
    spared = _spared_is_clean(truth, measured)
    return Score(
        kind=truth.kind,
        index=truth.index,
        truth_s=middle / _NS,
        uncertainty_s=max(high - middle, middle - low) / _NS,
        spacing_s=samples.spacing_ns / _NS,
        point_s=figure.point,
        low_s=figure.low,
        high_s=figure.high,
        text=figure.text,
        covered=spared and _holds(figure, low / _NS, high / _NS),
        strictly=spared and _holds(figure, middle / _NS, middle / _NS),
        invalid=_invalid(figure, measured, (high - low) / 2, samples.spacing_ns),
    )


def _holds(figure: Figure, low_s: float, high_s: float) -> bool:
    return figure.low is not None and figure.low <= high_s and (figure.high is None or low_s <= figure.high)


def _spared_is_clean(truth: Truth, measured: TrialMeasures) -> bool:
    """Of two vantages only one was hit: the other must have met nothing."""
    return truth.kind != "half" or not measured.clients[SPARED].outages


def _invalid(figure: Figure, measured: TrialMeasures, uncertainty_ns: float, spacing_ns: int) -> tuple[str, ...]:
    reasons = () if figure.valid else figure.reasons
    if figure.censored and figure.valid:
        reasons = (*reasons, f"censored: {figure.text}")
    if uncertainty_ns > spacing_ns / 2:
        reasons = (*reasons, f"the truth is not known well enough: to {uncertainty_ns / 1e6:.1f} ms, more than half of d")
    return reasons


def cut_out(session: TrialRecord, truth: Truth, before: Truth | None, after: Truth | None) -> TrialRecord:
    """One outage as a trial: BASELINE_S of clean service before it, and what follows until shortly before the next."""
    began, injected = truth.phases[0][:2]
    ended = session.ended_ns if after is None else after.phases[0][0] - _BEFORE_NEXT_NS
    started = began - round(BASELINE_S * _NS) - _BASELINE_ENDS_NS
    if before is not None:  # never into the outage before
        started = max(started, before.phases[-1][3])
    fault = FaultRecord(
        action=ACTION,
        fault=ACTION,
        nodes=("service",),
        began_ns=began,
        injected_ns=injected,
        effective_ns=injected,
        verified=True,
    )
    clients = {name: _between(session.clients[name], started, ended) for name in clients_of(truth.kind)}
    return replace(
        session,
        started_ns=started,
        baseline_began_ns=started,
        baseline_ended_ns=began - _BASELINE_ENDS_NS,
        ended_ns=ended,
        clients=clients,
        faults=(fault,),
    )


def _between(samples: ClientSamples, from_ns: int, until_ns: int) -> ClientSamples:
    first, last = np.searchsorted(samples.t_intended, [from_ns, until_ns])
    columns = {
        name: getattr(samples, name)[first:last] for name in samples.__slots__ if isinstance(getattr(samples, name), np.ndarray)
    }
    return replace(samples, **columns)


def transit_ns(samples: ClientSamples, began_ns: int, ended_ns: int, *, connecting: bool) -> int:
    """How long an attempt may have been on its way before the service judged it: the longest of those answered at the edges.

    Outages are spans of send instants, and the service knows only when something reached it. `connecting`: until it was
    connected; else until its answer began.
    """
    reached = samples.t_connected if connecting else samples.t_first_byte
    arrived = np.where(reached == MISSING, samples.t_end, reached)
    ok = samples.ok & ~samples.tainted
    before = np.flatnonzero(ok & (samples.t_send < began_ns))[-_NEIGHBOURS:]
    after = np.flatnonzero(ok & (arrived >= ended_ns))[:_NEIGHBOURS]
    # one that was sent before the service broke, and told at once that it had
    at_once = np.isin(samples.outcome, ("refused", "reset")) & ~samples.tainted
    caught = np.flatnonzero(at_once & (samples.t_send < began_ns) & (samples.t_end >= began_ns))
    near = np.concatenate((before, after, caught))
    last = np.where(samples.ok, arrived, samples.t_end)
    return int((last[near] - samples.t_send[near]).max()) if len(near) else 0


@dataclass(frozen=True)
class KindSummary:
    """All outages of one kind. Seconds."""

    kind: str
    trials: int
    """That passed their gates."""
    covered: int
    strictly: int
    unseen: int
    """Met by no attempt: measured as shorter than the longest gap."""
    worst_error_s: float | None
    width_s: float | None
    """The median width of the bounds."""
    widest_s: float | None
    spacing_s: float
    truth_uncertainty_s: float
    """The largest."""
    invalid: int
    invalid_reasons: dict[str, int]

    def data(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


def summary(kind: str, found: Iterable[Score]) -> KindSummary:
    """What calibration prints for a kind."""
    mine = [s for s in found if s.kind == kind]
    valid = [s for s in mine if not s.invalid]
    errors = [s.error_s for s in valid if s.error_s is not None]
    widths = [s.high_s - s.low_s for s in valid if s.high_s is not None and s.low_s is not None]
    reasons = Counter(reason.split(":")[0] for s in mine for reason in s.invalid)
    return KindSummary(
        kind=kind,
        trials=len(valid),
        covered=sum(s.covered for s in valid),
        strictly=sum(s.strictly for s in valid),
        unseen=sum(s.point_s is None for s in valid),
        worst_error_s=max(errors, default=None),
        width_s=median(widths) if widths else None,
        widest_s=max(widths, default=None),
        spacing_s=mine[0].spacing_s if mine else 0.0,
        truth_uncertainty_s=max((s.uncertainty_s for s in valid), default=0.0),
        invalid=len(mine) - len(valid),
        invalid_reasons=dict(sorted(reasons.items())),
    )
