"""Nodes and processes of a real lab that run out of something: real programs feel it, and no longer after the heal."""

from __future__ import annotations

import random
import re
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.linux_host import state
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.model.capability import QUOTAS, Survey
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ActivityQuery, KillsQuery, LimitQuery, LoadQuery, ProcessesQuery, QuotaQuery, ServiceQuery
from chaoskit.model.steps import STEP, Cease, Exec, PowerOff, PowerOn, ProcessCriteria, SetQuota, StartLoad, Step
from chaoskit.model.steps.resources import KeepKilling
from chaoskit.ports.fault import Facts, Fault

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]
ECHO = """
import socket, sys, time
listener = socket.create_server(("0.0.0.0", 7000), backlog=64)
kept = []
while True:
    try:
        connection, _ = listener.accept()
        connection.sendall(b"welcome")
        kept.append(connection)
    except OSError as error:
        print("accept:", error, flush=True)
        time.sleep(0.05)
    if len(kept) > 200:
        kept.clear()
"""
CLIENT = """
import socket
got = []
for _ in range({count}):
    connection = socket.create_connection(("n0", 7000), timeout=1.0)
    connection.settimeout(0.5)
    try:
        got.append(connection.recv(16).decode() or "closed")
    except TimeoutError:
        got.append("nothing")
print(" ".join(got))
"""
FORKS = """
import os, time
while True:
    try:
        pid = os.fork()
    except OSError as error:
        said = error.strerror
    else:
        if pid == 0:
            time.sleep(0.012)
            os._exit(0)
        os.waitpid(pid, 0)
        said = "forked"
    with open("/tmp/said.new", "w") as out:
        out.write(said)
    os.rename("/tmp/said.new", "/tmp/said")
    time.sleep(0.008)
"""
GROWS = """
import mmap, os, time
taken = []
while True:
    if os.path.exists("/tmp/grow"):
        taken.append(mmap.mmap(-1, 1 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))
        taken[-1][:] = b"x" * (1 << 20)
        with open("/tmp/has", "w") as out:
            out.write(str(len(taken)))
    time.sleep(0.01)
"""
PONG = """
import socket, time
listener = socket.create_server(("0.0.0.0", 7001))
while True:
    connection, _ = listener.accept()
    while connection.recv(1):
        used = time.process_time()
        sum(range(1_000_000))
        connection.sendall(f"{time.process_time() - used:.6f}\\n".encode())
"""
PING = """
import socket, statistics, time
connection = socket.create_connection(("{node}", 7001), timeout=10)
answers = connection.makefile()
took, used = [], []
for _ in range(7):
    began = time.monotonic()
    connection.sendall(b"?")
    used.append(float(answers.readline()))
    took.append(time.monotonic() - began)
print(statistics.median(took), statistics.median(used))
"""


def python(name: str, program: str, **changes: Any) -> Any:
    return plans.service(name, sys.executable, "-c", program, **changes)


def run(lab: NamespaceLab, *argv: str, node: str = "n0") -> str:
    return lab.perform(Exec(node=node, argv=argv, timeout_s=20.0)).output.strip()


def scene(lab: NamespaceLab) -> LiveScene:
    return LiveScene(lab, lambda _: (), random.Random(1))


def fault_of(name: str, **fields: Any) -> Fault:
    (point,) = entry_points(group="chaoskit.faults", name=name)
    made: Fault = point.load().model_validate(fields)
    return made


def performed(lab: NamespaceLab, steps: tuple[Step, ...]) -> list[str]:
    return [lab.perform(STEP.validate_json(STEP.dump_json(step))).output for step in steps]


class InForce:
    """A fault on n0, from its proof to the proof that it is gone."""

    def __init__(self, lab: NamespaceLab, fault: Fault) -> None:
        self.lab, self.fault = lab, fault
        self.facts: Facts = fault.prepare(scene(lab), ("n0",), "tag")
        self.felt: list[float] = []

    def __enter__(self) -> InForce:
        performed(self.lab, self.fault.inject(self.facts))
        seen, evidence = seen_within(self.lab, self.fault.effect(self.facts), lambda c: c.in_force, 5.0, SystemClock())
        print(evidence)
        assert seen, evidence
        self.felt = [e["number"] for e in evidence if "number" in e]
        return self

    def __exit__(self, *_: object) -> None:
        performed(self.lab, self.fault.heal(self.facts))
        gone, evidence = seen_within(self.lab, self.fault.effect(self.facts), lambda c: c.healed, 5.0, SystemClock())
        assert gone, evidence


def eventually(question: Callable[[], Any], within_s: float = 10.0) -> Any:
    deadline = time.monotonic() + within_s
    while not (answer := question()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def needs(survey: Survey, resource: str) -> None:
    if not survey.has(QUOTAS[resource]):
        pytest.skip(survey.reason(QUOTAS[resource]))


@pytest.mark.parametrize("user", ["root", "nobody"])
def test_a_server_without_descriptors_leaves_its_clients_waiting(up: Up, user: str) -> None:
    server = python("echo", ECHO, user=user)
    lab = up(plans.plan(plans.node("n0", 0, services=(server,)), plans.node("n1", 1)))
    ask = (sys.executable, "-c", CLIENT.format(count=4))
    assert eventually(lambda: "7000" in run(lab, "sh", "-c", "ss -ltn 2>/dev/null || cat /proc/net/tcp | sed s/1B58/7000/"))
    assert run(lab, *ask, node="n1") == "welcome welcome welcome welcome"
    (process,) = (p for p in lab.read(ProcessesQuery(node="n0")).processes if p.service == "echo")
    asked = LimitQuery(node="n0", process=process.ref, resource="descriptors")
    before = lab.read(asked).value
    with InForce(lab, fault_of("resource.descriptors", process={"service": "echo"}, spare=2)):
        assert run(lab, *ask, node="n1") == "welcome welcome nothing nothing"
        assert "Too many open files" in (lab_log(lab, "n0", "echo"))
    assert lab.read(asked).value == before
    assert run(lab, *ask, node="n1") == "welcome welcome welcome welcome"


def lab_log(lab: NamespaceLab, node: str, service: str) -> str:
    record = state.LabFiles(lab.lab_id).read()
    return Path(record["logs"], node, f"{service}.log").read_text()


def test_what_exceeds_a_memory_limit_is_killed_and_comes_back_with_the_heal(up: Up, survey: Survey) -> None:
    needs(survey, "memory")
    lab = up(plans.plan(plans.node("n0", 0, services=(python("grower", GROWS), plans.sleeper())), plans.node("n1", 1)))
    eventually(lambda: lab.read(ServiceQuery(node="n0", service="grower")).value == "running")
    fault = fault_of("resource.memory", spare="48MiB")
    with InForce(lab, fault) as limited:
        assert 24 << 20 < limited.felt[-1] < 56 << 20, "the process that proves it got about as much as was left"
        run(lab, "touch", "/tmp/grow")
        assert eventually(lambda: lab.read(ServiceQuery(node="n0", service="grower")).value == "exited")
        assert 24 <= int(run(lab, "cat", "/tmp/has")) <= 56
        events = [e for e in lab.events() if e.kind == "service.exited"]
        assert [(e.data["service"], e.data["code"]) for e in events] == [("grower", -9)]
        assert lab.read(ServiceQuery(node="n0", service="sleeper")).value == "running"
        run(lab, "rm", "/tmp/grow")
        run(lab, "true", node="n1")
    assert lab.read(ServiceQuery(node="n0", service="grower")).value == "running"
    run(lab, "touch", "/tmp/grow")
    assert eventually(lambda: int(run(lab, "cat", "/tmp/has") or 0) > 64), "without the limit it grows beyond it"


def test_a_node_without_process_numbers_cannot_fork(up: Up, survey: Survey) -> None:
    needs(survey, "pids")
    lab = up(plans.plan(plans.node("n0", 0, services=(python("forker", FORKS),))))
    said = lambda: run(lab, "cat", "/tmp/said")  # noqa: E731
    assert eventually(lambda: run(lab, "sh", "-c", "cat /tmp/said 2>/dev/null || true") == "forked")
    with InForce(lab, fault_of("resource.processes")):
        assert eventually(lambda: said() == "Resource temporarily unavailable")
        time.sleep(0.3)
        assert said() == "Resource temporarily unavailable"
    assert eventually(lambda: said() == "forked", 2.0)


def pinged(lab: NamespaceLab, node: str) -> tuple[float, float]:
    """Medians of seven round trips from n1: how long they took, and the CPU time that each cost the service. Seconds."""
    took, used = run(lab, sys.executable, "-c", PING.format(node=node), node="n1").split()
    return float(took), float(used)


def test_a_node_with_little_cpu_time_answers_late_and_its_neighbour_does_not(up: Up, survey: Survey) -> None:
    needs(survey, "cpu")
    pong = python("pong", PONG)
    lab = up(plans.plan(plans.node("n0", 0, services=(pong,)), plans.node("n1", 1, services=(pong,))))
    assert eventually(lambda: "1B59" in run(lab, "cat", "/proc/net/tcp") + run(lab, "cat", "/proc/net/tcp", node="n1"))
    before, used = pinged(lab, "n0")
    limit = 0.05
    least = 0.5 * used / limit
    assert before < least, "the machine is so busy that the limit would not show"
    with InForce(lab, fault_of("resource.cpu", limit=limit)) as limited:
        assert limited.felt[-1] < 4 * limit
        slow, _ = pinged(lab, "n0")
        neighbour, _ = pinged(lab, "n1")
        assert slow > least
        assert neighbour < slow / 2
    after, _ = pinged(lab, "n0")
    assert after < slow / 2
    print(f"{used:.4f} s of CPU each: {before:.3f} s, limited {slow:.3f} s, beside {neighbour:.3f} s, after {after:.3f} s")


def loads_on(lab: NamespaceLab, node: str = "n0") -> int:
    return sum(p.name == "chaoskit-load" for p in lab.read(ProcessesQuery(node=node)).processes)


def test_loads_are_processes_of_the_node_and_end_with_it(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume()), plans.node("n1", 1)))
    cpu = StartLoad(tag="cpu", node="n0", load="cpu", workers=2, share=0.2)
    done = lab.perform(cpu)
    assert (done.ended_ns - done.began_ns) / 1e9 < 1.5, "nobody waits for a pipe that the workers hold"
    assert eventually(lambda: loads_on(lab) == 3)
    lab.perform(StartLoad(tag="disk", node="n0", load="disk", volume="data", amount_bytes=4 << 20))
    assert (loads_on(lab), loads_on(lab, "n1")) == (4, 0), "two workers and who waits for them, and a writer"
    assert eventually(lambda: lab.read(LoadQuery(node="n0", tag="cpu")).value == "busy")
    used = [lab.read(LoadQuery(node="n0", tag="cpu", window_s=1.0)).number or 0 for _ in range(3)]
    assert min(used) < 0.6, f"two workers at a fifth of the time each: {used}"
    with pytest.raises(StepFailed, match="the same goes on already"):
        lab.perform(cpu)
    lab.perform(PowerOff(node="n0"))
    assert lab.read(LoadQuery(node="n0", tag="cpu")).value == "ended"
    lab.perform(PowerOn(node="n0"))
    assert loads_on(lab) == 0
    assert lab.read(ActivityQuery(tag="cpu")).value == "ended"
    lab.perform(Cease(tag="cpu"))


def test_a_load_that_would_hurt_the_machine_is_refused(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume())))
    with pytest.raises(StepFailed, match="too much"):
        lab.perform(StartLoad(tag="t", node="n0", load="memory", leave_bytes=1 << 20))
    with pytest.raises(StepFailed, match="more than half of the"):
        lab.perform(StartLoad(tag="t", node="n0", load="disk", volume="data", amount_bytes=1 << 40))
    with pytest.raises(StepFailed, match="has no volume 'other'; it has data"):
        lab.perform(StartLoad(tag="t", node="n0", load="disk", volume="other", amount_bytes=1 << 20))
    assert (loads_on(lab), lab.read(LoadQuery(node="n0", tag="t")).value) == (0, "none")


def test_a_load_that_is_killed_is_no_longer_in_force(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0)))
    lab.perform(StartLoad(tag="t", node="n0", load="memory", amount_bytes=8 << 20))
    assert eventually(lambda: lab.read(LoadQuery(node="n0", tag="t")).value == "busy")
    assert 8 << 20 <= (lab.read(LoadQuery(node="n0", tag="t")).number or 0) < 24 << 20
    run(lab, "sh", "-c", "kill -9 $(grep -lsx chaoskit-load /proc/[0-9]*/comm | cut -d/ -f3)")
    assert eventually(lambda: lab.read(LoadQuery(node="n0", tag="t")).value == "ended")
    assert eventually(lambda: any("ended by itself: killed" in str(e.data) for e in lab.events()))


@pytest.mark.parametrize("restart", ["always", "on-boot"])
def test_a_service_is_killed_whenever_it_returns_until_the_heal(up: Up, restart: str) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(restart=restart),))))
    fault = fault_of("process.crash_loop", process={"name": "sleep"}, signal="term")
    asked = KillsQuery(node="n0", tag="tag")
    with InForce(lab, fault):
        assert lab.read(asked).number == 1
        if restart == "always":
            assert eventually(lambda: lab.read(asked).value == "killed again", 3.0)
        else:
            time.sleep(1.0)
            assert lab.read(asked).value == "killed"
    kills = lab.read(asked).number
    for _ in range(20):
        assert lab.read(ServiceQuery(node="n0", service="sleeper")).value == "running"
        time.sleep(0.05)
    assert lab.read(asked).number == kills


def test_what_is_back_lives_for_the_delay_and_a_node_that_is_off_is_waited_for(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(restart="always"),))))
    match = ProcessCriteria(service="sleeper")
    lab.perform(KeepKilling(tag="t", node="n0", match=match, signal="KILL", delay_s=1.0))
    assert eventually(lambda: lab.read(KillsQuery(node="n0", tag="t")).number == 1, 0.6), "what is there is killed at once"
    assert eventually(lambda: lab.read(ServiceQuery(node="n0", service="sleeper")).value == "running", 1.0)
    assert lab.read(KillsQuery(node="n0", tag="t")).number == 1
    lab.perform(PowerOff(node="n0"))
    time.sleep(0.3)
    lab.perform(PowerOn(node="n0"))
    assert eventually(lambda: (lab.read(KillsQuery(node="n0", tag="t")).number or 0) >= 2, 5.0)
    lab.perform(Cease(tag="t"))


def test_a_quota_survives_a_power_cycle_and_new_processes_are_under_it(up: Up, survey: Survey) -> None:
    needs(survey, "cpu")
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.sleeper(),))))
    lab.perform(SetQuota(node="n0", resource="cpu", value=0.5))
    lab.perform(PowerOff(node="n0"))
    assert lab.read(QuotaQuery(node="n0", resource="cpu")).value == "off"
    lab.perform(PowerOn(node="n0"))
    assert lab.read(QuotaQuery(node="n0", resource="cpu")).value == "0.5"
    assert eventually(lambda: any(p.name == "sleep" for p in lab.read(ProcessesQuery(node="n0")).processes))
    for process in lab.read(ProcessesQuery(node="n0")).processes:
        lines = [line.split(":", 2) for line in run(lab, "cat", f"/proc/{process.pid}/cgroup").splitlines()]
        places = {controller: path for _, names, path in lines for controller in names.split(",")}
        place = places.get("cpu") or places[""]
        assert re.search(r"/chaoskit-[^/]+/n0", place), (process.name, places)
    for _ in range(2):
        lab.perform(SetQuota(node="n0", resource="cpu"))
        assert lab.read(QuotaQuery(node="n0", resource="cpu")).value == "unlimited"


def test_what_cannot_be_limited_is_refused(up: Up, survey: Survey) -> None:
    needs(survey, "memory")
    lab = up(plans.plan(plans.node("n0", 0)))
    with pytest.raises(StepFailed, match="more than half of"):
        lab.perform(SetQuota(node="n0", resource="memory", value=1 << 50))
    with pytest.raises(StepFailed, match="limits nothing here"):
        lab.perform(SetQuota(node="n0", resource="cpu", value=10_000))
    with pytest.raises(StepFailed, match="too small"):
        lab.perform(SetQuota(node="n0", resource="memory", value=1))
    for resource in ("cpu", "memory"):
        assert lab.read(QuotaQuery(node="n0", resource=resource)).value == "unlimited"


def test_a_service_that_was_killed_at_the_last_instant_runs_after_the_heal(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, services=(plans.web(),))))
    for number in range(8):
        fault = fault_of("process.crash_loop", process={"service": "web"}, every="20ms")
        facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(number)), ("n0",), f"t{number}")
        performed(lab, fault.inject(facts))
        time.sleep(0.003 * number)
        performed(lab, fault.heal(facts))
        time.sleep(0.2)
        assert lab.read(ServiceQuery(node="n0", service="web")).value == "running"
