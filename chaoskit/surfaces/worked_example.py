"""The worked example of docs/measurement.md: one recorded run, with every number of its RTO shown. Written by `make docs`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.engine.store import read_run
from chaoskit.measures.outages import OutageSpan, evidence, outage_spans, span_after
from chaoskit.measures.phases import reference_client
from chaoskit.model.recorded import MISSING, ClientSamples, FaultRecord, TrialRecord
from chaoskit.model.result import TrialMeasures
from chaoskit.model.units import Duration

RECORDED = Path("tests/recorded/primary-power-off")
"""Below the repository: a run as it was recorded, without what was computed from it."""


def blocks(root: Path) -> dict[str, str]:
    """The block `worked-example`; nothing where the repository has no recorded run."""
    run = root / RECORDED
    return {"worked-example": worked_example(run)} if run.is_dir() else {}


def worked_example(run: Path) -> str:
    """The first trial of a run, for people. ValueError where it has no outage with a beginning and an end."""
    (trial, *_) = read_run(run)
    measures = measured_trial(trial, registered())
    samples = reference_client(trial)
    fault = next((f for f in trial.faults if f.began_ns is not None), None)
    if samples is None or fault is None or fault.began_ns is None:
        raise ValueError(f"{run}: no fresh client, or no fault")
    span = span_after(outage_spans(evidence(samples), samples.window_ns, samples.interval_ns), fault.began_ns)
    if span is None or span.last_ok_before is None or span.first_ok_after is None or span.up_by is None:
        raise ValueError(f"{run}: no outage that began and ended")
    return "\n".join(
        (*_setting(trial, samples), *_table(trial, samples, span, fault), "", *_sums(trial, samples, span, fault, measures))
    )


def _setting(trial: TrialRecord, samples: ClientSamples) -> list[str]:
    experiment = Path(trial.plan.experiment_source.path)
    rate = trial.plan.experiment.clients[samples.client].rate
    when = next(e.wall for e in trial.events if e.kind == "baseline.ended")[:10]
    recorded = f"`experiments/{experiment.parent.name}/{experiment.name}`, as recorded on {when} (`{RECORDED}`)"
    client = f"client `{samples.client}`, {rate}, W = {Duration(samples.deadline_ns / 1e9)}"
    return [f"{recorded}; {client}. Seconds after the end of the baseline.", ""]


def _table(trial: TrialRecord, samples: ClientSamples, span: OutageSpan, fault: FaultRecord) -> list[str]:
    zero = trial.baseline_ended_ns or trial.started_ns

    def s(at_ns: int | None) -> str:
        return "" if at_ns is None else f"{(at_ns - zero) / 1e9:.3f}"

    def attempt(name: str, sent_ns: int) -> tuple[str, str, str, str]:
        at = int(np.flatnonzero(samples.t_send == sent_ns)[0])
        words = str(samples.outcome[at]) + (f", by {samples.node[at]}" if samples.node[at] else "")
        error = str(samples.error[at]).replace("|", "/")
        begun = int(samples.t_first_byte[at])
        answer = f", answer begun at {s(begun)}" if begun != MISSING and samples.ok[at] else ""
        return name, s(sent_ns), s(int(samples.t_end[at])), words + answer + (f": {error[:70]}" if error else "")

    rows = [
        attempt("L", span.last_ok_before or 0),
        (
            "fault: first step begun, effect",
            s(fault.began_ns),
            s(fault.effective_ns),
            f"{fault.fault} on {', '.join(fault.nodes)}",
        ),
        attempt("F", span.first_failed),
        ("...", "", "", f"{span.failures} failures in all; the earliest ended at {s(span.down_by)}"),
        attempt("K", span.last_failed),
        attempt("R", span.first_ok_after or 0),
        ("...", "", "", f"the earliest answer from R on began at {s(span.up_by)}"),
        ("heal begun", s(fault.heal_began_ns), "", ""),
    ]
    return ["| | Sent | Ended | Outcome |", "| --- | --- | --- | --- |", *(f"| {' | '.join(row)} |" for row in rows)]


def _sums(trial: TrialRecord, samples: ClientSamples, span: OutageSpan, fault: FaultRecord, measures: TrialMeasures) -> list[str]:
    zero = trial.baseline_ended_ns or trial.started_ns

    def s(at_ns: int | None) -> str:
        return f"{((at_ns or zero) - zero) / 1e9:.3f}"

    figures = measures.clients[samples.client]
    edges = {"L": s(span.last_ok_before), "F": s(span.first_failed), "K": s(span.last_failed), "R": s(span.first_ok_after)}
    effective = fault.effective_ns if fault.effective_ns is not None else fault.injected_ns
    lines = [
        "    rto        point  " + "({K} + {R})/2 - ({L} + {F})/2".format(**edges) + f" = {figures.rto.point:.3f} s",
        f"               bounds {edges['K']} - {s(span.down_by)} = {figures.rto.low:.3f} s"
        f"  to  {s(span.up_by)} - {s(span.up_from)} = {figures.rto.high:.3f} s",
        f"    user_rto          {s(span.first_ok_ended)} - {edges['F']} = {figures.user_rto.point:.3f} s",
        f"    fault_rto         {edges['R']} - {s(effective)} = {figures.fault_rto.point:.3f} s",
        "",
        f"Of send instants alone the bounds would be {edges['K']} - {edges['F']} = {span.sent_low_ns / 1e9:.3f} s "
        f"to {edges['R']} - {edges['L']} = {(span.sent_high_ns or 0) / 1e9:.3f} s.",
    ]
    if measures.rpo is not None and measures.rpo.lost.valid:
        rpo = measures.rpo
        lines += ["", f"Lost: {rpo.lost.text}."]
    return lines
