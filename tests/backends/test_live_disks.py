"""Programmable disks under a real node: what a program on it loses, waits for, and is told; and that nothing stays of them."""

from __future__ import annotations

import os
import random
import signal
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
from chaoskit.model.capability import VOLUME_PROGRAM, Survey
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import DiskFlushQuery, VolumeQuery, VolumeSpeedQuery
from chaoskit.model.steps import Exec, FailVolume, PowerOff, PowerOn, RestoreVolume, Step
from chaoskit.ports.fault import Fault

from . import plans

pytestmark = [pytest.mark.lab, pytest.mark.root]

Up = Callable[..., NamespaceLab]
WRITER = """
import os, sys
journal = os.open("/data/journal", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
number = 0
while True:
    number += 1
    os.write(journal, b"%d\\n" % number)
    os.fsync(journal)
    # /tmp is gone with the node's power, so it is told to somebody who keeps it
    os.write(1, b"%d\\n" % number)
"""


@pytest.fixture(autouse=True)
def _needs(survey: Survey) -> None:
    if not survey.has(VOLUME_PROGRAM):
        pytest.skip(survey.reason(VOLUME_PROGRAM))


@pytest.fixture
def lab(up: Up) -> NamespaceLab:
    writer = plans.service("writer", "python3", "-c", WRITER, restart="never")
    return up(plans.plan(plans.node("n0", 0, volumes=plans.volume(kind="programmable"), services=(writer,))))


def run(lab: NamespaceLab, script: str, timeout_s: float = 10.0) -> str:
    return lab.perform(Exec(node="n0", argv=("sh", "-c", script), timeout_s=timeout_s)).output.strip()


def works(lab: NamespaceLab) -> str | None:
    return lab.read(VolumeQuery(node="n0", volume="data", timeout_s=1.0)).value


def fail(how: Any, **more: Any) -> FailVolume:
    return FailVolume(node="n0", volume="data", how=how, **more)


RESTORE = RestoreVolume(node="n0", volume="data")


def acknowledged(tmp_path: Path, more_than: int = 0, within_s: float = 20.0) -> int:
    """The last number whose write and flush the service was told are done: its log, which outlives the node."""
    deadline = time.monotonic() + within_s
    while True:
        lines = (tmp_path / "logs" / "n0" / "writer.log").read_text().split("\n")[:-1]
        last = max((int(line) for line in lines if line.isdigit()), default=0)
        if last > more_than:
            return last
        assert time.monotonic() < deadline, f"the writer does not get on: {lines[-3:]}"
        time.sleep(0.05)


def kept(lab: NamespaceLab) -> int:
    numbers = run(lab, "cat /data/journal 2>/dev/null || true").split()
    assert numbers == [str(n) for n in range(1, len(numbers) + 1)], "what is there is a beginning, without a hole"
    return len(numbers)


def after(lab: NamespaceLab, tmp_path: Path, breaking: tuple[Step, ...], healing: tuple[Step, ...]) -> tuple[int, int]:
    """(acknowledged, kept) of a writer that is broken while it writes."""
    acknowledged(tmp_path, more_than=acknowledged(tmp_path) + 50)
    for step in breaking:
        lab.perform(step)
    for step in healing:
        lab.perform(step)
    return acknowledged(tmp_path), kept(lab)


OFF, ON = PowerOff(node="n0"), PowerOn(node="n0")


@pytest.mark.parametrize(
    ("breaking", "healing"),
    [((OFF,), (ON,)), ((fail("power_loss"),), (RESTORE,)), ((fail("lost"),), (RESTORE,))],
    ids=["node.power_off", "storage.power_loss", "storage.lost"],
)
def test_an_honest_disk_loses_nothing_that_was_flushed(lab: NamespaceLab, tmp_path: Path, breaking: Any, healing: Any) -> None:
    told, there = after(lab, tmp_path, breaking, healing)
    print(f"acknowledged {told}, kept {there}")
    assert told <= there <= told + 1


def test_a_lying_disk_loses_all_that_was_flushed_since_it_lies(lab: NamespaceLab, tmp_path: Path) -> None:
    before = acknowledged(tmp_path)
    lab.perform(fail("lying"))
    assert lab.read(DiskFlushQuery(node="n0", volume="data")).value == "lying"
    told, there = after(lab, tmp_path, (OFF,), (ON,))
    print(f"acknowledged {told}, kept {there}")
    assert before <= there < told - 20
    texts = [event.data.get("text", "") for event in lab.events()]
    assert any("acknowledged as flushed" in text and ", 0 of them" not in text for text in texts), texts
    assert lab.read(DiskFlushQuery(node="n0", volume="data")).value == "lying", "it is the disk that lies, whoever boots on it"
    lab.perform(RESTORE)
    assert lab.read(DiskFlushQuery(node="n0", volume="data")).value == "honest"


def test_a_liar_that_is_healed_before_the_power_goes_has_lost_nothing(lab: NamespaceLab, tmp_path: Path) -> None:
    lab.perform(fail("lying"))
    acknowledged(tmp_path, more_than=acknowledged(tmp_path) + 20)
    lab.perform(RESTORE)
    told, there = after(lab, tmp_path, (OFF,), (ON,))
    assert told <= there <= told + 1


@pytest.mark.parametrize(("how", "kept_byte"), [("lost", "x"), ("power_loss", "o")])
def test_the_disks_own_cache_survives_lost_and_not_power_loss(up: Up, how: str, kept_byte: str) -> None:
    """What was written past the node's cache, and never flushed."""
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume(kind="programmable"))))
    run(
        lab, "head -c 4096 /dev/zero | tr '\\0' o > /data/direct; head -c 4096 /dev/zero | tr '\\0' x > /tmp/x; sync /data/direct"
    )
    run(lab, "dd if=/tmp/x of=/data/direct bs=4096 conv=notrunc oflag=direct 2>/dev/null")
    assert run(lab, "head -c1 /data/direct") == "x"
    lab.perform(fail(how))
    lab.perform(RESTORE)
    assert run(lab, "head -c1 /data/direct") == kept_byte


def test_slow_is_felt_as_asked_by_a_program(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume(kind="programmable"))))
    script = (
        "import os,time\n"
        "fd=os.open('/data/f',os.O_RDWR|os.O_CREAT); os.pwrite(fd,b'x'*4096,0); os.fsync(fd)\n"
        "began=time.monotonic()\n"
        "for _ in range(3): os.pwrite(fd,b'y'*4096,0); os.fdatasync(fd)\n"
        "print((time.monotonic()-began)/3)"
    )

    def commit_s() -> float:
        return float(lab.perform(Exec(node="n0", argv=("python3", "-c", script), timeout_s=20)).output)

    fast = commit_s()
    lab.perform(fail("slow", latency_s=0.1))
    slow = commit_s()
    print(f"a commit took {fast:.4f} s, with 0.1 s more an operation {slow:.4f} s")
    assert fast < 0.1
    assert 0.2 <= slow < 0.6, "a write and a flush of the disk, each 0.1 s longer"
    lab.perform(RESTORE)
    assert commit_s() < 0.1


@pytest.mark.parametrize("asked", [0.01, 0.05, 0.2])
def test_latency_felt_is_latency_asked(up: Up, asked: float) -> None:
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume(kind="programmable"))))
    lab.perform(fail("slow", latency_s=asked))
    reading = lab.read(VolumeSpeedQuery(node="n0", volume="data", measure="latency", asked=asked))
    assert reading.value == "as_asked"
    assert reading.number is not None
    print(f"asked {asked} s, felt {reading.number:.4f} s")
    assert asked <= reading.number < asked + 0.05


@pytest.mark.parametrize(("measure", "field", "asked"), [("iops", "iops", 40.0), ("bandwidth", "bytes_per_s", 3e6)])
def test_limits_felt_are_limits_asked(up: Up, measure: Any, field: str, asked: float) -> None:
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume(kind="programmable"))))
    lab.perform(fail("slow", **{field: asked}))
    readings = [lab.read(VolumeSpeedQuery(node="n0", volume="data", measure=measure, asked=asked)) for _ in range(3)]
    felt = [reading.number or 0 for reading in readings]
    print(f"asked {asked}, felt {felt}")
    assert {reading.value for reading in readings} == {"as_asked"}
    assert 0.5 * asked < max(felt), "others share what there is, such as the kernel that completes a fresh file system"


def test_slow_goes_on_through_a_power_cycle(lab: NamespaceLab) -> None:
    lab.perform(fail("slow", latency_s=0.05))
    lab.perform(OFF)
    lab.perform(ON)
    asked = VolumeSpeedQuery(node="n0", volume="data", measure="latency", asked=0.05)
    assert lab.read(asked).value == "as_asked"
    lab.perform(RESTORE)
    assert lab.read(asked).value == "faster"


def test_errors_are_met_by_a_program_and_what_it_had_flushed_is_there_afterwards(lab: NamespaceLab, tmp_path: Path) -> None:
    (point,) = entry_points(group="chaoskit.faults", name="storage.errors")
    fault: Fault = point.load().model_validate({"volume": "data", "share": "30%"})
    facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")
    for step in fault.inject(facts):
        lab.perform(step)
    seen = run(lab, "for n in 1 2 3 4 5 6 7 8 9; do echo x > /data/f; sync /data/f; done 2>&1 || true")
    assert "Input/output error" in seen or "Read-only file system" in seen
    lab.perform(RESTORE)
    assert seen_within(lab, fault.effect(facts), lambda c: c.healed, 3.0, SystemClock())[0]
    log = (tmp_path / "logs" / "n0" / "writer.log").read_text()
    assert "OSError: [Errno 5]" in log or "OSError: [Errno 30]" in log, log[-300:]
    assert kept(lab) >= max(int(line) for line in log.split("\n") if line.isdigit())


def test_what_only_a_programmable_disk_can_do_is_refused_elsewhere(up: Up) -> None:
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume())))
    with pytest.raises(StepFailed, match="write `kind: programmable` in the lab file"):
        lab.perform(fail("lying"))
    assert works(lab) == "works"


def test_a_hanging_disk_hangs_readers_too_and_lets_go(lab: NamespaceLab) -> None:
    run(lab, "head -c 4M /dev/urandom > /data/big; sync /data/big")
    lab.perform(fail("hang"))
    assert works(lab) == "hangs"
    read = "dd if=/data/big of=/dev/null iflag=direct bs=4096 count=1 2>/dev/null && echo read > /tmp/read"
    run(lab, f"({read}) > /dev/null 2>&1 &")
    time.sleep(0.5)
    assert run(lab, "cat /tmp/read 2>/dev/null || true") == ""
    lab.perform(RESTORE)
    time.sleep(0.5)
    assert run(lab, "cat /tmp/read") == "read"
    assert works(lab) == "works"


@pytest.mark.parametrize("how", ["hang", "slow", "lost", "errors", "lying"])
def test_a_lab_goes_down_whatever_its_disk_does(lab: NamespaceLab, how: str) -> None:
    lab.perform(fail(how, latency_s=2.0, share=0.5, reads=True, writes=True))
    time.sleep(0.2)
    began = time.monotonic()
    lab.down()
    assert time.monotonic() - began < 9.0
    assert state.processes_of(lab.lab_id) == []


@pytest.fixture
def disk_server(lab: NamespaceLab) -> int:
    (found,) = [pid for pid in state.processes_of(lab.lab_id) if name_of(pid) == "chaoskit-disk"]
    return found


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def runs(pid: int) -> bool:
    """Whether it is more than a zombie that this process, which made the lab, has yet to collect."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX" and "chaoskit" in stat


@pytest.mark.parametrize("how", ["", "hang"])
def test_a_disk_that_is_killed_fails_and_the_lab_still_ends(lab: NamespaceLab, disk_server: int, how: str) -> None:
    if how:
        lab.perform(fail(how))
        time.sleep(0.2)
    os.kill(disk_server, signal.SIGKILL)
    deadline = time.monotonic() + 5.0
    while works(lab) in ("works", "hangs"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert any("ended by itself" in event.data.get("message", "") for event in lab.events())
    with pytest.raises(StepFailed, match="is gone"):
        lab.read(DiskFlushQuery(node="n0", volume="data"))
    lab.perform(OFF)
    lab.down()


DIRTYING = """
import os
number = 0
while True:
    number += 1
    with open("/data/%d" % (number % 50), "wb") as file:
        file.write(os.urandom(65536))
        number % 7 or (file.flush(), os.fsync(file.fileno()))
"""


@pytest.mark.parametrize("how", ["", "hang", "slow", "lying"])
@pytest.mark.parametrize("killed", ["holder", "keeper", "disks", "all"])
def test_whoever_is_killed_nothing_stays_of_a_busy_disk(up: Up, backend: Any, killed: str, how: str) -> None:
    writer = plans.service("writer", "python3", "-c", DIRTYING, restart="never")
    nodes = (plans.node(f"n{n}", n, volumes=plans.volume(kind="programmable"), services=(writer,)) for n in range(2))
    lab = up(plans.plan(*nodes), detached=True)
    if how:
        lab.perform(fail(how, latency_s=2.0))
    time.sleep(0.2)
    processes = state.processes_of(lab.lab_id)
    holder = int((state.LabFiles(lab.lab_id).directory / "holder").read_text().split()[0])
    keeper = int(Path(f"/proc/{holder}/status").read_text().split("PPid:")[1].split()[0])
    disks = [pid for pid in processes if name_of(pid) == "chaoskit-disk"]
    assert len(disks) == 2
    for disk in disks:
        assert Path(f"/proc/{disk}/mountinfo").read_text() == "", "it would wait for itself when the lab's mounts go"
    for pid in {"holder": [holder], "keeper": [keeper], "disks": disks, "all": processes}[killed]:
        os.kill(pid, signal.SIGKILL) if Path(f"/proc/{pid}").exists() else None
    began = time.monotonic()
    if killed == "disks":
        lab.down()
    assert not backend.sweep(lab.lab_id)
    assert time.monotonic() - began < 8.0
    assert [pid for pid in processes if runs(pid)] == []
    assert state.attached_loops(str(state.LabFiles(lab.lab_id).directory)) == []
    assert backend.leftovers() == []
    assert str(state.LabFiles(lab.lab_id).directory) not in Path("/proc/self/mountinfo").read_text()
