"""The rules behind findings: each looks at one trial, and yields its evidence, or nothing.

A rule that would need an invalid or missing figure says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chaoskit.model.figures import ClientFigures, Figure, Outage, RoleInterval
from chaoskit.model.result import Result, TrialResult
from chaoskit.reporting.narrative import came_back, words
from chaoskit.reporting.text import count, instant, number, percent, seconds, span

DOMINATES = 0.7
"""A phase dominates when it takes this share of the recovery time."""
RECONNECT_S = 1.0
"""Pooled clients are worth a finding when they surely need this much longer than fresh ones."""
STORM = 2.0
"""Retries are a storm when, in the worst second, they surely bring this many times the requests that were due."""
_SWITCHED_ON = (True, "on", "true", "yes", "quorum", "strict", "remote_apply", "remote_write")


@dataclass(frozen=True, slots=True)
class Case:
    """What a rule looks at."""

    trial: TrialResult
    result: Result
    leader: str | None = None
    """The role whose holder leads; None where the lab names none."""


def point(figure: Figure | None) -> float | None:
    return figure.point if figure is not None and figure.valid and not figure.censored else None


def _fresh(trial: TrialResult) -> dict[str, ClientFigures]:
    return {name: c for name, c in trial.clients.items() if c.measures_outages} or dict(trial.clients)


def healed_s(trial: TrialResult) -> float | None:
    """When the last fault was healed; None where one was not."""
    healed = [f.healed_s for f in trial.faults if f.healed_s is not None]
    return max(healed) if healed and len(healed) == len(trial.faults) else None


def never_back(case: Case) -> Iterator[str]:
    for name, client in _fresh(case.trial).items():
        if client.rto.valid and client.rto.censored and not came_back(client):
            yield f"{name} was still down after {seconds(client.rto.low)}, when observation ended"


def _is_back(client: ClientFigures) -> bool:
    return client.rto.valid and (not client.rto.censored or came_back(client))


def never_reconnected(case: Case) -> Iterator[str]:
    """Clients that kept their connections, or their policy, past the return of the service."""
    fresh = {name: c for name, c in case.trial.clients.items() if c.measures_outages and _is_back(c)}
    for name, client in case.trial.clients.items():
        if not fresh or client.measures_outages or not client.rto.valid or not client.rto.censored or came_back(client):
            continue
        how = client.policy or f"the {client.client_class} client"
        yield f"{name} ({how}) was still down when observation ended; {', '.join(fresh)} had service again"


def after_heal(case: Case) -> Iterator[str]:
    healed = healed_s(case.trial)
    for name, client in _fresh(case.trial).items():
        first = next(iter(client.outages), None)
        if healed is None or first is None or not client.rto.valid or first.recovered_s is None:
            continue
        if first.first_failure_s < healed <= first.recovered_s:
            yield f"{name} was back at {instant(first.recovered_s)}, the fault was healed at {instant(healed)}"


def _holders(roles: tuple[RoleInterval, ...], role: str, from_s: float, until_s: float) -> list[str]:
    held = [r for r in roles if r.role == role and r.state == "yes" and r.from_s < until_s and r.until_s > from_s]
    return list(dict.fromkeys(r.node for r in held))


def no_failover(case: Case) -> Iterator[str]:
    """The leader was hit, service was down, and no other node took the role while the fault was there."""
    trial, healed = case.trial, healed_s(case.trial)
    hit = next((f for f in trial.faults if f.effective_s is not None), None)
    if case.leader is None or healed is None or hit is None or hit.effective_s is None:
        return
    before = _holders(trial.roles, case.leader, hit.effective_s - 1.0, hit.effective_s)
    down = [
        o for c in _fresh(trial).values() if c.rto.valid for o in c.outages if hit.effective_s - 1 <= o.first_failure_s < healed
    ]
    taken = [n for n in _holders(trial.roles, case.leader, hit.effective_s, healed) if n not in hit.target]
    if down and set(before) & set(hit.target) and not taken:
        held = seconds(healed - hit.effective_s, 1)
        yield f"{', '.join(before)} led and was hit; no other node held {case.leader} in the {held} until the heal"


def _leader_was_hit(case: Case) -> bool:
    """What settings predict is a failover: of a fault that left the leader alone they say nothing."""
    if case.leader is None or not any(r.role == case.leader for r in case.trial.roles):
        return True
    for fault in case.trial.faults:
        began = fault.injected_s if fault.injected_s is not None else fault.effective_s
        if began is not None and set(_holders(case.trial.roles, case.leader, began - 1.0, began)) & set(fault.target):
            return True
    return False


def slower(case: Case) -> Iterator[str]:
    predicted = case.result.predicted_rto_s if _leader_was_hit(case) else None
    for name, client in _fresh(case.trial).items():
        rto = client.rto
        if predicted and rto.valid and rto.low is not None and rto.low > predicted[1] and (rto.point is not None or rto.censored):
            yield f"{name}: {words(rto).main}, predicted {span(*predicted)}"


def faster(case: Case) -> Iterator[str]:
    predicted = case.result.predicted_rto_s if _leader_was_hit(case) else None
    for name, client in _fresh(case.trial).items():
        rto = client.rto
        if predicted and point(rto) is not None and rto.high is not None and rto.high < predicted[0]:
            yield f"{name}: {words(rto).main}, predicted {span(*predicted)}"


def _later_outages(trial: TrialResult) -> Iterator[tuple[str, Outage]]:
    for name, client in _fresh(trial).items():
        for outage in client.outages[1:] if client.rto.valid else ():
            yield name, outage


def at_failback(case: Case) -> Iterator[str]:
    back = case.trial.failback
    if back is not None and (point(back.outage) or 0) > 0:
        yield f"{back.node} took the lead back from {back.stand_in}, which cost {back.client} {words(back.outage).main}"
        return
    healed = healed_s(case.trial)
    for name, outage in _later_outages(case.trial):
        if healed is not None and outage.first_failure_s >= healed:
            after = seconds(outage.first_failure_s - healed)
            yield f"{name} failed again {after} after the heal, at {instant(outage.first_failure_s)}, for {_length(outage)}"


def second_outage(case: Case) -> Iterator[str]:
    healed = healed_s(case.trial)
    for name, outage in _later_outages(case.trial):
        if healed is None or outage.first_failure_s < healed:
            yield f"{name} failed again at {instant(outage.first_failure_s)}, before the heal, for {_length(outage)}"


def _length(outage: Outage) -> str:
    return span(outage.low_s, outage.high_s)


def two_owners(case: Case) -> Iterator[str]:
    trial = case.trial
    dual = trial.flapping.dual_owner_time if trial.flapping else None
    if dual is not None and dual.valid and (dual.point or 0) > 0:
        yield f"two nodes held the role at once for {words(dual).main}"
    acks = trial.rpo.split_brain_acks if trial.rpo else None
    if acks is not None and acks.valid and (acks.point or 0) > 0:
        yield f"the old leader acknowledged {count(acks.point)} writes after a new one had taken over"
    for name, address in sorted(trial.addresses.items()):
        if (point(address.dual_owner_time) or 0) > 0:
            yield f"two nodes answered for {name} ({address.address}) for {words(address.dual_owner_time).main}"


def synchronous_settings(settings: Mapping[str, Any]) -> list[str]:
    """The settings of a lab that claim synchronous replication."""
    return [k for k, v in settings.items() if "synchronous" in str(k).lower() and v in _SWITCHED_ON]


def lost_though_synchronous(case: Case) -> Iterator[str]:
    trial = case.trial
    claimed = synchronous_settings(case.result.lab.settings)
    gone = point(trial.rpo.lost) if trial.rpo else None
    if claimed and gone and trial.rpo:
        yield f"{count(gone)} of {count(trial.rpo.acknowledged)} acknowledged writes are gone, with {', '.join(claimed)} set"


def lost(case: Case) -> Iterator[str]:
    """Where no setting claims that it cannot happen: the price of what was configured."""
    ledger = case.trial.rpo
    gone = point(ledger.lost) if ledger else None
    if ledger and gone and not synchronous_settings(case.result.lab.settings):
        window = f", a window of {words(ledger.window).main}" if point(ledger.window) else ""
        yield f"{count(gone)} of {count(ledger.acknowledged)} acknowledged writes are gone{window}"


def slow_reconnect(case: Case) -> Iterator[str]:
    for name, client in case.trial.clients.items():
        figure = client.reconnect
        if figure is not None and figure.valid and not figure.censored and figure.low is not None and figure.low > RECONNECT_S:
            yield f"{name}: {words(figure).main}"


def retry_storm(case: Case) -> Iterator[str]:
    for name, behaviour in case.trial.behaviour.items():
        peak = behaviour.peak_amplification
        if peak.valid and peak.point is not None and (peak.low if peak.low is not None else peak.point) >= STORM:
            yield f"{name} ({behaviour.policy}) sent {number(peak.point)} times the requests due in its worst second"


def detection_dominates(case: Case) -> Iterator[str]:
    """By the phase "detected" where the cluster says when it noticed; else by the new leader, the election included."""
    at = {p.name: point(p.at) for p in case.trial.phases}
    back = at.get("rerouted")
    detected, leader = at.get("detected"), at.get("new leader")
    noticed, what = (detected, "the failure was detected") if detected else (leader, "there was a new leader")
    if noticed and back and DOMINATES * back <= noticed <= back:
        yield f"{seconds(noticed)} of {seconds(back)} ({percent(noticed / back, 0)}) had passed when {what}"


def unstable(case: Case) -> Iterator[str]:
    figures = case.trial.flapping
    if figures is None:
        return
    if point(figures.excess_leader_changes):
        yield f"{count(point(figures.excess_leader_changes))} changes of leader beyond the one that a failover needs"
    if point(figures.flaps):
        yield f"service went down again {count(point(figures.flaps))} times after having been back"
    if figures.ping_pong:
        yield f"the role went back to its old owner {figures.ping_pong} times within 60 s"
