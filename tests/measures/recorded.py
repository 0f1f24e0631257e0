"""Recorded trials written by hand: a service whose every second is known, as its clients and watchers would have recorded it.

Seconds count from the end of the baseline (time 0 of the method). The baseline is the 30 s before, observation ends at 60 s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from chaoskit.model.capability import Survey
from chaoskit.model.experiment import Experiment
from chaoskit.model.history import Event
from chaoskit.model.lab import LabPlan, LabSpec
from chaoskit.model.plan import Plan, PlannedAction, TrialPlan
from chaoskit.model.policy import RetryPolicy
from chaoskit.model.recorded import (
    MISSING,
    AddressSamples,
    Announcement,
    AttemptSamples,
    ClientSamples,
    FaultRecord,
    ReadBack,
    RoleSamples,
    TrialRecord,
)
from chaoskit.model.source import SourceFile

ZERO_NS = 1_000_000_000_000
BASELINE_S = 30.0
ENDED_S = 60.0
FAULT_S = 2.0
HEAL_S = 45.0
NODES = ("db1", "db2", "db3")
Spans = Sequence[tuple[float, float]]


def ns(at_s: float) -> int:
    """The monotonic instant of a second of the trial."""
    return ZERO_NS + round(at_s * 1e9)


def inside(at: Any, spans: Spans) -> Any:
    """Which instants (seconds) lie in any of the half-open spans."""
    hit = np.zeros(len(at), dtype=bool)
    for begin, end in spans:
        hit |= (at >= begin) & (at < end)
    return hit


def client(
    name: str = "orders",
    *,
    down: Spans = (),
    half_down: Spans = (),
    slow: Spans = (),
    tainted: Spans = (),
    not_sent: Spans = (),
    lateness_s: float = 0.0,
    client_class: str = "fresh",
    operation: str = "append",
    target: str = "write",
    interval_s: float = 0.1,
    probes: int = 10,
    deadline_s: float = 0.2,
    latency_s: float = 0.002,
    slo_s: float | None = None,
    from_s: float = -BASELINE_S - 1,
    until_s: float = ENDED_S,
    leads: Callable[[float], str] = lambda at: "db1",
    refusals: bool = False,
    vantage: str = "app",
) -> ClientSamples:
    """Open-loop attempts at a service that is down, half down (every second attempt fails) or slow in these spans.

    Each attempt's fate is decided at the instant it is sent. `leads`: which node answers at a second.
    """
    spacing_s = interval_s / probes
    count = round((until_s - from_s) / spacing_s)
    number = np.arange(count)
    at = from_s + number * spacing_s
    failed = inside(at, down) | (inside(at, half_down) & (number % 2 == 0))
    unsent = inside(at, not_sent)
    intended = np.array([ns(t) for t in at], dtype=np.int64)
    sent = intended + round(lateness_s * 1e9)
    took = np.where(inside(at, slow), 0.9 * deadline_s, latency_s)
    took = np.where(failed, latency_s if refusals else deadline_s, took)
    ended = sent + np.round(took * 1e9).astype(np.int64)
    failure = "refused" if refusals else "timeout"
    outcome = np.where(unsent, "not_sent", np.where(failed, failure, "ok"))
    certainty = np.where(unsent | (failed & refusals), "fail", np.where(failed, "info", "ok"))
    node = np.array([leads(float(t)) for t in at], dtype=np.str_)
    sent = np.where(unsent, MISSING, sent)
    return ClientSamples(
        client=name,
        type="postgres",
        client_class=client_class,
        operation=operation,
        vantage=vantage,
        target=target,
        interval_ns=round(interval_s * 1e9),
        spacing_ns=round(spacing_s * 1e9),
        deadline_ns=round(deadline_s * 1e9),
        window_ns=round(max(5.0, 10 * interval_s, 2 * deadline_s) * 1e9),
        slo_ns=None if slo_s is None else round(slo_s * 1e9),
        t_intended=intended,
        t_send=sent,
        t_connected=np.full(count, MISSING, dtype=np.int64),
        t_first_byte=np.full(count, MISSING, dtype=np.int64),
        t_end=np.where(unsent, MISSING, ended),
        late_end=np.full(count, MISSING, dtype=np.int64),
        ok=(outcome == "ok") & (ended - intended <= round(deadline_s * 1e9)),
        tainted=inside(at, tainted),
        outcome=outcome,
        certainty=certainty,
        node=np.where(outcome == "ok", node, ""),
        token=np.array([f"{name}-{i}" if operation == "append" else "" for i in number], dtype=np.str_),
        value=np.zeros(count, dtype="U1"),
        error=np.zeros(count, dtype="U1"),
        probe=(number % probes).astype(np.int64),
    )


def with_policy(
    samples: ClientSamples, policy: Mapping[str, Any], waits_s: Sequence[float] = (), *, attempt_s: float = 0.002
) -> ClientSamples:
    """The same client with a policy: each request that fails first was tried again after these waits, until one was ok.

    Whether an attempt fails is what `samples` says of the request that was due nearest to it; failed ones take `attempt_s`.
    """
    down = ~samples.ok & (samples.t_send != MISSING)
    took = samples.t_end - samples.t_send
    rows: list[tuple[int, int, int, int, int, str, str]] = []
    end, outcome, certainty, node = samples.t_end.copy(), samples.outcome.copy(), samples.certainty.copy(), samples.node.copy()
    for i in np.flatnonzero(samples.t_send != MISSING).tolist():
        at, number, waited = int(samples.t_send[i]), 1, 0
        while True:
            near = min(int(np.searchsorted(samples.t_intended, at)), len(down) - 1)
            failed = bool(down[near])
            ended = at + (round(attempt_s * 1e9) if failed else int(took[near]))
            word, sure = str(samples.outcome[near]), str(samples.certainty[near])
            rows.append((int(samples.t_intended[i]), number, at, ended, waited, word, sure))
            if not failed or number > len(waits_s):
                break
            waited = round(waits_s[number - 1] * 1e9)
            at, number = ended + waited, number + 1
        end[i], outcome[i] = ended, word
        node[i] = samples.node[near]
        mine = [r[6] for r in rows[-number:]]
        certainty[i] = "ok" if "ok" in mine else "info" if "info" in mine else "fail"
    rows.sort(key=lambda r: (r[2], r[0], r[1]))
    columns = [np.array(c, dtype=np.int64) for c in list(zip(*rows, strict=True))[:5]]
    words = [np.array([r[k] for r in rows], dtype=np.str_) for k in (5, 6)]
    chosen = RetryPolicy.model_validate(policy)
    patience_ns = chosen.patience_ns(samples.deadline_ns)
    return replace(
        samples,
        policy=chosen,
        attempt_deadline_ns=samples.deadline_ns,
        deadline_ns=patience_ns,
        attempts=AttemptSamples(*columns, *words, np.zeros(len(rows), dtype="U1")),  # type: ignore[arg-type]
        t_end=end,
        outcome=outcome,
        certainty=certainty,
        node=node,
        ok=(outcome == "ok") & (end - samples.t_intended <= patience_ns),
    )


def acknowledged(samples: ClientSamples, spans: Spans = ((-99.0, 99.0),)) -> list[str]:
    """Tokens acknowledged for attempts sent in these spans."""
    at = (samples.t_send - ZERO_NS) / 1e9
    return [str(t) for t in samples.token[inside(at, spans) & (samples.certainty == "ok")]]


def unacknowledged(samples: ClientSamples, certainty: str) -> list[str]:
    """Tokens of attempts of another certainty."""
    return [str(t) for t in samples.token[samples.certainty == certainty]]


def number_of(token: str) -> int:
    """A token's place in its writer's count."""
    return int(token[len(token.rstrip("0123456789")) :])


def reader(
    orders: ClientSamples,
    name: str = "readers",
    *,
    lag_s: Callable[[float], float] = lambda at: 0.0,
    without: Sequence[str] = (),
    node: str = "db1",
    **changes: Any,
) -> ClientSamples:
    """A client that reads the newest write of `orders` from a copy that lags behind so far at each second.

    A write takes effect half-way between its sending and its acknowledgement; `without` never does.
    """
    applied = (orders.certainty == "ok") & ~np.isin(orders.token, list(without))
    effective = (orders.t_send[applied] + orders.t_end[applied]) // 2
    numbers = np.array([number_of(t) for t in orders.token[applied].tolist()], dtype=np.int64)
    highest = np.concatenate((np.array([-1], dtype=np.int64), np.maximum.accumulate(numbers)))
    made = client(name, operation="newest", target="read", leads=lambda at: node, **changes)
    lag = np.array([round(lag_s(t) * 1e9) for t in ((made.t_intended - ZERO_NS) / 1e9).tolist()], dtype=np.int64)
    seen = highest[np.searchsorted(effective, (made.t_send + made.t_end) // 2 - lag, side="right")]
    value = np.where(made.certainty == "ok", seen.astype(np.str_), "")
    return replace(made, value=value)


def final_read(samples: ClientSamples, *, without: Sequence[str] = (), copies: Mapping[str, int] | None = None) -> ReadBack:
    """The strong final read: everything acknowledged, less what is lost, with these extra counts."""
    found = {token: 1 for token in acknowledged(samples) if token not in set(without)}
    return ReadBack(samples.client, "final", "db2", ns(ENDED_S + 1), True, found | dict(copies or {}))


def dump(samples: ClientSamples, node: str, *, without: Sequence[str] = (), copies: Mapping[str, int] | None = None) -> ReadBack:
    """One node's own content."""
    return replace(final_read(samples, without=without, copies=copies), kind="dump", node=node)


def role(
    node: str, yes: Spans, *, silent: Spans = (), name: str = "primary", every_s: float = 0.1, until_s: float = ENDED_S
) -> RoleSamples:
    """What the watcher recorded of one node: yes in these spans, no answer in those."""
    at = np.arange(-BASELINE_S - 1, until_s, every_s)
    state = np.where(inside(at, silent), -1, np.where(inside(at, yes), 1, 0)).astype(np.int8)
    begin = np.array([ns(t) for t in at], dtype=np.int64)
    return RoleSamples(name, node, begin, begin + 3_000_000, state)


def leaders(*, until_s: float = ENDED_S, **yes: Spans) -> tuple[RoleSamples, ...]:
    """The role samples of db1..db3: each one leads in the spans given, such as db1=[(-99, 2)]."""
    return tuple(role(node, yes.get(node, ()), until_s=until_s) for node in NODES)


def settled() -> tuple[RoleSamples, ...]:
    """db1 leads throughout."""
    return leaders(db1=[(-99, 99)])


def failed_over(at_s: float = FAULT_S, elected_s: float = 6.0) -> tuple[RoleSamples, ...]:
    """db1 leads until `at_s`, db2 from `elected_s` on."""
    return leaders(db1=[(-99, at_s)], db2=[(elected_s, 99)])


def address(
    *announcements: Announcement,
    deaf: Spans = (),
    unasked: Spans = (),
    lost: Sequence[float] = (),
    every_s: float = 0.1,
    until_s: float = ENDED_S,
    **owned: Spans,
) -> AddressSamples:
    """What was seen of the address vip: each node answers in the spans given, such as web1=[(-99, 2)], within a millisecond.

    `deaf`: whoever asks hears nobody; `unasked`: no question; `lost`: questions sent at these seconds reach nobody.
    """
    at = np.arange(-BASELINE_S - 1, until_s, every_s)
    at = at[~inside(at, unasked)]
    reached = ~inside(at, deaf) & ~np.isin(np.round(at, 3), np.round(lost, 3))
    asked = np.array([ns(t) for t in at], dtype=np.int64)
    answers = {}
    for node, spans in owned.items():
        answered = asked[reached & inside(at, spans)]
        answers[node] = np.column_stack((answered, answered + 1_000_000))
    heard = asked[~inside(at, deaf)] + 1_000_000
    return AddressSamples("vip", "198.18.0.100", asked, answers, heard, 2, announcements)


def fault(
    began_s: float = FAULT_S, healed_s: float | None = HEAL_S, *, verified: bool = True, action: str = "node.power_off"
) -> FaultRecord:
    """A fault whose injection took 20 ms and whose heal took 100 ms."""
    return FaultRecord(
        action=action,
        fault="node.power_off",
        nodes=("db1",),
        began_ns=ns(began_s),
        injected_ns=ns(began_s + 0.02),
        effective_ns=ns(began_s + 0.02) if verified else None,
        heal_began_ns=None if healed_s is None else ns(healed_s),
        healed_ns=None if healed_s is None else ns(healed_s + 0.1),
        verified=verified,
        gone=healed_s is not None,
    )


LAB: dict[str, Any] = {
    "name": "synthetic",
    "nodes": {"db": {"count": 3}, "app": {}},
    "leader": "primary",
    "ready": {"roles": {"primary": 1}},
}


def plan(objectives: Mapping[str, Any] | None = None, *, trials: int = 1, **changes: Any) -> Plan:
    """The plan of the synthetic experiment."""
    given: dict[str, Any] = {
        "title": "The primary loses power",
        "lab": "labs/synthetic",
        "clients": {
            "orders": {"type": "postgres", "operation": "append", "rate": "100/s", "deadline": "200ms", "endpoint": "write"}
        },
        "baseline": "30s",
        "method": [{"inject": "node.power_off", "target": {"role": "primary"}, "at": "2s"}],
        "objectives": dict(objectives or {}),
        "repeat": trials,
    }
    experiment = Experiment.model_validate(given | changes)
    lab = LabSpec.model_validate(LAB)
    planned = tuple(
        PlannedAction(name=a.name or a.inject, fault=a.inject, action=a, at_s=2.0, candidates=NODES) for a in experiment.method
    )
    return Plan(
        experiment=experiment,
        experiment_source=SourceFile(path="experiments/synthetic.yaml", sha256="0" * 64),
        lab=lab,
        lab_source=SourceFile(path="labs/synthetic/lab.yaml", sha256="1" * 64),
        lab_plan=LabPlan(name="synthetic", nodes=(), networks={}, roles={}, ready=lab.ready, image=lab.image, clients=("app",)),
        survey=Survey(backend="synthetic", capabilities=()),
        seed=7,
        trials=tuple(TrialPlan(index=i, seed=i, actions=planned) for i in range(trials)),
    )


def event(at_s: float, kind: str, trial: int | None = 0, **data: Any) -> Event:
    """An event whose wall clock reads 12:00:00 at second 0."""
    total_ms = 12 * 3600 * 1000 + round(at_s * 1000)
    clock = f"{total_ms // 3600000:02d}:{total_ms // 60000 % 60:02d}:{total_ms // 1000 % 60:02d}.{total_ms % 1000:03d}"
    return Event(t_ns=ns(at_s), wall=f"2026-01-31T{clock}Z", trial=trial, kind=kind, source="engine", data=data)


def trial(
    *clients: ClientSamples,
    roles: Sequence[RoleSamples] | None = None,
    faults: Sequence[FaultRecord] | None = None,
    read_backs: Sequence[ReadBack] | None = None,
    problems: Sequence[str] = (),
    planned: Plan | None = None,
    baseline_s: float = BASELINE_S,
    index: int = 0,
    addresses: Sequence[AddressSamples] = (),
) -> TrialRecord:
    """A recorded trial; by default a verified fault at 2 s, a settled leader, and final reads that find every write."""
    chosen = clients or (client(),)
    reads = [final_read(c) for c in chosen if c.operation == "append"] if read_backs is None else read_backs
    return TrialRecord(
        index=index,
        plan=planned or plan(),
        started_ns=ns(-40),
        baseline_began_ns=ns(-baseline_s),
        baseline_ended_ns=ns(0),
        ended_ns=ns(ENDED_S),
        events=(event(-40, "trial.started", index), event(0, "baseline.ended", index), event(70, "trial.ended", index)),
        clients={c.client: c for c in chosen},
        roles=tuple(settled() if roles is None else roles),
        read_backs=tuple(reads),
        faults=tuple((fault(),) if faults is None else faults),
        problems=tuple(problems),
        addresses=tuple(addresses),
    )
