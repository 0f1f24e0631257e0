"""What steps on nodes, processes and services do to a simulated cluster, and what questions about them show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import (
    ExecQuery,
    NodeStateQuery,
    PidFileQuery,
    ProcessesQuery,
    ProcessStateQuery,
    Reading,
    ServiceEnabledQuery,
    ServiceQuery,
)
from chaoskit.model.steps import (
    Exec,
    Freeze,
    PowerOff,
    PowerOn,
    SetService,
    Signal,
    StartService,
    StopService,
    Thaw,
)
from tests.simulated.cluster import SERVICE_PID, SimulatedCluster


def execute(c: SimulatedCluster, step: Exec) -> None:
    (c.touched.add if step.argv[0] == "touch" else c.touched.discard)(f"{step.node}:{step.argv[-1]}")


def signal(c: SimulatedCluster, step: Signal) -> None:
    for process in step.processes:
        if c.pid(step.node) != process.pid or process.pid * 10 != process.start_ticks:
            continue
        if step.signal == "STOP":
            c.stopped.add((step.node, process.pid))
        elif step.signal == "CONT":
            c.stopped.discard((step.node, process.pid))
        else:
            c.pids[step.node] = 0


def power_off(c: SimulatedCluster, step: PowerOff) -> None:
    c.off.add(step.node)
    c.frozen.discard(step.node)


def power_on(c: SimulatedCluster, step: PowerOn) -> None:
    if step.node in c.off:
        c.off.discard(step.node)
        c.pids.pop(step.node, None)
        if any(key[:2] == ("disabled", step.node) for key in c.marks):
            c.pids[step.node] = 0
        c.boots[step.node] = c.boots.get(step.node, 0) + 1


def freeze(c: SimulatedCluster, step: Freeze) -> None:
    c.frozen.add(step.node)


def thaw(c: SimulatedCluster, step: Thaw) -> None:
    c.frozen.discard(step.node)


def start_service(c: SimulatedCluster, step: StartService) -> None:
    if step.node in c.off:
        raise StepFailed(f"{step.node} is off")
    if c.pid(step.node) == 0:
        c.pids[step.node] = SERVICE_PID + 1


def set_service(c: SimulatedCluster, step: SetService) -> None:
    if step.enabled:
        c.marks.pop(("disabled", step.node, step.service), None)
    else:
        c.marks["disabled", step.node, step.service] = True


def service_enabled(c: SimulatedCluster, query: ServiceEnabledQuery) -> Reading:
    return Reading(value="disabled" if ("disabled", query.node, query.service) in c.marks else "enabled")


def stop_service(c: SimulatedCluster, step: StopService) -> None:
    c.pids[step.node] = 0


def node_state(c: SimulatedCluster, query: NodeStateQuery) -> Reading:
    return Reading(value="off" if query.node in c.off else "frozen" if query.node in c.frozen else "up")


def processes(c: SimulatedCluster, query: ProcessesQuery) -> Reading:
    return Reading(processes=c.processes(query.node))


def process_state(c: SimulatedCluster, query: ProcessStateQuery) -> Reading:
    found = [p for p in c.processes(query.node) if p.ref == query.process]
    return Reading(value="gone" if not found else "stopped" if found[0].state == "T" else "running")


def service(c: SimulatedCluster, query: ServiceQuery) -> Reading:
    return Reading(value="running" if c.pid(query.node) and query.node not in c.off else "exited")


def pid_file(c: SimulatedCluster, query: PidFileQuery) -> Reading:
    return Reading(number=float(c.pid(query.node)))


def command(c: SimulatedCluster, query: ExecQuery) -> Reading:
    return Reading(number=float(f"{query.node}:{query.argv[-1]}" not in c.touched))


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {
    "exec": execute,
    "signal": signal,
    "power_off": power_off,
    "power_on": power_on,
    "freeze": freeze,
    "thaw": thaw,
    "start_service": start_service,
    "stop_service": stop_service,
    "set_service": set_service,
}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {
    "node_state": node_state,
    "processes": processes,
    "process_state": process_state,
    "service": service,
    "service_enabled": service_enabled,
    "pid_file": pid_file,
    "exec": command,
}
