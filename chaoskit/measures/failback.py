"""Failback: whether the node that led before the fault leads again, when, and whether that cost a second outage. Pure.

Its return takes the leadership from a node that serves. What fresh clients met around that hand-over, after the failover's own
outage was over, is its cost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit.measures.leadership import Tenure, leader_samples, successions
from chaoskit.measures.outages import OutageSpan, evidence, longest_gap_ns, outage_spans, span_after
from chaoskit.measures.recovery import RTO_RULE
from chaoskit.measures.validity import client_gates, fault_began_ns, first_fault, trial_gates, unmet_reasons
from chaoskit.measures.wording import between_text, duration_text, invalid, seconds, unknown
from chaoskit.model.figures import FailbackFigures, Figure
from chaoskit.model.recorded import ClientSamples, TrialRecord

AT_RULE = "from the fault's effect to the first sample by which the old leader said that it leads again, and its sample before"
HEAL_RULE = "from the begin of the heal to the same"
OUTAGE_RULE = (
    f"{RTO_RULE}; the longest of the fresh clients' outages that began after the failover's own was over and lie within W before "
    "the stand-in's last sample to S after the old leader's first"
)


class Failback:
    """The measure behind `failback` of a trial."""

    name = "failback"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"failback": FailbackFigures | None}; None where no other node led after the fault, or nobody was watched."""
        fault, began = first_fault(trial), fault_began_ns(trial)
        if fault is None or began is None:
            return {"failback": None}
        order = successions(leader_samples(trial), began)
        if len(order) < 2:
            return {"failback": None}
        zero = next(t for t in (fault.effective_ns, fault.injected_ns, began) if t is not None)
        return {"failback": _figures(trial, order, began, zero)}


def _figures(trial: TrialRecord, order: Sequence[Tenure], began_ns: int, zero_ns: int) -> FailbackFigures:
    old = order[0].node
    place = next((i for i in range(2, len(order)) if order[i].node == old), None)
    if place is None:
        watched_s = duration_text(seconds(trial.ended_ns - zero_ns))
        said = f"{old} did not lead again within {watched_s}"
        none = Figure(rule=AT_RULE, text=said, reasons=(said,))
        cost = Figure(point=0.0, low=0.0, high=0.0, rule=OUTAGE_RULE, text=f"none: {said}")
        reasons = unmet_reasons(trial_gates(trial)) + tuple(trial.problems)
        return FailbackFigures(node=old, stand_in=order[-1].node, at=none, outage=invalid(cost, reasons))
    stand_in, again = order[place - 1], order[place]
    heals = (f.heal_began_ns for f in trial.faults if f.heal_began_ns is not None)
    healed = max((t for t in heals if t <= again.begin_high), default=None)
    outage, client = _cost(trial, stand_in, again, began_ns)
    return FailbackFigures(
        node=old,
        stand_in=stand_in.node,
        at=_after(again, zero_ns, AT_RULE),
        after_heal=None if healed is None else _after(again, healed, HEAL_RULE),
        outage=outage,
        client=client,
    )


def _after(again: Tenure, zero_ns: int, rule: str) -> Figure:
    low, high = seconds(again.begin_low - zero_ns), seconds(again.begin_high - zero_ns)
    point = round((low + high) / 2, 9)
    return Figure(point=point, low=low, high=high, n=again.samples, rule=rule, text=between_text(point, low, high))


def _cost(trial: TrialRecord, stand_in: Tenure, again: Tenure, began_ns: int) -> tuple[Figure, str]:
    fresh = [s for _, s in sorted(trial.clients.items()) if s.measures_outages]
    if not fresh:
        return unknown("there is no fresh client", rule=OUTAGE_RULE), ""
    reasons = tuple(f"{s.client}: {r}" for s in fresh for r in unmet_reasons(client_gates(trial, s)))
    reasons = unmet_reasons(trial_gates(trial)) + reasons + tuple(trial.problems)
    met = [(s, span) for s in fresh for span in _around(s, stand_in, again, began_ns)]
    if not met:
        gap = max(
            max(longest_gap_ns(evidence(s), stand_in.end_low - s.deadline_ns, again.begin_high + s.window_ns), s.spacing_ns)
            for s in fresh
        )
        still = [s.client for s in fresh if _still_down(s, again, began_ns)]
        if still:
            why = f"{', '.join(still)} had not been served again before: the return and the failover cannot be told apart"
            return unknown(why, rule=OUTAGE_RULE), ""
        text = f"none seen, or shorter than {duration_text(seconds(gap))}"
        n = sum(len(s.t_send) for s in fresh)
        return invalid(Figure(low=0.0, high=seconds(gap), n=n, rule=OUTAGE_RULE, text=text), reasons), ""
    samples, span = max(met, key=lambda item: (item[1].high_ns is None, item[1].low_ns, item[1].sent_low_ns))
    return invalid(_figure(span), reasons), samples.client


def _around(samples: ClientSamples, stand_in: Tenure, again: Tenure, began_ns: int) -> list[OutageSpan]:
    spans = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
    first = span_after(spans, began_ns)
    from_ns, until_ns = stand_in.end_low - samples.deadline_ns, again.begin_high + samples.window_ns
    own = [s for s in spans if s.first_failed > began_ns and (s is not first or s.first_failed >= from_ns)]
    return [s for s in own if s.first_failed <= until_ns and s.last_failed >= from_ns]


def _still_down(samples: ClientSamples, again: Tenure, began_ns: int) -> bool:
    first = span_after(outage_spans(evidence(samples), samples.window_ns, samples.interval_ns), began_ns)
    return first is not None and (first.first_ok_after is None or first.first_ok_after > again.begin_low)


def _figure(span: OutageSpan) -> Figure:
    low = seconds(span.low_ns)
    if span.point_ns is None or span.high_ns is None:
        reason = "service had not returned for good when observation ended"
        text = f"more than {duration_text(low)}: {reason}"
        return Figure(low=low, n=span.failures, rule=OUTAGE_RULE, censored=True, reasons=(reason,), text=text)
    point, high = seconds(span.point_ns), seconds(span.high_ns)
    return Figure(point=point, low=low, high=high, n=span.failures, rule=OUTAGE_RULE, text=between_text(point, low, high))
