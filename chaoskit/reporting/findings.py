"""Findings: what stands out in the figures, computed by stated rules and never guessed, each with its evidence.

A rule that would need an invalid or missing figure says nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chaoskit.model.figures import ClientFigures, Figure
from chaoskit.model.result import Result, TrialResult
from chaoskit.reporting.narrative import came_back, words
from chaoskit.reporting.text import count, instant, percent, seconds, span

DOMINATES = 0.7
"""A phase dominates when it takes this share of the recovery time."""
RECONNECT_S = 1.0
"""Pooled clients are worth a finding when they surely need this much longer than fresh ones."""
MEDIAN_TRIALS, TAIL_TRIALS = 6, 59
"""Trials that a 95 % interval of the median, and of a p95, take."""


@dataclass(frozen=True, slots=True)
class Finding:
    title: str
    evidence: tuple[str, ...]
    """One entry a trial or client."""
    anchor: str
    """The section that shows it."""
    advice: str


Found = tuple[str, str]
"""(evidence, subject)."""


def _point(figure: Figure | None) -> float | None:
    return figure.point if figure is not None and figure.valid and not figure.censored else None


def _fresh(trial: TrialResult) -> dict[str, ClientFigures]:
    return {name: c for name, c in trial.clients.items() if c.measures_outages} or dict(trial.clients)


def _healed_s(trial: TrialResult) -> float | None:
    healed = [f.healed_s for f in trial.faults if f.healed_s is not None]
    return max(healed) if healed and len(healed) == len(trial.faults) else None


def _never_back(trial: TrialResult, result: Result) -> Iterator[str]:
    for name, client in trial.clients.items():
        if client.rto.valid and client.rto.censored and not came_back(client):
            yield f"{name} was still down after {seconds(client.rto.low)}, when observation ended"


def _after_heal(trial: TrialResult, result: Result) -> Iterator[str]:
    healed = _healed_s(trial)
    for name, client in _fresh(trial).items():
        first = next(iter(client.outages), None)
        if healed is None or first is None or not client.rto.valid or first.recovered_s is None:
            continue
        if first.first_failure_s < healed <= first.recovered_s:
            yield f"{name} was back at {instant(first.recovered_s)}, the fault was healed at {instant(healed)}"


def _slower(trial: TrialResult, result: Result) -> Iterator[str]:
    predicted = result.predicted_rto_s
    for name, client in _fresh(trial).items():
        rto = client.rto
        if predicted and rto.valid and rto.low is not None and rto.low > predicted[1] and (rto.point is not None or rto.censored):
            yield f"{name}: {words(rto).main}, predicted {span(*predicted)}"


def _faster(trial: TrialResult, result: Result) -> Iterator[str]:
    predicted = result.predicted_rto_s
    for name, client in _fresh(trial).items():
        rto = client.rto
        if predicted and _point(rto) is not None and rto.high is not None and rto.high < predicted[0]:
            yield f"{name}: {words(rto).main}, predicted {span(*predicted)}"


def _second_outage(trial: TrialResult, result: Result) -> Iterator[str]:
    healed = _healed_s(trial)
    for name, client in _fresh(trial).items():
        for outage in client.outages[1:] if client.rto.valid else ():
            when = "after the heal" if healed is not None and outage.first_failure_s >= healed else "before the heal"
            yield f"{name} failed again at {instant(outage.first_failure_s)}, {when}, for {span(outage.low_s, outage.high_s)}"


def _two_owners(trial: TrialResult, result: Result) -> Iterator[str]:
    dual = trial.flapping.dual_owner_time if trial.flapping else None
    if dual is not None and dual.valid and (dual.point or 0) > 0:
        yield f"two nodes held the role at once for {words(dual).main}"
    acks = trial.rpo.split_brain_acks if trial.rpo else None
    if acks is not None and acks.valid and (acks.point or 0) > 0:
        yield f"the old leader acknowledged {count(acks.point)} writes after a new one had taken over"


_SWITCHED_ON = (True, "on", "true", "quorum", "strict")


def _lost_though_synchronous(trial: TrialResult, result: Result) -> Iterator[str]:
    claimed = [
        k
        for k, v in result.lab.settings.items()
        if "synchronous" in str(k).lower() and v in (True, "on", "true", "quorum", "strict")
    ]
    lost = _point(trial.rpo.lost) if trial.rpo else None
    if claimed and lost and trial.rpo:
        yield f"{count(lost)} of {count(trial.rpo.acknowledged)} acknowledged writes are gone, with {', '.join(claimed)} set"


def _slow_reconnect(trial: TrialResult, result: Result) -> Iterator[str]:
    for name, client in trial.clients.items():
        figure = client.reconnect
        if figure is not None and figure.valid and not figure.censored and figure.low is not None and figure.low > RECONNECT_S:
            yield f"{name}: {words(figure).main}"


def _waiting_for_a_leader(trial: TrialResult, result: Result) -> Iterator[str]:
    at = {p.name: _point(p.at) for p in trial.phases}
    leader, back = at.get("new leader"), at.get("rerouted")
    if leader and back and DOMINATES * back <= leader <= back:
        yield f"{seconds(leader)} of {seconds(back)} ({percent(leader / back, 0)}) had passed when there was a new leader"


def _unstable(trial: TrialResult, result: Result) -> Iterator[str]:
    figures = trial.flapping
    if figures is None:
        return
    if _point(figures.excess_leader_changes):
        yield f"{count(_point(figures.excess_leader_changes))} changes of leader beyond the one that a failover needs"
    if _point(figures.flaps):
        yield f"service went down again {count(_point(figures.flaps))} times after having been back"
    if figures.ping_pong:
        yield f"the role went back to its old owner {figures.ping_pong} times within 60 s"


_RULES: tuple[tuple[str, Callable[[TrialResult, Result], Iterator[str]], str, str], ...] = (
    (
        "Clients never came back",
        _never_back,
        "timeline",
        "Hold observation longer, and see in the logs what the cluster waits for.",
    ),
    (
        "Service came back only after the heal: that is not a failover RTO",
        _after_heal,
        "timeline",
        "Hold the fault longer than the predicted recovery, and see why no other node took over.",
    ),
    (
        "Acknowledged writes lost with synchronous replication",
        _lost_though_synchronous,
        "losses",
        "Check what the setting promises when the standby is away.",
    ),
    (
        "Two nodes led at once",
        _two_owners,
        "stability",
        "Check fencing and how an isolated leader steps down; cut the leader off instead of killing it.",
    ),
    (
        "Slower than the settings predict",
        _slower,
        "waterfall",
        "Compare the phases with the settings: one of them does not do what it says.",
    ),
    (
        "Faster than the settings predict",
        _faster,
        "waterfall",
        "Vary the injection's phase: the detector may have been lucky, or the prediction is wrong.",
    ),
    (
        "A second outage",
        _second_outage,
        "timeline",
        "Test the failback by itself: heal, wait, and watch the old leader come back.",
    ),
    (
        "Pooled clients come back late",
        _slow_reconnect,
        "clients",
        "Shorten the pool's connect time-out and its check of idle connections, then compare the clients again.",
    ),
    (
        "Most of the outage is waiting for a new leader",
        _waiting_for_a_leader,
        "waterfall",
        "Shorter detection settings buy most; measure what they cost in false alarms with a short hang.",
    ),
    (
        "Leadership is not stable",
        _unstable,
        "stability",
        "Repeat with a longer hold, and with a slow network instead of a dead node.",
    ),
)


def findings(result: Result) -> tuple[Finding, ...]:
    """Every rule that holds in some trial, in order of weight."""
    found = []
    many = len(result.trials) > 1
    for title, rule, anchor, advice in _RULES:
        said = [f"trial {t.index}: {e}" if many else e for t in result.trials for e in rule(t, result)]
        if said:
            found.append(Finding(title, tuple(said), anchor, advice))
    return tuple(found)


def trials_needed(result: Result) -> str:
    """What the number of trials does not allow to say; empty where it suffices."""
    done = len(result.trials)
    if not done or done >= TAIL_TRIALS:
        return ""
    reached = 1 - 0.95**done
    said = f"{done} {'trial' if done == 1 else 'trials'}"
    if done < MEDIAN_TRIALS:
        return f"{said}: a 95 % interval of the median takes {MEDIAN_TRIALS}, a p95 with 95 % confidence {TAIL_TRIALS}."
    return f"{said}: the largest value bounds the p95 with {percent(reached, 0)} confidence; 95 % takes {TAIL_TRIALS}."
