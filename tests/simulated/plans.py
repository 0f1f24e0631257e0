"""Plans for simulated labs, without a file in between."""

from __future__ import annotations

from typing import Any

from chaoskit.engine.expanding import expanded, is_by_clock
from chaoskit.engine.registry import Registry
from chaoskit.model.check import HttpCheck
from chaoskit.model.drain import DrainPlan
from chaoskit.model.experiment import Experiment
from chaoskit.model.lab import InterfacePlan, LabPlan, LabSpec, NodePlan, ReadySpec
from chaoskit.model.plan import Plan, PlannedAction, TrialPlan
from chaoskit.model.source import SourceFile
from tests.simulated.clock import FakeClock
from tests.simulated.lab import SimulatedBackend

NODES = ("db1", "db2", "db3", "app")

LAB = {
    "name": "simulated",
    "nodes": {"db": {"count": 3}, "app": {}},
    "clients": "app",
    "leader": "primary",
    "roles": {"primary": {"http": "http://x/primary"}, "replica": {"http": "http://x/replica"}},
    "endpoints": {"write": {"kind": "postgres", "hosts": "db", "port": 5432}},
    "ready": {"roles": {"primary": 1, "replica": 2}, "within": "60s"},
}
ORDERS = {"type": "postgres", "class": "fresh", "operation": "append", "rate": "20/s", "deadline": "500ms", "endpoint": "write"}


def lab_plan() -> LabPlan:
    """db1..db3 and app on one network."""
    check = HttpCheck(http="http://x/primary")
    return LabPlan(
        name="simulated",
        nodes=tuple(
            NodePlan(
                name=name,
                group="app" if name == "app" else "db",
                interfaces=(
                    InterfacePlan(
                        device="eth0", network="lan", address=f"198.18.0.{11 + i}", prefix=24, mac=f"02:c5:00:00:00:{i:02x}"
                    ),
                ),
                volumes={},
                services=(),
                drain=DrainPlan(
                    on=(name,),
                    do=("touch", "/tmp/drained"),
                    undo=("rm", "-f", "/tmp/drained"),
                    shown=("test", "-e", "/tmp/drained"),
                ),
            )
            for i, name in enumerate(NODES)
        ),
        networks={"lan": "198.18.0.0/24"},
        roles={role: {node: check for node in NODES[:3]} for role in ("primary", "replica")},
        ready=ReadySpec.model_validate(LAB["ready"]),
        image=LabSpec.model_validate(LAB).image,
        clients=("app",),
    )


def routed_plan() -> LabPlan:
    """db1 is a router between the others and app."""
    plan = lab_plan()
    behind = InterfacePlan(device="eth0", network="far", address="198.18.1.14", prefix=24, mac="02:c5:00:00:01:03")
    beyond = InterfacePlan(device="eth1", network="far", address="198.18.1.11", prefix=24, mac="02:c5:00:00:01:00")
    changes = {"app": (behind,), "db1": (*plan.node("db1").interfaces, beyond)}
    nodes = tuple(n.model_copy(update={"interfaces": changes.get(n.name, n.interfaces)}) for n in plan.nodes)
    return plan.model_copy(update={"nodes": nodes, "networks": {**plan.networks, "far": "198.18.1.0/24"}})


def experiment(**changes: Any) -> dict[str, Any]:
    """The primary loses power at 2 s for 20 s; one client; every kind of objective."""
    base: dict[str, Any] = {
        "title": "The primary loses power",
        "lab": "labs/simulated",
        "clients": {"orders": ORDERS},
        "steady-state-hypothesis": {"clients": {"orders": {"success": ">= 99.9%", "for": "2s"}}, "roles": {"primary": 1}},
        "baseline": "30s",
        "method": [{"inject": "node.power_off", "target": {"role": "primary"}, "at": "2s", "for": "20s"}],
        "recovery": "30s",
        "objectives": {"rto": "<= 10s", "rpo": {"writes": 0}, "flaps": 0, "split_brain": "none"},
    }
    return base | changes


def plan(clock: FakeClock, repeat: int = 1, **changes: Any) -> Plan:
    """A plan as the planner would make it."""
    spec = Experiment.model_validate(experiment(**changes) | {"repeat": repeat})
    lab = LabSpec.model_validate(LAB)
    registry = Registry()
    injectables = expanded(
        tuple(a.name or a.inject.replace(".", "-").replace("_", "-") for a in spec.method),
        spec.method,
        tuple(registry.load("faults", a.inject).model_validate(a.parameters) for a in spec.method),
        lab,
    )
    return Plan(
        experiment=spec,
        experiment_source=SourceFile(path="experiments/simulated.yaml", sha256="0" * 64),
        lab=lab,
        lab_source=SourceFile(path="labs/simulated/lab.yaml", sha256="0" * 64),
        lab_plan=lab_plan(),
        survey=SimulatedBackend(clock).survey(lab),
        seed=7,
        trials=tuple(
            TrialPlan(
                index=index,
                seed=7 + index,
                actions=tuple(
                    PlannedAction(
                        name=one.name,
                        fault=one.action.inject,
                        action=one.action,
                        entry=one.entry,
                        at_s=float(one.action.at or 0) + float(one.action.delay) if is_by_clock(one.action) else None,
                        candidates=NODES,
                    )
                    for one in injectables
                ),
            )
            for index in range(repeat)
        ),
        predicted_rto_s=(2.0, 5.0),
    )
