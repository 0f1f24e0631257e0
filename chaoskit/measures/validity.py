"""The gates of MEASUREMENT.md section 8: what must hold before a figure may be believed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from chaoskit.measures.outages import OutageSpan, began_before, evidence, outage_spans, span_after
from chaoskit.measures.wording import duration_text, seconds, share_text
from chaoskit.model.experiment import client_of
from chaoskit.model.figures import Gate
from chaoskit.model.recorded import MISSING, ClientSamples, FaultRecord, TrialRecord

FULL_BASELINE_S = 30.0
FULL_SUCCESS = 0.999
MOST_TAINTED = 0.01


def first_fault(trial: TrialRecord) -> FaultRecord | None:
    """The fault that was injected first; None where none was."""
    injected = [f for f in trial.faults if f.began_ns is not None]
    return min(injected, key=lambda f: f.began_ns or 0) if injected else None


def fault_began_ns(trial: TrialRecord) -> int | None:
    """When the first fault's first step began; None where none was injected."""
    fault = first_fault(trial)
    return fault.began_ns if fault else None


def trial_gates(trial: TrialRecord) -> tuple[Gate, ...]:
    """Gates of the trial as a whole."""
    return (_baseline_length(trial), _fault_effect(trial))


def _baseline_length(trial: TrialRecord) -> Gate:
    stated = float(trial.plan.experiment.baseline)
    wanted_s = min(FULL_BASELINE_S, stated)
    began, ended = trial.baseline_began_ns, trial.baseline_ended_ns
    seen_s = (ended - began) / 1e9 if began is not None and ended is not None else 0.0
    note = f" (stated; the rule is {FULL_BASELINE_S:g} s)" if stated < FULL_BASELINE_S else ""
    return Gate(
        name="clean baseline",
        met=ended is not None and seen_s >= 0.99 * wanted_s,
        seen=duration_text(seen_s) if ended is not None else "it never ended",
        wanted=f">= {wanted_s:g} s{note}",
        blocks=True,
    )


def _fault_effect(trial: TrialRecord) -> Gate:
    planned = [a.name for t in trial.plan.trials if t.index == trial.index for a in t.actions]
    verified = {f.action for f in trial.faults if f.verified}
    injected = {f.action for f in trial.faults if f.began_ns is not None}
    # In the order of the plan; a staggered one that only the run knew comes last.
    why = {str(e.data.get("action")): str(e.data.get("reason")) for e in trial.events if e.kind == "action.skipped"}
    missing = [
        f"{name} was not injected{f': {why[name]}' if name in why else ''}"
        for name in dict.fromkeys((*planned, *why))
        if name not in injected
    ]
    missing += [
        f"no evidence that {f.action} ({f.fault}) was in force" for f in trial.faults if f.began_ns is not None and not f.verified
    ]
    return Gate(
        name="the fault's effect",
        met=not missing and bool(verified),
        seen="; ".join(missing) if missing else "verified" if verified else "no fault was injected",
        wanted="every fault injected and its effect verified",
        blocks=True,
    )


def client_gates(trial: TrialRecord, samples: ClientSamples) -> tuple[Gate, ...]:
    """Gates of one client's figures."""
    spans = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
    began = fault_began_ns(trial)
    span = span_after(spans, began) if began is not None else None
    gates = [_baseline_success(trial, samples), _lateness(samples), _taint(samples), _not_sent(trial, samples, span)]
    if began is not None:
        gates += [_steady_before(samples, span, began), _clean_after(trial, samples, span, began)]
    return tuple(gates)


def _baseline_success(trial: TrialRecord, samples: ClientSamples) -> Gate:
    steady = trial.plan.experiment.steady_state_hypothesis.clients.get(client_of(samples.client))
    wanted = steady.success.text if steady else f">= {FULL_SUCCESS * 100:g}%"
    in_baseline = baseline_mask(trial, samples)
    count = int(in_baseline.sum())
    share = float(samples.ok[in_baseline].mean()) if count else 0.0
    met = count > 0 and (steady.success.holds(share) if steady else share >= FULL_SUCCESS)
    seen = f"{share_text(share)} of {count} attempts" if count else "no attempt in the baseline"
    return Gate(name="success in the baseline", met=met, seen=seen, wanted=wanted, client=samples.client)


def baseline_mask(trial: TrialRecord, samples: ClientSamples) -> NDArray[np.bool_]:
    """Attempts of the clean baseline that count: sent, not tainted."""
    if trial.baseline_began_ns is None or trial.baseline_ended_ns is None:
        return np.zeros(len(samples.t_intended), dtype=bool)
    from_ns, until_ns = trial.baseline_began_ns, trial.baseline_ended_ns
    counted: NDArray[np.bool_] = (samples.t_send != MISSING) & ~samples.tainted
    counted &= (samples.t_intended >= from_ns) & (samples.t_intended < until_ns)
    return counted


def _lateness(samples: ClientSamples) -> Gate:
    sent = samples.t_send != MISSING
    late = samples.t_send[sent] - samples.t_intended[sent]
    p99_s = float(np.quantile(late, 0.99, method="higher")) / 1e9 if len(late) else float("inf")
    limit_s = samples.interval_ns / 2 / 1e9
    return Gate(
        name="send lateness p99",
        met=p99_s <= limit_s,
        seen=duration_text(p99_s) if len(late) else "nothing was sent",
        wanted=f"<= {duration_text(limit_s)} (half of one probe's interval)",
        client=samples.client,
    )


def _taint(samples: ClientSamples) -> Gate:
    total = len(samples.tainted)
    tainted = int(samples.tainted.sum())
    return Gate(
        name="tainted attempts",
        met=total > 0 and tainted <= MOST_TAINTED * total,
        seen=f"{tainted} of {total}",
        wanted=f"<= {MOST_TAINTED * 100:g} % (and none is the edge of an outage)",
        client=samples.client,
    )


def _not_sent(trial: TrialRecord, samples: ClientSamples, span: OutageSpan | None) -> Gate:
    missing = samples.t_intended[(samples.outcome == "not_sent") | (samples.t_send == MISSING)]
    reach = max(samples.interval_ns, samples.deadline_ns)
    if span is not None:
        first = span.last_ok_before if span.last_ok_before is not None else span.first_failed
        last = span.first_ok_after if span.first_ok_after is not None else span.last_failed
        near = (missing >= first - reach) & (missing <= span.first_failed + reach)
        near |= (missing >= span.last_failed - reach) & (missing <= last + reach)
        where = "around the edges of the outage"
    else:
        began = fault_began_ns(trial)
        near = missing >= (began if began is not None else trial.started_ns) - reach
        where = "since the fault"
    count = int(near.sum())
    return Gate(name="attempts not sent", met=count == 0, seen=f"{count} {where}", wanted="0", client=samples.client)


def _steady_before(samples: ClientSamples, span: OutageSpan | None, began_ns: int) -> Gate:
    early = span is not None and began_before(span, began_ns, samples.deadline_ns)
    seen = "clean"
    if early and span is not None:
        seen = f"attempts failed from {duration_text(seconds(began_ns - span.first_failed))} before the fault began"
    return Gate(
        name="steady before the fault",
        met=not early,
        seen=seen,
        wanted=f"no failure in the last {duration_text(seconds(samples.window_ns))} before the fault",
        client=samples.client,
        blocks=samples.measures_outages,
    )


def _clean_after(trial: TrialRecord, samples: ClientSamples, span: OutageSpan | None, began_ns: int) -> Gate:
    wanted = f">= {duration_text(seconds(samples.window_ns))} of clean service, or censored"
    if span is not None:
        seen = "service returned and lasted" if span.recovered else "censored: no lasting return was seen"
        return Gate(name="clean after recovery", met=True, seen=seen, wanted=wanted, client=samples.client)
    sent = samples.t_send[samples.t_send != MISSING]
    watched_ns = max(int(sent.max()) - began_ns, 0) if len(sent) else 0
    return Gate(
        name="clean after recovery",
        met=watched_ns >= samples.window_ns - samples.interval_ns,
        seen=f"no outage; watched for {duration_text(seconds(watched_ns))} after the fault began",
        wanted=wanted,
        client=samples.client,
    )


def unmet_reasons(gates: tuple[Gate, ...]) -> tuple[str, ...]:
    """Why the figures these gates guard are invalid; empty where they are not."""
    return tuple(f"{g.name}: {g.seen}; wanted {g.wanted}" for g in gates if not g.met)
