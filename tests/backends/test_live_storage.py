"""Volumes of a real node that fail: a small service on one feels it, and works again after the heal."""

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
from chaoskit.model.capability import VOLUME_FAIL, Survey
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ServiceQuery, VolumeQuery
from chaoskit.model.steps import STEP, Exec, FailVolume, PowerOff, PowerOn, RestoreVolume, Step
from chaoskit.ports.fault import Fault

from . import plans

pytestmark = [pytest.mark.lab, pytest.mark.root]

Up = Callable[..., NamespaceLab]
WRITER = """
exec 3>>/data/journal
n=0
while :; do
    n=$((n+1))
    if echo $n >&3 && sync /data/journal; then echo $n > /tmp/acknowledged; else echo failed > /tmp/failed; fi
    sleep 0.02
done
"""


@pytest.fixture(autouse=True)
def _needs(survey: Survey) -> None:
    if not survey.has(VOLUME_FAIL):
        pytest.skip(survey.reason(VOLUME_FAIL))


@pytest.fixture
def lab(up: Up) -> NamespaceLab:
    writer = plans.service("writer", "sh", "-c", WRITER)
    return up(plans.plan(plans.node("n0", 0, volumes=plans.volume(), services=(writer,))))


def run(lab: NamespaceLab, script: str) -> str:
    return lab.perform(Exec(node="n0", argv=("sh", "-c", script))).output.strip()


def works(lab: NamespaceLab) -> str | None:
    return lab.read(VolumeQuery(node="n0", volume="data", timeout_s=1.0)).value


def acknowledged(lab: NamespaceLab) -> int:
    return int(run(lab, "cat /tmp/acknowledged") or 0)


def progress(lab: NamespaceLab, within_s: float = 5.0) -> bool:
    """Whether the service acknowledges a write anew."""
    run(lab, "rm -f /tmp/acknowledged")
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if run(lab, "cat /tmp/acknowledged 2>/dev/null || true"):
            return True
        time.sleep(0.05)
    return False


def performed(lab: NamespaceLab, steps: tuple[Step, ...]) -> list[str]:
    return [lab.perform(STEP.validate_json(STEP.dump_json(step))).output for step in steps]


def fault_of(name: str, **fields: Any) -> Fault:
    (point,) = entry_points(group="chaoskit.faults", name=name)
    made: Fault = point.load().model_validate({"volume": "data", **fields})
    return made


@pytest.mark.parametrize("name", ["lost", "detach", "hang", "read_only", "full", "no_inodes"])
def test_a_service_feels_it_and_works_again_after_the_heal(lab: NamespaceLab, name: str) -> None:
    assert progress(lab)
    run(lab, "echo precious > /data/kept && sync /data/kept")
    fault = fault_of("storage.full", inodes=True) if name == "no_inodes" else fault_of(f"storage.{name}")
    facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")
    checks = fault.effect(facts)
    assert not seen_within(lab, checks, lambda c: c.in_force, 0.1, SystemClock())[0]
    performed(lab, fault.heal(facts))
    assert progress(lab), "healing without injecting harms nobody"
    performed(lab, fault.inject(facts))
    seen, evidence = seen_within(lab, checks, lambda c: c.in_force, 3.0, SystemClock())
    assert seen, evidence
    if name == "full":
        assert "No space left" in run(lab, "head -c 99999 /dev/zero 2>&1 > /data/more || true")
    elif name == "no_inodes":
        assert "No space left" in run(lab, "touch /data/more 2>&1 || true")
        assert progress(lab), "files that are there can grow"
    else:
        assert not progress(lab, 0.5)
    if name == "detach":
        assert "Read-only" in run(lab, "ls -A /data; touch /data/more 2>&1 || true")
    if name in ("lost", "detach", "read_only"):
        assert run(lab, "cat /tmp/failed") == "failed"
    for _ in range(2):
        performed(lab, fault.heal(facts))
        assert seen_within(lab, checks, lambda c: c.healed, 3.0, SystemClock())[0]
    assert lab.read(ServiceQuery(node="n0", service="writer")).value == "running"
    assert progress(lab)
    assert run(lab, "cat /data/kept; ls -A /data | grep chaoskit || true") == "precious"


def test_full_leaves_what_was_asked_for(lab: NamespaceLab) -> None:
    fault = fault_of("storage.full", free="1MiB")
    facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")
    performed(lab, fault.inject(facts))
    assert seen_within(lab, fault.effect(facts), lambda c: c.in_force, 1.0, SystemClock())[0]
    reading = lab.read(VolumeQuery(node="n0", volume="data"))
    assert reading.value == "works"
    assert reading.number is not None
    assert (1 << 20) * 0.75 < reading.number <= 1 << 20
    performed(lab, fault.heal(facts))
    assert works(lab) == "works"


def test_full_leaves_the_inodes_that_were_asked_for(lab: NamespaceLab) -> None:
    fault = fault_of("storage.full", inodes=True, free_inodes=5)
    facts = fault.prepare(LiveScene(lab, lambda _: (), random.Random(1)), ("n0",), "tag")
    performed(lab, fault.inject(facts))
    reading = lab.read(VolumeQuery(node="n0", volume="data", count_inodes=True))
    assert (reading.value, reading.number) == ("works", 5)
    assert (
        run(lab, "cd /data; for n in 1 2 3 4 5; do touch more$n || echo $n; done; touch more6 2>/dev/null || echo full") == "full"
    )
    performed(lab, fault.heal(facts))
    assert run(lab, "ls -A /data | grep chaoskit || true") == ""
    reading = lab.read(VolumeQuery(node="n0", volume="data", count_inodes=True))
    assert reading.number is not None
    assert reading.number > 1000


@pytest.mark.parametrize("how", ["lost", "detach", "read_only"])
def test_a_service_that_starts_again_meanwhile_writes_nothing_beneath_the_mount_point(up: Up, how: Any) -> None:
    restless = "while :; do echo x > /data/$((RANDOM % 100)) || exit 1; echo 1 > /tmp/acknowledged; sleep 0.001; done"
    writer = plans.service("writer", "bash", "-c", restless, restart="always")
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume(), services=(writer,))))
    holder = int((state.LabFiles(lab.lab_id).directory / "holder").read_text().split()[0])
    beneath = Path(f"/proc/{holder}/root{state.LabFiles(lab.lab_id).directory}/disks/n0/root/data")
    for _ in range(4):
        lab.perform(FailVolume(node="n0", volume="data", how=how))
        time.sleep(0.3)
        lab.perform(RestoreVolume(node="n0", volume="data"))
        assert progress(lab, 10.0)
    assert sum(event.kind == "service.started" for event in lab.events()) > 4
    assert beneath.is_dir()
    assert list(beneath.iterdir()) == []


def test_what_cannot_be_done_is_refused(lab: NamespaceLab) -> None:
    with pytest.raises(StepFailed, match="has no volume 'other'; it has data"):
        lab.perform(FailVolume(node="n0", volume="other", how="lost"))
    lab.perform(FailVolume(node="n0", volume="data", how="hang"))
    with pytest.raises(StepFailed, match="fails already"):
        lab.perform(FailVolume(node="n0", volume="data", how="lost"))
    lab.perform(RestoreVolume(node="n0", volume="data"))
    assert works(lab) == "works"


def test_a_node_with_a_hanging_volume_loses_power_and_boots(lab: NamespaceLab) -> None:
    lab.perform(FailVolume(node="n0", volume="data", how="hang"))
    assert works(lab) == "hangs"
    lab.perform(PowerOff(node="n0"))
    lab.perform(PowerOn(node="n0"))
    assert works(lab) == "works"
    lab.perform(RestoreVolume(node="n0", volume="data"))
    assert progress(lab)


def test_a_lab_goes_down_though_a_volume_hangs(lab: NamespaceLab) -> None:
    lab.perform(FailVolume(node="n0", volume="data", how="hang"))
    assert works(lab) == "hangs"
    lab.down()


def test_the_dead_man_lets_a_volume_go_on(lab: NamespaceLab) -> None:
    lab.arm("debt", (RestoreVolume(node="n0", volume="data"),), 2.5)
    lab.perform(FailVolume(node="n0", volume="data", how="hang"))
    assert works(lab) == "hangs"
    time.sleep(2.0)
    assert works(lab) == "works"


@pytest.mark.parametrize("waits", [True, False], ids=["somebody waits", "nobody waits"])
def test_a_lab_whose_holder_was_killed_is_swept_though_a_volume_hangs(up: Up, backend: Any, waits: bool, tmp_path: Path) -> None:
    services = (plans.service("writer", "sh", "-c", WRITER),) if waits else ()
    lab = up(plans.plan(plans.node("n0", 0, volumes=plans.volume(), services=services)), detached=True)
    lab.perform(FailVolume(node="n0", volume="data", how="hang"))
    time.sleep(0.3)
    for pid in state.processes_of(lab.lab_id):
        os.kill(pid, signal.SIGKILL)
    assert not backend.sweep(lab.lab_id)
    assert backend.leftovers() == []
