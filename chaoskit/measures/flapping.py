"""Whether the cluster settled at once: outages after the first, leader changes beyond the first, two leaders, none.

Rules of MEASUREMENT.md section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from chaoskit.measures.leadership import (
    Held,
    Tenure,
    leader_samples,
    sampling_s,
    successions,
    time_with,
)
from chaoskit.measures.outages import OutageSpan, evidence, is_down, outage_spans
from chaoskit.measures.validity import client_gates, fault_began_ns, trial_gates, unmet_reasons
from chaoskit.measures.wording import between_text, duration_text, invalid, seconds, unknown
from chaoskit.model.recorded import ClientSamples, RoleSamples, TrialRecord
from chaoskit.model.result import Figure, FlappingFigures, RoleInterval

FLAPS_RULE = "debounced DOWN intervals - 1 (DOWN: 2 failures in a row or >= 2 W of failure; UP: S clean); the worst fresh client"
CHANGES_RULE = "holders of the leader role that at least two samples in a row confirm, from the fault on"
UNSTABLE_RULE = "from the first s_F to the last s_R after the fault; the longest of the fresh clients"
OWNERS_RULE = "from the samples' brackets; a node that does not answer counts as not leading"
PING_PONG_NS = 60_000_000_000
_STATES: dict[int, Literal["yes", "no", "unknown"]] = {1: "yes", 0: "no"}


class Flapping:
    """The measure behind `flapping` and `roles` of a trial."""

    name = "flapping"

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """{"flapping": FlappingFigures, "roles": tuple[RoleInterval, ...]}."""
        return {"flapping": flapping_figures(trial), "roles": role_intervals(trial)}


def flapping_figures(trial: TrialRecord) -> FlappingFigures:
    """Flaps as clients met them, and the leader's as the watchers saw them."""
    reasons = unmet_reasons(trial_gates(trial)) + tuple(trial.problems)
    began = fault_began_ns(trial)
    if began is None:
        nothing = unknown("no fault was injected")
        return FlappingFigures(
            flaps=nothing,
            leader_changes=nothing,
            excess_leader_changes=nothing,
            unstable_time=nothing,
            dual_owner_time=nothing,
            no_owner_time=nothing,
        )
    flaps, unstable = _client_flaps(trial, began)
    watched = leader_samples(trial)
    if not watched:
        role = trial.plan.lab.leader
        why = f"nobody watched the role {role!r}" if role else "the lab names no leader role"
        changes = excess = dual = none = unknown(why, rule=OWNERS_RULE)
        ping_pong = 0
    else:
        order = successions(watched, began)
        changes, excess, ping_pong = _changes(order, watched)
        dual = _owners(time_with(watched, began, trial.ended_ns, lambda n: n > 1), watched)
        none = _owners(time_with(watched, began, trial.ended_ns, lambda n: n == 0), watched)
    return FlappingFigures(
        flaps=invalid(flaps, reasons),
        leader_changes=invalid(changes, reasons),
        excess_leader_changes=invalid(excess, reasons),
        ping_pong=ping_pong,
        unstable_time=invalid(unstable, reasons),
        dual_owner_time=invalid(dual, reasons),
        no_owner_time=invalid(none, reasons),
    )


def _client_flaps(trial: TrialRecord, began: int) -> tuple[Figure, Figure]:
    """`flaps` and `unstable_time` of the fresh client that had it worst."""
    fresh = [s for _, s in sorted(trial.clients.items()) if s.client_class == "fresh"]
    if not fresh:
        why = unknown("there is no fresh client", unit="count", rule=FLAPS_RULE)
        return why, unknown("there is no fresh client", rule=UNSTABLE_RULE)
    worst: tuple[int, ClientSamples, Sequence[OutageSpan]] | None = None
    unstable: list[tuple[int, int, ClientSamples, Sequence[OutageSpan]]] = []
    reasons: tuple[str, ...] = ()
    for samples in fresh:
        reasons += tuple(f"{samples.client}: {r}" for r in unmet_reasons(client_gates(trial, samples)))
        spans = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
        after = [s for s in spans if s.first_ok_after is None or s.first_ok_after > began]
        down = [s for s in after if is_down(s, samples.deadline_ns)]
        flaps = max(len(down) - 1, 0)
        if worst is None or flaps > worst[0]:
            worst = (flaps, samples, down)
        if after:
            unstable.append((after[-1].last_failed - after[0].first_failed, len(unstable), samples, after))
    assert worst is not None
    flaps, samples, outages = worst
    text = f"{flaps} ({len(outages)} outages of {samples.client})" if flaps else "none"
    figure = Figure(point=flaps, low=flaps, high=flaps, unit="count", n=len(samples.t_intended), rule=FLAPS_RULE, text=text)
    return invalid(figure, reasons), invalid(_unstable(unstable), reasons)


def _unstable(found: list[tuple[int, int, ClientSamples, Sequence[OutageSpan]]]) -> Figure:
    if not found:
        return Figure(point=0.0, low=0.0, high=0.0, rule=UNSTABLE_RULE, text="no outage was seen")
    _, _, samples, spans = max(found, key=lambda f: (f[0], -f[1]))
    first, last = spans[0], spans[-1]
    low = seconds(last.last_failed - first.first_failed)
    if last.first_ok_after is None:
        reason = f"{samples.client} had not settled when observation ended"
        text = f"more than {duration_text(low)}"
        return Figure(low=low, rule=UNSTABLE_RULE, n=len(spans), censored=True, reasons=(reason,), text=text)
    before = first.last_ok_before if first.last_ok_before is not None else first.first_failed
    point, high = seconds(last.first_ok_after - first.first_failed), seconds(last.first_ok_after - before)
    return Figure(point=point, low=low, high=high, n=len(spans), rule=UNSTABLE_RULE, text=between_text(point, low, high))


def _changes(order: Sequence[Tenure], watched: Sequence[RoleSamples]) -> tuple[Figure, Figure, int]:
    changes = max(len(order) - 1, 0)
    names = " → ".join(t.node for t in order)
    reasons = () if order else ("nobody was seen to lead",)
    n = sum(len(r.state) for r in watched)
    text = f"{changes} ({names})" if changes else f"none ({names} led throughout)" if order else "nobody was seen to lead"
    excess = max(changes - 1, 0)
    ping_pong = sum(
        1
        for first, middle, back in zip(order, order[1:], order[2:], strict=False)
        if first.node == back.node and back.begin_point - middle.begin_point < PING_PONG_NS
    )
    made = Figure(point=changes, low=changes, high=changes, unit="count", n=n, rule=CHANGES_RULE, reasons=reasons, text=text)
    beyond = Figure(
        point=excess,
        low=excess,
        high=excess,
        unit="count",
        n=n,
        rule=f"{CHANGES_RULE}; less the one that a failover needs",
        text=str(excess) if excess else "none",
    )
    return made, beyond, ping_pong


def _owners(held: Held, watched: Sequence[RoleSamples]) -> Figure:
    """A time with two owners, or none; what lies wholly within the samples' brackets is "none seen, or shorter than"."""
    low, point, high = seconds(held.low), seconds(held.point), seconds(held.high)
    n = sum(len(r.state) for r in watched)
    if low == 0:
        resolution = max(high, sampling_s(watched))
        text = f"none seen, or shorter than {duration_text(resolution)}"
        return Figure(point=None, low=0.0, high=round(resolution, 9), n=n, rule=OWNERS_RULE, text=text)
    return Figure(point=point, low=low, high=high, n=n, rule=OWNERS_RULE, text=between_text(point, low, high))


def role_intervals(trial: TrialRecord) -> tuple[RoleInterval, ...]:
    """Every watched role of every node as intervals of one state, for the time line; each change at the middle of its bracket."""
    zero = trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns
    made = []
    for samples in sorted(trial.roles, key=lambda r: (r.role, r.node)):
        states = samples.state.tolist()
        begin = 0
        from_ns: float = float(samples.t_begin[0]) if states else 0.0
        for i in range(1, len(states) + 1):
            if i < len(states) and states[i] == states[begin]:
                continue
            until_ns = (int(samples.t_begin[i - 1]) + int(samples.t_end[i])) / 2 if i < len(states) else float(samples.t_end[-1])
            made.append(
                RoleInterval(
                    role=samples.role,
                    node=samples.node,
                    state=_STATES.get(states[begin], "unknown"),
                    from_s=seconds(from_ns - zero),
                    until_s=seconds(until_ns - zero),
                )
            )
            begin, from_ns = i, until_ns
    return tuple(made)
