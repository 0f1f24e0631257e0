"""RTO, user RTO and fault RTO of one outage, with their bounds (MEASUREMENT.md section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit.measures.outages import Evidence, OutageSpan
from chaoskit.measures.wording import between_text, duration_text, seconds
from chaoskit.model.figures import Figure
from chaoskit.model.recorded import FaultRecord

RTO_RULE = (
    "(s_K+s_R)/2-(s_L+s_F)/2, send instants, within [s_K - first end of a failed attempt, first answer from R on - "
    "last ok send answered by s_K]; R is sustained for S"
)
USER_RULE = "e_R-s_F within [s_K-s_F+e_R-s_R, e_R-s_L]"
FAULT_RULE = "s_R-t_effective within [s_K-t_effective, first answer from R on - t_injection_began]"


@dataclass(frozen=True, slots=True)
class RecoveryFigures:
    """How long until service was back: between attempts, as users waited, and since the fault."""

    rto: Figure
    user_rto: Figure
    fault_rto: Figure


def recovery_figures(
    span: OutageSpan | None, seen: Evidence, faults: Sequence[FaultRecord], deadline_ns: int, gap_ns: int
) -> RecoveryFigures:
    """Figures of the outage that followed the fault; `span` None where no attempt failed.

    `gap_ns` is the longest time without an ok send: an outage that no attempt met was shorter than that.
    """
    if span is None:
        none = tuple(_none_seen(rule, gap_ns, len(seen)) for rule in (RTO_RULE, USER_RULE, FAULT_RULE))
        return RecoveryFigures(*none)
    fault = responsible_fault(span, faults, deadline_ns)
    user = _user(span, fault)
    healed = fault.heal_began_ns if fault else None
    returned = span.first_ok_after
    if healed is not None and healed > span.first_failed and (returned is None or returned > healed):
        failed = seen.sent[~seen.ok]
        until = failed[(failed >= span.first_failed) & (failed <= healed)]
        last = int(until.max()) if len(until) else span.first_failed
        when = "never returned"
        if returned is not None:
            when = f"returned only {duration_text(seconds(returned - healed))} after the heal began"
        after = duration_text(seconds(healed - span.first_failed))
        reason = f"service {when}, {after} into the outage: not a failover (to see one, hold the fault for longer)"
        return RecoveryFigures(
            _censored(max(last - span.down_by, 0), RTO_RULE, span.failures, reason),
            user,
            _censored(max(last - _effective(fault, span), 0), FAULT_RULE, span.failures, reason),
        )
    if returned is None:
        reason = "service had not returned for good when observation ended"
        return RecoveryFigures(
            _censored(span.low_ns, RTO_RULE, span.failures, reason),
            user,
            _censored(max(span.down_until - _effective(fault, span), 0), FAULT_RULE, span.failures, reason),
        )
    return RecoveryFigures(_rto(span), user, _fault(span, fault, returned))


def responsible_fault(span: OutageSpan, faults: Sequence[FaultRecord], deadline_ns: int) -> FaultRecord | None:
    """The last fault that began before the outage (an attempt already under way may have been sent up to W earlier)."""
    before = [f for f in faults if f.began_ns is not None and f.began_ns - deadline_ns <= span.first_failed]
    return max(before, key=lambda f: f.began_ns or 0) if before else None


def _effective(fault: FaultRecord | None, span: OutageSpan) -> int:
    """When the fault took effect; as far as it is not known, when its injection was done, or the first failure."""
    if fault is None:
        return span.first_failed
    known = (fault.effective_ns, fault.injected_ns, fault.began_ns)
    return next((t for t in known if t is not None), span.first_failed)


def _none_seen(rule: str, gap_ns: int, n: int) -> Figure:
    high = seconds(gap_ns)
    return Figure(low=0.0, high=high, n=n, rule=rule, text=f"none seen, or shorter than {duration_text(high)}")


def _censored(low_ns: int, rule: str, failures: int, reason: str) -> Figure:
    low = seconds(low_ns)
    return Figure(
        low=low,
        n=failures,
        rule=f"{rule}; censored",
        censored=True,
        reasons=(reason,),
        text=f"more than {duration_text(low)}: {reason}",
    )


def _figure(point_ns: float, low_ns: float, high_ns: float, rule: str, n: int) -> Figure:
    point, low, high = seconds(point_ns), seconds(low_ns), seconds(high_ns)
    return Figure(point=point, low=low, high=high, n=n, rule=rule, text=between_text(point, low, high))


def _rto(span: OutageSpan) -> Figure:
    if span.point_ns is None or span.high_ns is None:
        return _beginning_unknown(span, RTO_RULE)
    return _figure(span.point_ns, span.low_ns, span.high_ns, RTO_RULE, span.failures)


def _beginning_unknown(span: OutageSpan, rule: str) -> Figure:
    reason = "nothing was ok before the outage: its beginning is unknown"
    return _censored(span.low_ns, rule, span.failures, reason).model_copy(update={"valid": False})


def _user(span: OutageSpan, fault: FaultRecord | None) -> Figure:
    """What users felt: also where service came back only because the fault was healed."""
    returned, answered = span.first_ok_after, span.first_ok_ended
    if returned is None or answered is None:
        reason = "service had not returned for good when observation ended"
        return _censored(span.sent_low_ns, USER_RULE, span.failures, reason)
    if span.last_ok_before is None:
        return _beginning_unknown(span, USER_RULE)
    figure = _figure(
        answered - span.first_failed,
        span.sent_low_ns + answered - returned,
        answered - span.last_ok_before,
        USER_RULE,
        span.failures,
    )
    healed = fault.heal_began_ns if fault else None
    if healed is not None and span.first_failed < healed < returned:
        return figure.model_copy(update={"reasons": ("service returned only after the fault was healed",)})
    return figure


def _fault(span: OutageSpan, fault: FaultRecord | None, returned: int) -> Figure:
    effective = _effective(fault, span)
    began = fault.began_ns if fault is not None and fault.began_ns is not None else effective
    back = returned if span.up_by is None else span.up_by
    return _figure(
        returned - effective, max(span.down_until - effective, 0), back - min(began, effective), FAULT_RULE, span.failures
    )
