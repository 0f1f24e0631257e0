"""The waterfall of a failover: what happened after the fault took effect, in which order, each with bounds and source.

Rules of MEASUREMENT.md section 2. What a lab's watchers and clients do not show is left out, never guessed; what did not
happen before observation ended is censored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from chaoskit.measures.capacity import capacity_restored
from chaoskit.measures.leadership import leader_samples, role_of, successions, tenures
from chaoskit.measures.ledger import old_leader
from chaoskit.measures.outages import OutageSpan, evidence, outage_spans, span_after
from chaoskit.measures.phase_figures import not_yet, phase_at
from chaoskit.measures.validity import first_fault
from chaoskit.measures.waterfall_marks import cluster_phases
from chaoskit.model.figures import Phase
from chaoskit.model.history import LEDGER_OPERATION
from chaoskit.model.recorded import ClientSamples, FaultRecord, RoleSamples, TrialRecord

ORDER = (
    "injected", "first failed send", "detected", "old leader gone", "elected", "promoted", "new leader", "rerouted",
    "pooled clients back", "redundancy restored", "capacity restored",
)  # fmt: skip
"""In which phases follow each other as a rule; by it stand those of which nobody knows when they were."""


class Phases:
    """The measure behind `phases` of a trial."""

    name = "phases"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"phases": tuple[Phase, ...]} in the order in which they happened; empty where no fault was injected."""
        fault = first_fault(trial)
        if fault is None or fault.began_ns is None:
            return {"phases": ()}
        zero = _zero_ns(fault)
        found = [
            _injected(fault, fault.began_ns, zero),
            *_first_failure(trial, fault.began_ns, zero),
            *cluster_phases(trial, fault.began_ns, zero),
            *_leadership(trial, fault.began_ns, zero),
            *_service_back(trial, fault.began_ns, zero),
        ]
        redundancy = _redundancy(trial, fault.began_ns, zero)
        found += redundancy
        found += _capacity(trial, fault.began_ns, zero, redundancy)
        return {"phases": tuple(sorted(found, key=_place))}


def _zero_ns(fault: FaultRecord) -> int:
    """When the fault took effect; while that is not known, when its injection was done or begun."""
    return next(t for t in (fault.effective_ns, fault.injected_ns, fault.began_ns) if t is not None)


def _place(phase: Phase) -> tuple[bool, bool, bool, float, int]:
    """By when it was; then what had not happened yet, then what nobody knows.

    What the fault caused cannot lie before it, though the brackets of attempts and samples may begin there.
    """
    at = phase.at
    known = at.point if at.point is not None else at.low
    return phase.name != "injected", known is None, at.censored, known or 0.0, ORDER.index(phase.name)


def _injected(fault: FaultRecord, began_ns: int, zero_ns: int) -> Phase:
    ended = fault.injected_ns if fault.injected_ns is not None else zero_ns
    return phase_at(
        "injected", began_ns, max(ended, began_ns), zero_ns, f"engine: first step begun to last step done of {fault.fault}"
    )


def reference_client(trial: TrialRecord) -> ClientSamples | None:
    """The fresh client whose outage the waterfall tells: one that writes a ledger before one that does not, then by name."""
    fresh = [s for s in trial.clients.values() if s.measures_outages]
    return min(fresh, key=lambda s: (s.operation != LEDGER_OPERATION, s.client)) if fresh else None


def _span(samples: ClientSamples, began_ns: int) -> OutageSpan | None:
    return span_after(outage_spans(evidence(samples), samples.window_ns, samples.interval_ns), began_ns)


def _first_failure(trial: TrialRecord, began_ns: int, zero_ns: int) -> list[Phase]:
    samples = reference_client(trial)
    span = _span(samples, began_ns) if samples is not None else None
    if samples is None or span is None:
        return []
    low = span.last_ok_before if span.last_ok_before is not None else span.first_failed
    source = f"client {samples.client}: last ok send to first failed send"
    return [phase_at("first failed send", low, span.first_failed, zero_ns, source)]


def _service_back(trial: TrialRecord, began_ns: int, zero_ns: int) -> list[Phase]:
    """Rerouted: the fresh client ok again. Pooled clients back: the last of those at the same endpoint."""
    samples = reference_client(trial)
    if samples is None:
        return []
    found = _back("rerouted", [samples], began_ns, zero_ns)
    pooled = [
        s
        for _, s in sorted(trial.clients.items())
        if s.client_class == "pooled" and s.policy is None and s.target == samples.target
    ]
    return found + _back("pooled clients back", pooled, began_ns, zero_ns)


def _back(name: str, clients: Sequence[ClientSamples], began_ns: int, zero_ns: int) -> list[Phase]:
    spans = [(s, span) for s in clients for span in (_span(s, began_ns),) if span is not None]
    if not spans:
        return []
    source = f"client {', '.join(s.client for s, _ in spans)}: last failed send to first lasting answer"
    open_ = [s for s, span in spans if span.first_ok_after is None]
    if open_:
        return [not_yet(name, max(span.last_failed for _, span in spans), zero_ns, source)]
    _, span = max(spans, key=lambda item: item[1].first_ok_after or 0)
    return [phase_at(name, span.last_failed, span.up_by or 0, zero_ns, source)]


def _leadership(trial: TrialRecord, began_ns: int, zero_ns: int) -> list[Phase]:
    watched = leader_samples(trial)
    old = old_leader(trial)
    found = []
    own = next((r for r in watched if r.node == old), None)
    if own is not None:
        reign = next(
            (t for t in tenures(own) if t.begin_high <= began_ns and (t.end_high is None or t.end_high > began_ns)), None
        )
        if reign is not None and reign.end_high is not None:
            source = f"watcher: {old} last said that it holds the role {own.role}, to its next sample"
            found.append(phase_at("old leader gone", reign.end_low, reign.end_high, zero_ns, source))
    order = successions(watched, began_ns)
    if len(order) > 1:
        new = order[1]
        source = f"watcher: {new.node} first said that it holds the role, after its sample before"
        found.append(phase_at("new leader", new.begin_low, new.begin_high, zero_ns, source))
    elif found and own is not None:
        back = next((t for t in tenures(own) if t.begin_high > began_ns), None)
        if back is None:
            last = max((int(r.t_end[-1]) for r in watched), default=began_ns)
            found.append(not_yet("new leader", last, zero_ns, "watcher: no node said that it holds the role"))
        else:
            source = f"watcher: {old} says again that it holds the role"
            found.append(phase_at("new leader", back.begin_low, back.begin_high, zero_ns, source))
    return found


def _redundancy(trial: TrialRecord, began_ns: int, zero_ns: int) -> list[Phase]:
    """When every role of the lab's `ready` had its number of holders again, for good."""
    wanted = trial.plan.lab.ready.roles
    watched = {role: role_of(trial, role) for role in wanted}
    if not wanted or not all(watched.values()):
        return []
    source = "watcher: every role has as many holders as the lab needs to be ready"
    short = [span for role, count in wanted.items() for span in _shortages(watched[role], count, began_ns)]
    if not short:
        return []
    if any(end is None for _, end in short):
        last = max(int(r.t_end[-1]) for samples in watched.values() for r in samples)
        return [not_yet("redundancy restored", last, zero_ns, source)]
    low, high = max((bracket, end) for bracket, end in short if end is not None)
    return [phase_at("redundancy restored", low, high, zero_ns, source)]


def _capacity(trial: TrialRecord, began_ns: int, zero_ns: int, redundancy: Sequence[Phase]) -> list[Phase]:
    """Empty where nothing was lost: no fresh client met an outage, and no role was short of holders."""
    samples = reference_client(trial)
    if samples is None:
        return []
    span = _span(samples, began_ns)
    if span is None and not redundancy:
        return []
    watched = all(role_of(trial, role) for role in trial.plan.lab.ready.roles)
    known = trial.plan.lab.ready.roles and watched
    why = "the lab says of no role how many must hold it" if not trial.plan.lab.ready.roles else "the roles were not watched"
    lost = next(iter(redundancy), None) if known else why
    return [capacity_restored(trial, samples, began_ns if span is None else span.last_failed, zero_ns, lost)]


def _shortages(watched: Sequence[RoleSamples], count: int, began_ns: int) -> list[tuple[int, int | None]]:
    """Where fewer than `count` nodes held the role after the fault: the bracket of each one's end; (instant, None) while open.

    A shortage that is shorter than the samples can tell (a holder that missed one answer) is none.
    """
    changes: list[tuple[int, int, int]] = []
    for samples in watched:
        for tenure in tenures(samples):
            if tenure.samples < 2 and tenure.end_high is not None:
                continue
            changes.append((tenure.begin_high, tenure.begin_low, 1))
            if tenure.end_high is not None:
                changes.append((tenure.end_high, tenure.end_low, -1))
    held, found = 0, []
    since: int | None = None
    period = max((int(np.median(np.diff(r.t_begin))) for r in watched if len(r.t_begin) > 1), default=0)
    for high, low, step in sorted(changes):
        held += step
        if held < count and since is None and high >= began_ns:
            since = high
        elif held >= count and since is not None:
            if high - since > 2 * period:
                found.append((low, high))
            since = None
    return [*found, (since, None)] if since is not None else list(found)
