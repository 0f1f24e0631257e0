"""What the measures said beside what was true. Pure.

Each outage is cut out of the session as a trial of its own: clean service before it as its baseline, the outage, and service
until shortly before the next. The registered measures then work on it as on any trial.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from statistics import median
from typing import Any

import numpy as np

from chaoskit.calibration.session import ACTION, BASELINE_S, Recorded, Truth, labels_of
from chaoskit.engine.measuring import measured_trial
from chaoskit.model.figures import ClientFigures, Figure
from chaoskit.model.recorded import ClientSamples, FaultRecord, TrialRecord
from chaoskit.model.result import TrialMeasures
from chaoskit.ports.measure import Measure

_LATE_SHARE = 0.1
_BEFORE_NEXT_NS = 50_000_000
_BASELINE_ENDS_NS = 100_000_000
"""Before the outage: what was on its way when it began is no part of the clean baseline."""
_NS = 1e9


@dataclass(frozen=True)
class Score:
    """One outage: the truth, the figure, and whether they agree. Seconds."""

    kind: str
    index: int
    truth_s: float
    uncertainty_s: float
    """The truth lies within truth_s -+ this: breaking and mending took so long."""
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
    gaps_s: float | None = None
    """Half of what lies between L and F and between K and R: d where the attempts at the edges left on time. None where no
    attempt met the outage."""
    return_transit_s: float | None = None
    """How long R was on its way."""

    @property
    def on_time(self) -> bool:
        """No attempt at an edge left or arrived so late that the point is less exact than d."""
        if self.gaps_s is None or self.return_transit_s is None:
            return True
        return self.gaps_s <= self.spacing_s * (1 + _LATE_SHARE) and self.return_transit_s <= self.spacing_s / 2

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
        names = (
            "kind", "index", "truth_s", "uncertainty_s", "point_s", "low_s", "high_s", "text", "covered", "strictly", "gaps_s",
            "return_transit_s",
        )  # fmt: skip
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
    client = measured.clients[truth.kind]
    figure = client.rto
    samples = trial.clients[labels_of(truth.kind)[0]]
    began, ended = truth.phases[0][:2], truth.phases[-1][2:]
    middle = (sum(ended) - sum(began)) / 2
    low, high = ended[0] - began[1], ended[1] - began[0]
    gaps_s, return_transit_s = _edges(client)
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
        covered=_all_hold(client, low / _NS, high / _NS),
        strictly=_all_hold(client, middle / _NS, middle / _NS),
        invalid=_invalid(figure, measured, (high - low) / 2, samples.spacing_ns),
        gaps_s=gaps_s,
        return_transit_s=return_transit_s,
    )


def _edges(client: ClientFigures) -> tuple[float | None, float | None]:
    """See Score.gaps_s and Score.return_transit_s."""
    outage = next((o for o in client.outages if o.point_s is not None and o.point_s == client.rto.point), None)
    if outage is None or outage.high_s is None or outage.sent_high_s is None:
        return None, None
    return (outage.sent_high_s - outage.sent_low_s) / 2, outage.high_s - outage.sent_high_s


def _holds(figure: Figure, low_s: float, high_s: float) -> bool:
    return figure.low is not None and figure.low <= high_s and (figure.high is None or low_s <= figure.high)


def _all_hold(client: ClientFigures, low_s: float, high_s: float) -> bool:
    """With two vantages of which one was hit: no majority was served meanwhile, never nobody, and half of the time was lost."""
    seen = client.vantages
    if seen is None:
        return _holds(client.rto, low_s, high_s)
    of_all = seen.all_down.rto
    return (
        all(_holds(level.rto, low_s, high_s) for level in (seen.any_down, seen.quorum_down))
        and _holds(seen.lost_time, low_s / 2, high_s / 2)
        and not seen.all_down.outages
        and of_all.point is None
        and not of_all.censored
    )


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
    clients = {label: _between(session.clients[label], started, ended) for label in labels_of(truth.kind)}
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
    values = {field.name: getattr(samples, field.name) for field in fields(samples)}
    columns: dict[str, Any] = {name: value[first:last] for name, value in values.items() if isinstance(value, np.ndarray)}
    return replace(samples, **columns)


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
    late: int
    """Trials in which an attempt at an edge left or arrived late: there the point is less exact than d."""
    worst_error_on_time_s: float | None
    """Of the others."""
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
        late=sum(not s.on_time for s in valid),
        worst_error_on_time_s=max((s.error_s for s in valid if s.error_s is not None and s.on_time), default=None),
        width_s=median(widths) if widths else None,
        widest_s=max(widths, default=None),
        spacing_s=mine[0].spacing_s if mine else 0.0,
        truth_uncertainty_s=max((s.uncertainty_s for s in valid), default=0.0),
        invalid=len(mine) - len(valid),
        invalid_reasons=dict(sorted(reasons.items())),
    )
