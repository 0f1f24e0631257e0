"""What each client met: its recovery time (RTO) with bounds, its outages, availability, latency and errors.

The rules are those of MEASUREMENT.md section 2. Figures whose gates (section 8) are unmet are marked invalid, with the reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from chaoskit.measures.outages import (
    Evidence,
    OutageSpan,
    error_class,
    evidence,
    longest_gap_ns,
    outage_spans,
    span_after,
)
from chaoskit.measures.recovery import RecoveryFigures, recovery_figures
from chaoskit.measures.validity import baseline_mask, client_gates, fault_began_ns, trial_gates, unmet_reasons
from chaoskit.measures.vantages import Group, Vantage, course, groups, level, lost_time, pooled, quorum_loss, vantage
from chaoskit.measures.wording import NS, between_text, duration_text, invalid, seconds, share_text, unknown
from chaoskit.model.figures import ClientFigures, Figure, LevelFigures, Outage, VantageFigures
from chaoskit.model.recorded import MISSING, ClientSamples, TrialRecord

AVAILABILITY_RULE = (
    "ok attempts / attempts, from the end of the baseline; "
    "low counts tainted and unsent attempts as failed, high counts them as ok"
)
RECONNECT_RULE = "RTO of the pooled client minus RTO of a fresh one at the same endpoint"


DOWNTIME_RULE = (
    "ok: answered within the SLO; degraded: later, within W; down: later than W, or an error; each attempt stands for the time "
    "nearer to it than to its neighbours, from the end of the baseline"
)
NO_SLO = "; the client states no SLO: nothing within W is degraded unless it says so itself"


class Availability:
    """The measure behind `clients` of a trial."""

    name = "availability"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"clients": {name: ClientFigures}}."""
        made = {g.client: (g.series[0], grouped_figures(trial, g)) for g in groups(trial)}
        figures = {name: f for name, (_, f) in made.items()}
        for name, (samples, mine) in made.items():
            if samples.client_class == "pooled" and samples.policy is None:
                figures[name] = mine.model_copy(update={"reconnect": _reconnect(name, samples, made)})
        return {"clients": figures}


def grouped_figures(trial: TrialRecord, group: Group) -> ClientFigures:
    """Everything about one client; with several vantages, outages are those of any of them, and the rest counts all attempts."""
    if len(group.series) == 1:
        return client_figures(trial, group.series[0])
    together = pooled(group.series)
    gates = [(s.vantage, g) for s in group.series for g in client_gates(trial, s)]
    found = tuple(f"from {where}: {why}" for where, gate in gates for why in unmet_reasons((gate,)))
    reasons = unmet_reasons(trial_gates(trial)) + found + tuple(trial.problems)
    vantages = tuple(vantage(s) for s in group.series)
    count, zero = len(vantages), _zero_ns(trial)
    levels = tuple(_level(trial, vantages, k, reasons) for k in (1, quorum_loss(count), count))
    pieces, changes = course(vantages, zero, trial.ended_ns)
    headline = levels[0]
    each = {s.vantage: client_figures(trial, s) for s in group.series}
    # Integrals of the shares; attempts of several vantages at one instant have no time between them to stand for.
    felt = {state: round(sum(f.downtime[state] for f in each.values()) / count, 6) for state in ("ok", "degraded", "down")}
    return _figures(trial, together, evidence(together), headline, reasons).model_copy(
        update={
            "vantages": VantageFigures(
                any_down=headline,
                quorum_down=levels[1],
                all_down=levels[2],
                lost_time=invalid(lost_time(vantages, zero, trial.ended_ns), reasons),
                course=pieces,
                changes=changes,
                each=each,
            ),
            "downtime": felt,
        }
    )


def _level(trial: TrialRecord, vantages: Sequence[Vantage], needed: int, reasons: tuple[str, ...]) -> LevelFigures:
    from_ns, until_ns = _searched(trial, vantages[0].samples)
    found = level(vantages, needed, from_ns, until_ns)
    recovery = _recovery(trial, vantages[0].samples, found.seen, found.spans, found.gap_ns)
    return _level_figures(trial, needed, recovery, found.spans, reasons)


def _level_figures(
    trial: TrialRecord, needed: int, recovery: RecoveryFigures, spans: Sequence[OutageSpan], reasons: tuple[str, ...]
) -> LevelFigures:
    return LevelFigures(
        needed=needed,
        rto=invalid(recovery.rto, reasons),
        user_rto=invalid(recovery.user_rto, reasons),
        fault_rto=invalid(recovery.fault_rto, reasons),
        outages=tuple(_outage(span, _zero_ns(trial)) for span in spans),
    )


def _zero_ns(trial: TrialRecord) -> int:
    return trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns


def _searched(trial: TrialRecord, samples: ClientSamples) -> tuple[int, int]:
    """Where a gap in which an outage could hide is looked for."""
    began = fault_began_ns(trial)
    return (_zero_ns(trial) if began is None else began - samples.deadline_ns), trial.ended_ns


def client_figures(trial: TrialRecord, samples: ClientSamples) -> ClientFigures:
    """Everything about one client at one vantage but `reconnect`, which needs a second client."""
    reasons = unmet_reasons(trial_gates(trial) + client_gates(trial, samples)) + tuple(trial.problems)
    seen = evidence(samples)
    spans = outage_spans(seen, samples.window_ns, samples.interval_ns)
    gap_ns = max(longest_gap_ns(seen, *_searched(trial, samples)), samples.spacing_ns)
    recovery = _recovery(trial, samples, seen, spans, gap_ns)
    return _figures(trial, samples, seen, _level_figures(trial, 1, recovery, spans, reasons), reasons)


def _figures(
    trial: TrialRecord, samples: ClientSamples, seen: Evidence, outage: LevelFigures, reasons: tuple[str, ...]
) -> ClientFigures:
    zero = _zero_ns(trial)
    inside = samples.t_intended >= zero
    failed = inside & ~samples.ok & ~samples.tainted
    return ClientFigures(
        type=samples.type,
        client_class=samples.client_class,
        policy="" if samples.policy is None else samples.policy.text(),
        operation=samples.operation,
        target=samples.target,
        rto=outage.rto,
        user_rto=outage.user_rto,
        fault_rto=outage.fault_rto,
        outages=outage.outages,
        availability=invalid(_availability(samples, inside), reasons),
        operations=int(inside.sum()),
        errors=_counts(samples.outcome[failed]),
        latency=_latency(samples, inside & samples.ok),
        downtime=_downtime(seen, samples, zero, trial.ended_ns),
        downtime_rule=DOWNTIME_RULE + ("" if samples.slo_ns is not None else NO_SLO),
        baseline=_baseline(trial, samples),
    )


def _recovery(
    trial: TrialRecord, samples: ClientSamples, seen: Evidence, spans: Sequence[OutageSpan], gap_ns: int
) -> RecoveryFigures:
    began = fault_began_ns(trial)
    if began is None:
        nothing = unknown("no fault was injected")
        return RecoveryFigures(nothing, nothing, nothing)
    return recovery_figures(span_after(spans, began), seen, trial.faults, samples.deadline_ns, gap_ns)


def _outage(span: OutageSpan, zero_ns: int) -> Outage:
    return Outage(
        first_failure_s=seconds(span.first_failed - zero_ns),
        recovered_s=None if span.first_ok_after is None else seconds(span.first_ok_after - zero_ns),
        point_s=None if span.point_ns is None else seconds(span.point_ns),
        low_s=seconds(span.low_ns),
        high_s=None if span.high_ns is None else seconds(span.high_ns),
        sent_low_s=seconds(span.sent_low_ns),
        sent_high_s=None if span.sent_high_ns is None else seconds(span.sent_high_ns),
        errors=dict(span.errors),
    )


def _counts(outcomes: NDArray[np.str_]) -> dict[str, int]:
    """Failed attempts by class."""
    counts: dict[str, int] = {}
    for word, count in zip(*np.unique(outcomes, return_counts=True), strict=True):
        counts[error_class(str(word))] = counts.get(error_class(str(word)), 0) + int(count)
    return counts


def _availability(samples: ClientSamples, inside: NDArray[np.bool_]) -> Figure:
    total = int(inside.sum())
    if total == 0:
        return unknown("no attempt after the baseline", unit="share", rule=AVAILABILITY_RULE)
    doubtful = inside & (samples.tainted | (samples.t_send == MISSING))
    counted = inside & ~doubtful
    n, ok, doubts = int(counted.sum()), int(samples.ok[counted].sum()), int(doubtful.sum())
    if n == 0:
        return unknown("every attempt after the baseline was tainted or not sent", unit="share", rule=AVAILABILITY_RULE)
    point, low, high = ok / n, ok / total, (ok + doubts) / total
    return Figure(
        point=round(point, 9),
        low=round(low, 9),
        high=round(high, 9),
        unit="share",
        n=n,
        rule=AVAILABILITY_RULE,
        text=share_text(point) if doubts == 0 else f"{share_text(point)} ({share_text(low)} to {share_text(high)})",
    )


def _latency(samples: ClientSamples, chosen: NDArray[np.bool_]) -> dict[str, float | None]:
    """Exact quantiles of ok attempts, from the intended instant (no coordinated omission), in seconds."""
    taken = samples.t_end[chosen] - samples.t_intended[chosen]
    if len(taken) == 0:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    p50, p95, p99 = np.quantile(taken, [0.5, 0.95, 0.99], method="inverted_cdf")
    return {"p50": seconds(p50), "p95": seconds(p95), "p99": seconds(p99), "max": seconds(int(taken.max()))}


def _downtime(seen: Evidence, samples: ClientSamples, zero_ns: int, ended_ns: int) -> dict[str, float]:
    """Seconds of ok (latency <= SLO), degraded (SLO < latency <= W) and down, as felt at send instants.

    Each attempt stands for the time nearer to it than to its neighbours, so that where a share of the probes fails, that
    share of the time is down (the integral of 1 - a(t)).
    """
    inside = (seen.sent >= zero_ns) & (seen.sent <= ended_ns)
    sent = seen.sent[inside].astype(np.float64)
    if len(sent) == 0:
        return {"ok": 0.0, "degraded": 0.0, "down": 0.0}
    edges = np.concatenate(([zero_ns], (sent[1:] + sent[:-1]) / 2, [max(ended_ns, sent[-1])]))
    spans = np.diff(edges)
    ok = seen.ok[inside]
    slow = seen.outcome[inside] == "degraded"
    if samples.slo_ns is not None:
        slow |= (seen.ended[inside] - seen.intended[inside]) > samples.slo_ns
    return {
        "ok": round(float(spans[ok & ~slow].sum()) / NS, 6),
        "degraded": round(float(spans[ok & slow].sum()) / NS, 6),
        "down": round(float(spans[~ok].sum()) / NS, 6),
    }


def _baseline(trial: TrialRecord, samples: ClientSamples) -> dict[str, float | None]:
    inside = baseline_mask(trial, samples)
    count = int(inside.sum())
    return {
        "success": round(float(samples.ok[inside].mean()), 9) if count else None,
        "p95": _latency(samples, inside & samples.ok)["p95"],
        "operations": float(count),
    }


def _reconnect(name: str, own: ClientSamples, made: Mapping[str, tuple[ClientSamples, ClientFigures]]) -> Figure:
    """Compared with the fresh client at the same endpoint that is most like it."""
    candidates = [(n, s, f) for n, (s, f) in made.items() if s.measures_outages and s.target == own.target]
    if not candidates:
        return unknown(f"no fresh client at the endpoint {own.target!r} to compare with", rule=RECONNECT_RULE)
    fresh, _, theirs = min(candidates, key=lambda c: (c[1].operation != own.operation, c[1].type != own.type, c[0]))
    mine, other = made[name][1].rto, theirs.rto
    reasons = tuple(f"{who}: {why}" for who, f in ((name, mine), (fresh, other)) if not f.valid for why in f.reasons)
    low = None if mine.low is None or other.high is None else round(mine.low - other.high, 9)
    high = None if mine.high is None or other.low is None else round(mine.high - other.low, 9)
    point = None if mine.point is None or other.point is None else round(mine.point - other.point, 9)
    if point is not None and low is not None and high is not None:
        text = f"{between_text(point, low, high)} more than {fresh}"
    elif mine.point is None and not mine.censored and other.point is None and not other.censored:
        text = f"neither {name} nor {fresh} met an outage"
    elif mine.censored and low is not None:
        text = f"more than {duration_text(low)} longer than {fresh}"
    elif not mine.censored and other.point is not None:
        text = f"{name} met no outage, {fresh} did"
    else:
        text = f"cannot be told: {name} {mine.text}; {fresh} {other.text}"
    figure = Figure(
        point=point,
        low=low,
        high=high,
        n=mine.n + other.n,
        rule=RECONNECT_RULE,
        censored=mine.censored or other.censored,
        text=text,
    )
    return invalid(figure, reasons)
