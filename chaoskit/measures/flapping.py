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
    tenures,
    time_with,
)
from chaoskit.measures.settling import settling_figures
from chaoskit.measures.validity import fault_began_ns, trial_gates, unmet_reasons
from chaoskit.measures.wording import between_text, duration_text, invalid, seconds, unknown
from chaoskit.model.figures import Figure, FlappingFigures, RoleInterval
from chaoskit.model.recorded import RoleSamples, TrialRecord

CHANGES_RULE = "holders of the leader role that at least two samples in a row confirm, from the fault on"
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
            stability=nothing,
            dual_owner_time=nothing,
            no_owner_time=nothing,
        )
    settled = settling_figures(trial, began)
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
        flaps=invalid(settled.flaps, reasons),
        leader_changes=invalid(changes, reasons),
        excess_leader_changes=invalid(excess, reasons),
        ping_pong=ping_pong,
        unstable_time=invalid(settled.unstable_time, reasons),
        stability=invalid(settled.stability, reasons),
        nagios=settled.nagios,
        transitions=settled.transitions,
        transition_counts=settled.transition_counts,
        dual_owner_time=invalid(dual, reasons),
        no_owner_time=invalid(none, reasons),
    )


def _changes(order: Sequence[Tenure], watched: Sequence[RoleSamples]) -> tuple[Figure, Figure, int]:
    changes = max(len(order) - 1, 0)
    names = " → ".join(t.node for t in order)
    reasons = () if order else ("nobody was seen to lead",)
    n = sum(len(r.state) for r in watched)
    text = f"{changes} ({names})" if changes else f"none ({names} led throughout)" if order else "nobody was seen to lead"
    excess = max(changes - 1, 0)
    ping_pong = sum(
        first.node == back.node and _dwell_ns(middle, back, watched) < PING_PONG_NS
        for first, middle, back in zip(order, order[1:], order[2:], strict=False)
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


def _dwell_ns(middle: Tenure, back: Tenure, watched: Sequence[RoleSamples]) -> float:
    """How long `middle` held the role until `back` took it: to the end of its own holding, missed answers in between included."""
    own = [t for r in watched if r.node == middle.node for t in tenures(r) if t.begin_high <= back.begin_high]
    ends = (min(t.end_point(back.begin_high), back.begin_point) for t in own)
    return max(ends, default=back.begin_point) - middle.begin_point


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
