"""The phases of a failover inside the cluster: detected, elected, promoted. By what its logs say, and by direct writes.

Only what something showed is told. A lab's `marks` name the log lines; chaoskit reads them while it watches, so that a line lies
between two looks on chaoskit's own clock, whatever the clock of the node says.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chaoskit.measures.leadership import leader_samples, successions
from chaoskit.measures.outages import OutageSpan, evidence, outage_spans, span_after
from chaoskit.measures.phase_figures import not_observed, phase_at
from chaoskit.model.figures import Phase
from chaoskit.model.history import LEDGER_OPERATION
from chaoskit.model.lab import LogMark
from chaoskit.model.recorded import TrialRecord

MARK_EVENT, OBSERVED_EVENT = "log.mark", "watcher.observed"


def cluster_phases(trial: TrialRecord, began_ns: int, zero_ns: int) -> list[Phase]:
    """detected, elected and promoted: each once, with its bounds or with the reason why nothing shows it."""
    if not any(s.measures_outages and span_after(_spans(trial, name), began_ns) for name, s in trial.clients.items()):
        return []  # nobody met an outage, and what the cluster did meanwhile is no failover of theirs
    promoted = _written_directly(trial, began_ns, zero_ns) or _logged(trial, "promoted", began_ns, zero_ns)
    return [_logged(trial, "detected", began_ns, zero_ns), _logged(trial, "elected", began_ns, zero_ns), promoted]


def _spans(trial: TrialRecord, label: str) -> tuple[OutageSpan, ...]:
    samples = trial.clients[label]
    return outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)


def _logged(trial: TrialRecord, mark: LogMark, began_ns: int, zero_ns: int) -> Phase:
    """The first line after the fault began that the lab says marks this."""
    told = [e.data for e in trial.events if e.kind in (MARK_EVENT, OBSERVED_EVENT)]
    said = [d for d in told if mark in (d.get("mark"), d.get("what"))]
    after = [d for d in said if int(d["between_ns"][1]) > began_ns]
    if not after:
        if trial.plan.lab.marks.get(mark) or trial.plan.experiment.watch.watchers:
            return not_observed(mark, "no log said so after the fault, and no watcher")
        more = ", and no direct client writes to the node that led next" if mark == "promoted" else ""
        return not_observed(mark, f"the lab's marks name no log line for it{more}")
    first = min(after, key=lambda d: int(d["between_ns"][1]))
    low, high = (int(t) for t in first["between_ns"])
    return phase_at(mark, max(low, began_ns), high, zero_ns, _source(first))


def _source(data: Mapping[str, Any]) -> str:
    if "watcher" in data:
        return f"watcher {data['watcher']}: {data.get('node') or 'the cluster'} {data.get('detail', '')}".strip()
    return f"log of {data['service']} on {data['node']}, between two looks of chaoskit's: {data['line']}"


def _written_directly(trial: TrialRecord, began_ns: int, zero_ns: int) -> Phase | None:
    """A write to the new leader itself was acknowledged: a client of class direct at that node, whose writes failed before."""
    order = successions(leader_samples(trial), began_ns)
    if len(order) < 2:
        return None
    for _, samples in sorted(trial.clients.items()):
        if samples.client_class != "direct" or samples.operation != LEDGER_OPERATION or samples.target != order[1].node:
            continue
        seen = evidence(samples)
        ok = seen.sent[seen.ok & (seen.sent > began_ns)]
        failed = seen.sent[~seen.ok]
        if len(ok) == 0:
            continue
        first = int(ok[0])
        before = failed[failed < first]
        if len(before) == 0:
            continue  # it took writes all along: that is no promotion
        by = int(seen.decided[seen.ok & (seen.sent >= first)].min())
        source = f"client {samples.client}, directly at {samples.target}: last failed write to first acknowledged one"
        return phase_at("promoted", int(before[-1]), by, zero_ns, source)
    return None
