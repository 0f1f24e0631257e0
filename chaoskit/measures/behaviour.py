"""How clients with a retry policy behaved: attempts a request, requests given up, and what users felt (MEASUREMENT.md section 5).

Attempts tell what the client did to the service, requests what its users got of it. Neither is a measure of the outage: what
the service did is told by fresh clients without a policy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaoskit.measures.outages import Evidence, OutageSpan, error_class, outage_spans
from chaoskit.measures.validity import client_gates, fault_began_ns, first_fault, trial_gates, unmet_reasons
from chaoskit.measures.wording import NS, between_text, duration_text, invalid, seconds, share_text, unknown
from chaoskit.model.figures import BehaviourBin, BehaviourFigures, Figure
from chaoskit.model.policy import RetryPolicy
from chaoskit.model.recorded import MISSING, AttemptSamples, ClientSamples, Int, TrialRecord

AMPLIFICATION_RULE = "attempts / requests, of the requests due from the first failed attempt after the fault to the last"
PEAK_RULE = "attempts sent / requests due in one second, whole seconds after the end of the baseline; the largest"
ABANDONED_RULE = "requests without an ok answer within the patience; low leaves out tainted ones, high counts unsent ones as well"
WORST_RULE = "the longest from the intended instant to the final answer or to giving up; low leaves out tainted requests"
FIRST_ERROR_RULE = "end of the first failed attempt minus the fault's effect; bounds: since its injection was done, or was begun"
RECONNECTS_RULE = "times that attempts failed and were ok again for S"
RECONNECT_RULE = "s_R-s_F of attempts within [s_K-s_F, s_R-s_L]; R is sustained for S; the longest"
NOTICE_S = 1.0
"""Where the client states no `slo`: beyond about a second people lose the thread."""
MOST_BINS = 150
LEAD_S = 5.0
"""How much of the time before the fault the course shows."""


class Behaviour:
    """The measure behind `behaviour` of a trial."""

    name = "behaviour"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"behaviour": {client: BehaviourFigures}} of every client with a policy."""
        return {
            "behaviour": {
                name: behaviour_figures(trial, samples, samples.policy, samples.attempts)
                for name, samples in sorted(trial.clients.items())
                if samples.policy is not None and samples.attempts is not None
            }
        }


@dataclass(frozen=True, slots=True, eq=False)
class _Course:
    """One client after the baseline: requests that count, each attempt, and the spans in which attempts failed."""

    samples: ClientSamples
    attempts: AttemptSamples
    due: Int
    sent: NDArray[np.bool_]
    failed: NDArray[np.bool_]
    """Of the attempts."""
    spans: tuple[OutageSpan, ...]
    """Those that ended after the fault began."""

    def during(self, instants: Int) -> NDArray[np.bool_]:
        """Which instants lie in the outage: from when the first request that failed once was due to the last failed attempt."""
        if not self.spans:
            return np.zeros(len(instants), dtype=bool)
        first = self.attempts.t_intended[self.failed & (self.attempts.t_send >= self.spans[0].first_failed)]
        inside: NDArray[np.bool_] = (instants >= int(first.min())) & (instants <= self.spans[-1].last_failed)
        return inside


def behaviour_figures(
    trial: TrialRecord, samples: ClientSamples, policy: RetryPolicy, attempts: AttemptSamples
) -> BehaviourFigures:
    """Everything about one client with a policy."""
    reasons = unmet_reasons(trial_gates(trial) + client_gates(trial, samples)) + tuple(trial.problems)
    zero = trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns
    course = _course(trial, samples, attempts, zero)
    inside = samples.t_intended >= zero
    of_ours = attempts.t_intended >= zero
    unsent = int((inside & ~course.sent).sum())
    lacking = (f"{unsent} requests were not sent: what they would have met is not known",) if unsent else ()
    notice_s = NOTICE_S if samples.slo_ns is None else samples.slo_ns / NS
    _, tries = np.unique(attempts.t_intended[of_ours], return_counts=True)
    bin_s, bins = _bins(trial, course, zero)
    return BehaviourFigures(
        policy=policy.text(),
        client_class=samples.client_class,
        deadline_s=seconds(samples.attempt_deadline_ns),
        patience_s=seconds(samples.deadline_ns),
        requests=int(inside.sum()),
        not_sent=unsent,
        attempts=int(of_ours.sum()),
        most_attempts=int(tries.max()) if len(tries) else 0,
        errors=_by_class(attempts.outcome[of_ours & course.failed]),
        amplification=invalid(_amplification(course, zero), reasons + lacking),
        peak_amplification=invalid(_peak(trial, course, zero), reasons + lacking),
        abandoned=invalid(_abandoned(course, inside), reasons),
        worst_latency=invalid(_worst_latency(course, inside), reasons + lacking),
        noticed=invalid(_noticed(course, inside, notice_s), reasons),
        notice_s=notice_s,
        first_error=invalid(_first_error(trial, course), reasons),
        reconnects=invalid(_reconnects(course), reasons),
        time_to_reconnect=invalid(_time_to_reconnect(course), reasons),
        bin_s=bin_s,
        bins=bins,
    )


def _course(trial: TrialRecord, samples: ClientSamples, attempts: AttemptSamples, zero: int) -> _Course:
    ok = np.isin(attempts.outcome, ("ok", "degraded"))
    counted = attempts.outcome != "not_sent"
    seen = Evidence(
        sent=attempts.t_send[counted],
        ended=attempts.t_end[counted],
        decided=attempts.t_end[counted],
        ok=ok[counted],
        outcome=attempts.outcome[counted],
        intended=attempts.t_intended[counted],
    )
    spans = outage_spans(seen, samples.window_ns, samples.interval_ns)
    began = fault_began_ns(trial)
    since = (zero if began is None else began) - samples.attempt_deadline_ns
    return _Course(
        samples=samples,
        attempts=attempts,
        due=samples.t_intended,
        sent=(samples.t_send != MISSING) & (samples.outcome != "not_sent"),
        failed=counted & ~ok,
        spans=tuple(s for s in spans if s.last_failed >= since),
    )


def _by_class(outcomes: NDArray[np.str_]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word, count in zip(*np.unique(outcomes, return_counts=True), strict=True):
        counts[error_class(str(word))] = counts.get(error_class(str(word)), 0) + int(count)
    return counts


def _exactly(value: float, unit: str, n: int, rule: str, text: str) -> Figure:
    return Figure(point=value, low=value, high=value, unit=unit, n=n, rule=rule, text=text)


def _amplification(course: _Course, zero: int) -> Figure:
    requests = course.sent & course.during(course.due)
    attempts = course.during(course.attempts.t_intended)
    where = ""
    if not requests.any():
        requests, attempts = course.sent & (course.due >= zero), course.attempts.t_intended >= zero
        where = ", no attempt failed"
    count, tries = int(requests.sum()), int(attempts.sum())
    if not count:
        return unknown("no request was sent", unit="attempts a request", rule=AMPLIFICATION_RULE)
    ratio = round(tries / count, 9)
    return _exactly(ratio, "attempts a request", count, AMPLIFICATION_RULE, f"{ratio:.3g} ({tries} for {count}{where})")


def _per_second(instants: Int, zero: int, until_ns: int, width_s: float = 1.0, from_s: float = 0.0) -> Int:
    """How many instants lie in each whole piece of time from `from_s` to the end of observation."""
    count = max(int((until_ns - zero) / NS / width_s - from_s / width_s), 0)
    place = np.floor((instants - zero) / NS / width_s - from_s / width_s + 1e-9).astype(np.int64)
    return np.bincount(place[(place >= 0) & (place < count)], minlength=count).astype(np.int64)


def _peak(trial: TrialRecord, course: _Course, zero: int) -> Figure:
    due = _per_second(course.due, zero, trial.ended_ns)
    tries = _per_second(course.attempts.t_send, zero, trial.ended_ns)
    some = np.flatnonzero(due)
    if not len(some):
        return unknown("no whole second in which a request was due", unit="attempts a request", rule=PEAK_RULE)
    worst = int(some[np.argmax(tries[some] / due[some])])
    ratio = round(float(tries[worst] / due[worst]), 9)
    text = f"{ratio:.3g} ({tries[worst]} attempts for {due[worst]} requests, in second {worst})"
    return _exactly(ratio, "attempts a request", int(due.sum()), PEAK_RULE, text)


def _abandoned(course: _Course, inside: NDArray[np.bool_]) -> Figure:
    samples = course.samples
    lost = inside & course.sent & ~samples.ok
    surely, unsent = int((lost & ~samples.tainted).sum()), int((inside & ~course.sent).sum())
    high = int(lost.sum()) + unsent
    text = str(surely) if surely == high else f"{surely} to {high}"
    total = int(inside.sum())
    shown = f"{text} of {total} requests" if high else f"none of {total} requests"
    return Figure(point=surely, low=surely, high=high, unit="requests", n=total, rule=ABANDONED_RULE, text=shown)


def _worst_latency(course: _Course, inside: NDArray[np.bool_]) -> Figure:
    samples = course.samples
    kept = np.flatnonzero(inside & course.sent)
    clean = kept[~samples.tainted[kept]]
    if not len(clean):
        return unknown("no request that counts was sent", rule=WORST_RULE)
    took = np.maximum(samples.t_end, samples.late_end) - samples.t_intended
    worst = int(clean[np.argmax(took[clean])])
    low, high = seconds(int(took[worst])), seconds(int(took[kept].max()))
    end = "answered" if samples.ok[worst] else f"given up: {error_class(str(samples.outcome[worst]))}"
    bounds = f", {duration_text(high)} with tainted ones" if high > low else ""
    return Figure(point=low, low=low, high=high, n=len(kept), rule=WORST_RULE, text=f"{duration_text(low, 0.01)}, {end}{bounds}")


def _noticed(course: _Course, inside: NDArray[np.bool_], notice_s: float) -> Figure:
    rule = f"requests given up or answered later than {duration_text(notice_s)}, of those due during the outage"
    samples = course.samples
    chosen = inside & course.during(course.due)
    if not chosen.any():
        chosen = inside
    total = int(chosen.sum())
    if not total:
        return unknown("no request was due", unit="share", rule=rule)
    felt = ~samples.ok | (samples.t_end - samples.t_intended > round(notice_s * NS))
    doubtful = chosen & (samples.tainted | ~course.sent)
    surely = int((chosen & felt & ~doubtful).sum())
    low, high = surely / total, (surely + int(doubtful.sum())) / total
    shown = share_text(low) if high == low else f"{share_text(low)} to {share_text(high)}"
    return Figure(
        point=round(low, 9), low=round(low, 9), high=round(high, 9), unit="share", n=total, rule=rule,
        text=f"{shown} of {total} requests",
    )  # fmt: skip


def _first_error(trial: TrialRecord, course: _Course) -> Figure:
    fault = first_fault(trial)
    if fault is None or fault.began_ns is None:
        return unknown("no fault was injected", rule=FIRST_ERROR_RULE)
    ends = course.attempts.t_end[course.failed]
    ends = ends[ends >= fault.began_ns]
    if not len(ends):
        return Figure(n=len(course.attempts), rule=FIRST_ERROR_RULE, text="no attempt failed")
    first = int(ends.min())
    done = fault.injected_ns if fault.injected_ns is not None else fault.began_ns
    effective = fault.effective_ns if fault.effective_ns is not None else done
    point, low, high = (seconds(max(first - t, 0)) for t in (effective, max(done, effective), fault.began_ns))
    return Figure(point=point, low=low, high=high, n=len(ends), rule=FIRST_ERROR_RULE, text=between_text(point, low, high))


def _reconnects(course: _Course) -> Figure:
    back = sum(1 for s in course.spans if s.recovered)
    still = len(course.spans) - back
    text = f"{back}{', and not back at the end' if still else ''}" if course.spans else "none: no attempt failed"
    return _exactly(back, "count", len(course.attempts), RECONNECTS_RULE, text)


def _time_to_reconnect(course: _Course) -> Figure:
    if not course.spans:
        return Figure(n=len(course.attempts), rule=RECONNECT_RULE, text="no attempt failed")
    worst = max(course.spans, key=lambda s: (not s.recovered, s.sent_low_ns))
    low = seconds(worst.sent_low_ns)
    if worst.first_ok_after is None:
        reason = "its attempts were not ok again for good when observation ended"
        return Figure(
            low=low, n=worst.failures, rule=RECONNECT_RULE, censored=True, reasons=(reason,),
            text=f"more than {duration_text(low)}: {reason}",
        )  # fmt: skip
    point = seconds(worst.first_ok_after - worst.first_failed)
    high = point if worst.sent_high_ns is None else max(seconds(worst.sent_high_ns), point)
    return Figure(point=point, low=low, high=high, n=worst.failures, rule=RECONNECT_RULE, text=between_text(point, low, high))


def _bins(trial: TrialRecord, course: _Course, zero: int) -> tuple[float, tuple[BehaviourBin, ...]]:
    """The course from shortly before the fault to the end of observation, in pieces of whole seconds."""
    began = fault_began_ns(trial)
    from_s = float(np.floor(seconds((zero if began is None else began) - zero) - LEAD_S))
    length_s = seconds(trial.ended_ns - zero) - from_s
    width_s = float(max(1, int(np.ceil(length_s / MOST_BINS))))

    def counted(instants: Int) -> Int:
        return _per_second(instants, zero, trial.ended_ns, width_s, from_s)

    a = course.attempts
    requests, tries = counted(course.due), counted(a.t_send)
    classes = np.array([error_class(str(word)) for word in a.outcome], dtype=np.str_) if len(a) else a.outcome
    words = sorted(set(classes[course.failed].tolist()))
    failures = {word: counted(a.t_send[course.failed & (classes == word)]) for word in words}
    return width_s, tuple(
        BehaviourBin(
            from_s=from_s + i * width_s,
            requests=int(requests[i]),
            attempts=int(tries[i]),
            errors={word: int(counts[i]) for word, counts in failures.items() if counts[i]},
        )
        for i in range(len(requests))
    )
