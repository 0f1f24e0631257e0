"""Run directories as a real run leaves them, made from a seed: a primary loses power and the cluster fails over.

Time 0 of a trial is the end of its baseline; the primary db1 loses power at 10 s, db2 is promoted about 19 s later.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from chaoskit.model.figures import (
    ClientFigures,
    DivergentWrite,
    FaultFigures,
    Figure,
    FlappingFigures,
    Gate,
    LedgerFigures,
    LostWrite,
    Outage,
    Phase,
    RejoinedNode,
    RoleInterval,
)
from chaoskit.model.game_day import FollowUp, GameDay, Participant, Remark
from chaoskit.model.history import SAMPLES_DDL
from chaoskit.model.over_trials import Summary
from chaoskit.model.result import ExperimentRef, LabRef, ObjectiveOutcome, Result, TrialResult, UndoSummary
from tests.reporting.stale_figures import stale_figures
from tests.simulated.plans import lab_plan

SECOND = 1_000_000_000
EPOCH_NS = 5_000 * SECOND
BASELINE_S, OBSERVED_S = 30.0, 75.0
FAULT_S, EFFECT_S, HEAL_S = 10.0, 10.041, 40.2
RULE = "(s_K + s_R)/2 - (s_L + s_F)/2, bounds [s_K - s_F, s_R - s_L]"


@dataclass
class Shape:
    """What kind of run to make."""

    trials: int = 1
    outage_s: float = 19.3
    """Of the fresh writer, from the fault's effect; None is written as recovers=False."""
    recovers: bool = True
    lost: int = 0
    verified: bool = True
    dirty: tuple[str, ...] = ()
    incomplete: str | None = None
    rate_factor: float = 1.0
    clients: dict[str, tuple[str, str, float]] = field(
        default_factory=lambda: {
            "app": ("append", "pooled", 20.0),
            "orders": ("append", "fresh", 20.0),
            "readers": ("read", "pooled", 20.0),
        }
    )
    verdict: str = "passed"
    seed: int = 7
    game_day: GameDay | None = None


DAY = GameDay(
    purpose="Does the pager go off before customers call?",
    participants=(Participant(name="Ada", role="on call"), Participant(name="Grace")),
    notes=(Remark(text="the dashboard is still green", by="Grace", at="2026-11-22T09:30:42.500000+00:00", trial=1),),
    decisions=(Remark(text="we stop after two minutes", by="Ada"), Remark(text="we keep ttl", at="12s")),
    follow_ups=(FollowUp(action="shorten ttl", owner="Ada", retest=date(2026, 12, 10)), FollowUp(action="a bigger disk")),
)


def wall(at_s: float) -> str:
    total = 9 * 3600 + 30 * 60 + at_s
    return f"2026-11-22T{int(total // 3600):02d}:{int(total // 60 % 60):02d}:{total % 60:09.6f}+00:00"


def zero_of(trial: int) -> int:
    return EPOCH_NS + (trial - 1) * 200 * SECOND + int(BASELINE_S * SECOND)


def outage_of(shape: Shape, client: str, trial: int) -> float:
    extra = {"app": 1.4, "readers": 0.6}.get(client, 0.0)
    return shape.outage_s + extra + (trial - 1) * 1.7 if shape.recovers else float("inf")


def sample_rows(shape: Shape, trial: int) -> list[tuple[Any, ...]]:
    """The attempts of one trial."""
    rng = np.random.default_rng(shape.seed + trial)
    rows: list[tuple[Any, ...]] = []
    zero = zero_of(trial)
    for name, (operation, kind, rate) in shape.clients.items():
        times = np.arange(-BASELINE_S, OBSERVED_S, 1 / (rate * shape.rate_factor))
        back = EFFECT_S + outage_of(shape, name, trial)
        fast = np.exp(rng.normal(np.log(0.0042 if kind == "pooled" else 0.009), 0.28, len(times)))
        fast = np.where(rng.random(len(times)) < 0.004, fast * 9, fast)
        kinds = rng.random(len(times))
        for seq, (t, latency, which) in enumerate(zip(times.tolist(), fast.tolist(), kinds.tolist(), strict=True)):
            outcome, certainty, node, error = "ok", "ok", "db1" if t < EFFECT_S else "db2", None
            if EFFECT_S <= t < back:
                outcome, latency, node = "timeout", 0.5, None
                error = "no answer within 500 ms"
                if t > EFFECT_S + 6 and which < 0.35:
                    outcome, latency, error = "refused", 0.0006 + 0.0008 * which, "connection to 198.18.0.12 refused"
                elif t > EFFECT_S + 9 and which < 0.5:
                    outcome, latency, error = (
                        "wrong_role",
                        0.006 + 0.004 * which,
                        "cannot execute INSERT in a read-only transaction",
                    )
                certainty = "info" if outcome == "timeout" else "fail"
            begin = zero + int(t * SECOND)
            end = begin + int(latency * SECOND)
            rows.append(
                (
                    trial,
                    name,
                    seq % 4,
                    kind,
                    operation,
                    "app",
                    "write",
                    seq,
                    f"{name}-{seq}",
                    begin,
                    begin + 40_000,
                    begin + 900_000,
                    end,
                    end,
                    outcome,
                    certainty,
                    node,
                    None,
                    None,
                    None,
                    1,
                    0,
                    error,
                )
            )
    return rows


def write_samples(path: Path, shape: Shape) -> int:
    db = sqlite3.connect(path)
    db.execute("PRAGMA synchronous = OFF")
    db.executescript(SAMPLES_DDL)
    total = 0
    for trial in range(1, shape.trials + 1):
        rows = sample_rows(shape, trial)
        db.executemany(f"INSERT INTO samples VALUES ({','.join('?' * 23)})", rows)
        total += len(rows)
        db.execute("INSERT INTO read_backs VALUES (?, 'orders', 'final', 'db2', ?, 1, 900, '')", (trial, zero_of(trial)))
    db.commit()
    db.close()
    return total


def events_of(shape: Shape, trial: int) -> list[dict[str, Any]]:
    back = EFFECT_S + outage_of(shape, "app", trial)
    fault = {"action": "lose-power", "fault": "node.power_off", "nodes": ["db1"]}
    told: list[tuple[float, str, str, dict[str, Any]]] = [
        (-BASELINE_S - 12, "trial.started", "engine", {"index": trial, "seed": 40 + trial}),
        (-BASELINE_S - 1, "lab.ready", "backend", {"took_s": 10.8, "roles": {"primary": ["db1"], "replica": ["db2", "db3"]}}),
        *(
            (
                -BASELINE_S,
                "client.started",
                "client",
                {
                    "client": c,
                    "interval_ns": 200_000_000,
                    "spacing_ns": 50_000_000,
                    "deadline_ns": 500_000_000,
                    "probes": 4,
                    "window_ns": 5 * SECOND,
                },
            )
            for c in shape.clients
        ),
        (-BASELINE_S, "baseline.started", "engine", {}),
        (0.0, "baseline.ended", "engine", {}),
        (FAULT_S - 0.2, "fault.preparing", "engine", fault),
        (FAULT_S - 0.01, "fault.injecting", "engine", {**fault, "steps": 2}),
        (FAULT_S, "fault.injected", "engine", {**fault, "began_ns": 0, "ended_ns": 1}),
        (EFFECT_S + 0.2, "fault.effect", "engine", {**fault, "verified": shape.verified, "evidence": []}),
        (EFFECT_S + 0.4, "role.changed", "watcher", {"role": "primary", "node": "db1", "state": "unknown", "between_ns": [0, 1]}),
    ]
    if shape.recovers:
        told += [
            (back - 1.9, "role.changed", "watcher", {"role": "primary", "node": "db2", "state": "yes", "between_ns": [0, 1]}),
            (back + 5, "clients.recovered", "engine", {}),
        ]
    told += [
        (HEAL_S - 0.1, "fault.healing", "engine", fault),
        (HEAL_S, "fault.healed", "engine", {**fault, "began_ns": 0, "ended_ns": 1}),
        (HEAL_S + 0.3, "service.started", "backend", {"node": "db1", "service": "patroni", "pid": 312}),
        (HEAL_S + 0.5, "fault.gone", "engine", {**fault, "verified": True, "evidence": []}),
        (HEAL_S + 6, "role.changed", "watcher", {"role": "primary", "node": "db1", "state": "no", "between_ns": [0, 1]}),
    ]
    if not shape.recovers:
        told.append((OBSERVED_S, "recovery.timeout", "engine", {"clients": list(shape.clients)}))
    told.append((OBSERVED_S + 2, "trial.ended", "engine", {"index": trial}))
    zero = zero_of(trial)
    return [
        {
            "t_ns": zero + int(t * SECOND),
            "wall": wall((zero - EPOCH_NS) / SECOND + t),
            "trial": trial,
            "kind": kind,
            "source": source,
            "data": data,
        }
        for t, kind, source, data in told
    ]


def rto_of(shape: Shape, client: str, trial: int) -> Figure:
    if not shape.verified:
        return Figure(valid=False, reasons=("the effect of node.power_off on db1 was not verified",), rule=RULE, n=2100)
    length = outage_of(shape, client, trial)
    if not shape.recovers:
        low = OBSERVED_S - EFFECT_S
        return Figure(low=low, censored=True, rule=RULE, n=2100, reasons=("not recovered when observation ended",))
    return Figure(
        point=length,
        low=length - 0.05,
        high=length + 0.05,
        n=2100,
        rule=RULE,
        text=f"{length:.2f} s ({length - 0.05:.2f} s to {length + 0.05:.2f} s)",
    )


def client_figures(shape: Shape, client: str, trial: int) -> ClientFigures:
    rto = rto_of(shape, client, trial)
    length = outage_of(shape, client, trial)
    outage = Outage(
        first_failure_s=EFFECT_S,
        recovered_s=EFFECT_S + length if shape.recovers else None,
        point_s=length if shape.recovers else None,
        low_s=length - 0.05 if shape.recovers else OBSERVED_S - EFFECT_S,
        high_s=length + 0.05 if shape.recovers else None,
        errors={"timeout": 214, "refused": 88, "wrong_role": 31},
    )
    operation, kind, _ = shape.clients[client]
    return ClientFigures(
        type="postgres",
        client_class=kind,
        operation=operation,
        target="write",
        rto=rto,
        user_rto=rto,
        fault_rto=rto,
        outages=(outage,),
        availability=Figure(point=0.8162, low=0.81, high=0.822, unit="share", n=2100, rule="1 - down / observed", text="81.62 %"),
        operations=2100,
        errors={"timeout": 214, "refused": 88, "wrong_role": 31},
        latency={"p50": 0.0042, "p95": 0.0093, "p99": 0.0317, "max": 0.184},
        reconnect=Figure(point=1.4, low=1.3, high=1.5, text="1.40 s (1.30 to 1.50)", rule="RTO(pooled) - RTO(fresh)")
        if shape.clients.get(client, ("", "", 0))[1] == "pooled" and shape.recovers
        else None,
    )


def ledger_of(shape: Shape) -> LedgerFigures:
    lost = tuple(
        LostWrite(
            client="orders",
            token=f"run-orders-{800 + i}",
            acknowledged_s=EFFECT_S - 0.62 + 0.62 * i / max(shape.lost, 1),
            node="db1",
        )
        for i in range(shape.lost)
    )
    exact = Figure(
        point=float(shape.lost), low=float(shape.lost), high=float(shape.lost), unit="writes", n=1312, rule="acked minus read"
    )
    window = (
        Figure(point=0.62, low=0.57, high=0.67, rule="T_ref - min ack time(lost)")
        if shape.lost
        else Figure(text="no write was lost")
    )
    return LedgerFigures(
        acknowledged=1312,
        lost=exact,
        recovered=3,
        phantom=0,
        duplicated=0,
        window=window,
        split_brain_acks=Figure(point=0, low=0, high=0, unit="writes", rule="acks by the old leader after the fault"),
        divergence={"db1": shape.lost, "db2": 0},
        divergent_writes=tuple(
            DivergentWrite(node="db1", copies=1, final_copies=0, acknowledged_by=w.node, **w.model_dump(exclude={"node"}))
            for w in lost
        ),
        unread={"db3": "connection refused"} if shape.lost else {},
        rejoined=(
            RejoinedNode(
                node="db1", client="orders", after_heal_s=0.21, only_there=shape.lost, lost_there=shape.lost, was_leader=True
            ),
        )
        if shape.lost
        else (),
        lost_writes=lost,
        contiguous_tail=True if shape.lost else None,
    )


def roles_of(shape: Shape, trial: int) -> tuple[RoleInterval, ...]:
    promoted = EFFECT_S + outage_of(shape, "app", trial) - 1.9
    told: list[tuple[str, str, float, float]] = [
        ("db1", "yes", -BASELINE_S, EFFECT_S),
        ("db1", "unknown", EFFECT_S + 0.1, HEAL_S + 4),
        ("db1", "no", HEAL_S + 4.1, OBSERVED_S),
        ("db3", "no", -BASELINE_S, OBSERVED_S),
    ]
    if shape.recovers:
        told += [("db2", "no", -BASELINE_S, promoted - 0.4), ("db2", "yes", promoted, OBSERVED_S)]
    else:
        told += [("db2", "no", -BASELINE_S, OBSERVED_S)]
    return tuple(
        RoleInterval.model_validate({"role": "primary", "node": n, "state": s, "from_s": a, "until_s": b}) for n, s, a, b in told
    )


def phases_of(shape: Shape, trial: int) -> tuple[Phase, ...]:
    if not shape.recovers:
        return (Phase(name="first failed send", at=Figure(point=0.04, low=0.0, high=0.05), source="orders"),)
    end = outage_of(shape, "orders", trial)
    told = [
        ("first failed send", 0.04, 0.02, "client orders: last failed send to first lasting ok send"),
        ("detected", end - 4.1, 1.0, "watcher: db1 last said that it holds the role primary, to its next sample"),
        ("elected", end - 2.6, 0.4, "log of db2"),
        ("new leader", end - 0.6, 0.1, "watcher: db2 first said that it holds the role, after its sample before"),
        ("rerouted", end, 0.05, "client orders: last failed send to first lasting ok send"),
        ("pooled clients back", end + 1.4, 0.05, "client app: last failed send to first lasting ok send"),
    ]
    phases = [Phase(name=n, at=Figure(point=p, low=p - w, high=p + w, rule=f"first {n}"), source=s) for n, p, w, s in told]
    return (*phases, Phase(name="capacity restored", at=Figure(reasons=("replicas were not watched",)), source=""))


def trial_of(shape: Shape, trial: int) -> TrialResult:
    zero = (zero_of(trial) - EPOCH_NS) / SECOND
    fault = FaultFigures(
        name="node.power_off",
        action="lose-power",
        target=("db1",),
        injected_at=wall(zero + FAULT_S),
        effective_at=wall(zero + EFFECT_S),
        healed_at=wall(zero + HEAL_S),
        injected_s=FAULT_S,
        effective_s=EFFECT_S if shape.verified else None,
        healed_s=HEAL_S,
        verified=shape.verified,
        gone=True,
        evidence=(
            {
                "means": "db1 is off",
                "expected": ["off"],
                "seen": "off" if shape.verified else "up",
                "at_ns": 1,
                "holds": shape.verified,
            },
            {
                "means": "db1 does not answer app",
                "expected": ["silent", "unreachable"],
                "seen": "silent",
                "at_ns": 2,
                "holds": True,
            },
        ),
    )
    limit = outage_of(shape, "orders", trial)
    met = None if not shape.verified else limit <= 30
    seconds = Figure(
        point=0.0, low=0.0, high=0.0, text="none seen (sampled each 100 ms)", rule="overlap beyond clock uncertainty"
    )
    actual = rto_of(shape, "orders", trial).text or ("unknown" if not shape.verified else "more than 64.96 s")
    objectives = (
        ObjectiveOutcome(
            name="rto",
            target="<= 30s",
            actual=actual,
            met=met,
            subject="orders",
            reasons=() if met else ("the effect was not verified",) if met is None else ("its upper bound is beyond the limit",),
        ),
        ObjectiveOutcome(name="rpo.writes", target="0", actual=str(shape.lost), met=shape.lost == 0),
        ObjectiveOutcome(name="split_brain", target="none", actual="none seen (sampled each 100 ms)", met=True),
    )
    verdict: Any = "unknown" if not shape.verified else "failed" if not all(o.met for o in objectives) else "passed"
    return TrialResult(
        index=trial,
        started=wall(zero - BASELINE_S - 12),
        ended=wall(zero + OBSERVED_S),
        baseline_s=BASELINE_S,
        observed_s=OBSERVED_S,
        faults=(fault,),
        clients={c: client_figures(shape, c, trial) for c in shape.clients},
        rpo=ledger_of(shape),
        stale_reads=stale_figures(shape.lost),
        flapping=FlappingFigures(
            flaps=Figure(point=0, low=0, high=0, unit="", rule="DOWN intervals - 1"),
            leader_changes=Figure(point=1, low=1, high=1, unit=""),
            excess_leader_changes=Figure(point=0, low=0, high=0, unit=""),
            unstable_time=rto_of(shape, "orders", trial),
            dual_owner_time=seconds,
            no_owner_time=Figure(point=18.8, low=18.4, high=18.9, rule="no node says yes"),
        ),
        phases=phases_of(shape, trial),
        roles=roles_of(shape, trial),
        gates=(
            Gate(name="clean baseline", met=True, seen="100 % of 600 over 30 s", wanted=">= 99.9 % over >= 30 s"),
            Gate(name="lateness", met=True, seen="p99 0.6 ms", wanted="p99 <= 100 ms"),
            Gate(
                name="effect verified",
                met=shape.verified,
                seen="2 of 2 checks" if shape.verified else "1 of 2 checks",
                wanted="all checks",
            ),
        ),
        verdict=verdict,
        objectives=objectives,
        reasons=() if shape.verified else ("the effect of node.power_off on db1 was not verified",),
    )


def result_of(shape: Shape) -> Result:
    trials = tuple(trial_of(shape, t) for t in range(1, shape.trials + 1))
    verdicts = {t.verdict for t in trials}
    verdict: Any = "unknown" if "unknown" in verdicts or not trials else "failed" if "failed" in verdicts else "passed"
    points = sorted(outage_of(shape, "orders", t) for t in range(1, shape.trials + 1)) if shape.recovers else []
    summary = {}
    if shape.trials > 1 and points:
        summary["rto:orders"] = Summary(
            n=shape.trials,
            median=points[len(points) // 2],
            max=points[-1],
            confidence="3 trials: no 95 % interval of the median (it takes 6)",
        )
    return Result(
        run_id="20261122-093000-k3x9",
        experiment=ExperimentRef(
            title="The primary loses power",
            path="experiments/patroni/primary-power-off.yaml",
            sha256="5f2c" * 16,
            description="Cut the power of whoever is primary under a steady write load and see how long writers wait.",
            tags=("patroni", "power"),
        ),
        lab=LabRef(
            name="patroni",
            backend="namespace",
            mode="root",
            settings={"ttl": "20s", "loop_wait": "2s", "synchronous_mode": not shape.lost},
        ),
        verdict=verdict,
        reasons=tuple(dict.fromkeys(r for t in trials for r in t.reasons)),
        started=wall(-12),
        ended=wall(200 * shape.trials),
        seed=41,
        environment={"kernel": "6.18.0", "python": "3.11.7", "chaoskit": "0.1.0", "cpu": {"count": 2, "model": "virtual"}},
        trials=trials,
        summary=summary,
        predicted_rto_s=(18.0, 24.0),
        game_day=shape.game_day,
        undo=UndoSummary(owed=shape.trials, paid=shape.trials - len(shape.dirty), dirty=shape.dirty),
        incomplete=shape.incomplete,
    )


def plan_of(shape: Shape) -> dict[str, Any]:
    """As much of plan.json as the report reads."""
    clients = {
        name: {"type": "postgres", "class": kind, "operation": operation, "rate": f"{rate:g}/s", "deadline": "500ms", "slo": None}
        for name, (operation, kind, rate) in shape.clients.items()
    }
    method = [{"inject": "node.power_off", "target": {"role": "primary"}, "at": "10s", "for": "30s"}]
    return {
        "experiment": {"clients": clients, "objectives": {"rto": "<= 30s"}, "method": method},
        "lab": {"leader": "primary"},
        "lab_plan": json.loads(lab_plan().model_dump_json(by_alias=True)),
    }


LOG = """\
2026-11-22 09:29:50.101 UTC [41] LOG:  checkpoint starting: time
2026-11-22 09:30:38.204 UTC [41] LOG:  standby "db3" is now a synchronous standby
2026-11-22 09:30:40.911 UTC [77] LOG:  could not receive data from client: Connection reset by peer
2026-11-22 09:30:58.377 UTC [41] LOG:  received promote request
2026-11-22 09:30:58.391 UTC [41] LOG:  selected new timeline ID: 2
2026-11-22 09:30:58.402 UTC [41] LOG:  database system is ready to accept connections
"""


def write_run(directory: Path, shape: Shape | None = None, result: Result | None = None) -> Path:
    """A whole run directory; the path of it."""
    shape = shape or Shape()
    directory.mkdir(parents=True, exist_ok=True)
    chosen = result or result_of(shape)
    (directory / "result.json").write_text(chosen.model_dump_json(by_alias=True, indent=1))
    (directory / "plan.json").write_text(json.dumps(plan_of(shape)))
    events = [e for t in range(1, shape.trials + 1) for e in events_of(shape, t)]
    (directory / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    write_samples(directory / "samples.sqlite", shape)
    for node in ("db1", "db2"):
        log = directory / "logs" / "1" / node / "patroni.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(LOG)
    return directory
