"""Every fault that the Docker backend claims, on one lab of containers: not seen before, seen in force, gone after healing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.backends.docker.container_groups import container_groups
from chaoskit.backends.docker.lab import DockerLab
from chaoskit.backends.docker.leaving import FAMILY, labelled
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.volumes import attached_loops
from chaoskit.engine.injecting import GONE_WITHIN_S, seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.model.capability import COMMAND_EXEC, Survey
from chaoskit.model.facts import ServiceQuery
from chaoskit.model.lab import LabPlan, LabSpec, NodeGroup
from chaoskit.model.steps import STEP, Exec, Step
from chaoskit.ports.fault import Fault

from . import plans
from .test_live_conformance import FAULTS, NODES, VARIANTS, WallClock, fitted, plan_for

pytestmark = [pytest.mark.docker, pytest.mark.root]

IMAGE = Path(__file__).parents[1] / "live" / "labs" / "relay" / "image"
TOPOLOGY = ("network.connection_reset", "network.dns_failure", "network.router_failure")
"""They need a router, a name server or connections that stay: a second lab has them."""
ON_DISKS = [name for name in VARIANTS if name.startswith(("storage.", "resource."))]
"""Beside the faults' own examples: programmable disks, limits in place of loads."""


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Survey]:
    before = os.environ.get("CHAOSKIT_STATE")
    os.environ["CHAOSKIT_STATE"] = str(tmp_path_factory.mktemp("docker-state"))
    found = DockerBackend().survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    if not found.has(COMMAND_EXEC):
        pytest.skip(found.reason(COMMAND_EXEC))
    yield found
    os.environ.pop("CHAOSKIT_STATE")
    if before is not None:
        os.environ["CHAOSKIT_STATE"] = before


def containers(plan: LabPlan) -> LabPlan:
    """The same lab of containers, whose image has an interpreter of its own."""

    def moved(argv: tuple[str, ...]) -> tuple[str, ...]:
        return ("python3", *argv[1:]) if argv[0] == sys.executable else argv

    nodes = []
    for node in plan.nodes:
        services = tuple(s.model_copy(update={"argv": moved(s.argv)}) for s in node.services)
        nodes.append(node.model_copy(update={"build": str(IMAGE), "services": services}))
    return plan.model_copy(update={"nodes": tuple(nodes)})


def flat() -> LabPlan:
    disk = plans.volume(kind="programmable")["data"].model_copy(update={"mount": "/disk"})
    return containers(plan_for("", {**plans.volume(), "disk": disk}))


def routed() -> LabPlan:
    """n0 routes between n1, a name server that keeps a connection, and n2."""
    plan = plan_for("network.router_failure", {})
    more = [s for kind in TOPOLOGY[:2] for s in plan_for(kind, {}).node("n1").services if s.name != "web"]
    nodes = [n.model_copy(update={"services": (*n.services, *more)}) if n.name == "n1" else n for n in plan.nodes]
    return containers(plan.model_copy(update={"nodes": tuple(nodes)}))


def built(plan: LabPlan, number: int, logs: Path) -> Iterator[DockerLab]:
    lab_id = f"test-{os.getpid()}-{number}"
    backend = DockerBackend()
    made = backend.up(plan, lab_id, "run", logs, detached=False, progress=lambda _: None)
    try:
        yield made
    finally:
        made.down()
    assert not labelled(lab_id=lab_id)
    assert lab_id not in [left.lab_id for left in backend.leftovers()]
    assert not attached_loops(str(LabFiles(lab_id, FAMILY).directory))


@pytest.fixture(scope="module")
def lab(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerLab]:
    yield from built(flat(), 0, tmp_path_factory.mktemp("docker-logs"))


@pytest.fixture(scope="module")
def routed_lab(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerLab]:
    yield from built(routed(), 1, tmp_path_factory.mktemp("docker-logs"))


def scene(lab: DockerLab) -> LiveScene:
    return LiveScene(lab, lambda role: ("n0",) if role == "primary" else ("n1",), random.Random(1))


def perform(lab: DockerLab, steps: tuple[Step, ...]) -> None:
    for step in steps:
        lab.perform(STEP.validate_json(STEP.dump_json(step)))


@pytest.mark.parametrize("name", [*sorted(set(FAULTS) - {*TOPOLOGY}), *ON_DISKS])
def test_it_bites_and_heals(name: str, lab: DockerLab, survey: Survey) -> None:
    kind, changed = VARIANTS.get(name, (name, {}))
    if "programmable" in name or getattr(FAULTS[kind], "PROGRAMMABLE_ONLY", False):
        changed = {**changed, "volume": "disk"}
    tried(fitted(FAULTS[kind], **changed), lab, survey)


@pytest.mark.parametrize("name", TOPOLOGY)
def test_it_bites_and_heals_where_there_is_a_router(name: str, routed_lab: DockerLab, survey: Survey) -> None:
    tried(fitted(FAULTS[name]), routed_lab, survey)


def tried(fault: Fault, lab: DockerLab, survey: Survey) -> None:
    lacking = [n.capability for n in fault.needs() if n.required and not survey.has(n.capability)]
    if lacking:
        pytest.skip("; ".join(f"{capability}: {survey.reason(capability)}" for capability in lacking))
    clock = WallClock()
    limits = quotas(lab)
    facts = fault.prepare(scene(lab), ("n0",), "tag")
    checks = fault.effect(facts)
    perform(lab, fault.heal(facts))
    assert not seen_within(lab, checks, lambda c: c.in_force, 0.0, clock, nothing_is=False)[0], (
        "evidence before anything was done"
    )
    perform(lab, fault.inject(facts))
    seen, evidence = seen_within(lab, checks, lambda c: c.in_force, 5.0, clock, nothing_is=False)
    perform(lab, fault.heal(facts))
    assert seen, evidence
    gone, evidence = seen_within(lab, checks, lambda c: c.healed, GONE_WITHIN_S, clock, nothing_is=True)
    assert gone, evidence
    perform(lab, fault.heal(facts))
    running = {node: lab.read(ServiceQuery(node=node, service="web")).value for node in NODES}
    assert running == dict.fromkeys(NODES, "running")
    assert quotas(lab) == limits


LIMITS = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.shares", "cpu.max", "cpu.weight", "memory.limit_in_bytes", "memory.max",
          "memory.soft_limit_in_bytes", "pids.max")  # fmt: skip


def quotas(lab: DockerLab) -> dict[str, str]:
    """What the groups that the engine made for the containers say of their limits."""
    found = {}
    for node in NODES:
        for controller, group in container_groups(int(init_of(lab, node))).items():
            for file in LIMITS:
                if (group.path / file).exists():
                    found[f"{node} {controller} {file}"] = (group.path / file).read_text(encoding="ascii").strip()
    assert found
    return found


def test_an_address_is_kept_over_a_restart_and_no_right_is_gained(lab: DockerLab) -> None:
    shown = lab.perform(
        Exec(node="n1", argv=("sh", "-c", "grep CapBnd /proc/self/status; cat /sys/class/net/eth0/address"))
    ).output
    bounding, mac = shown.split()[1], shown.split()[2]
    engines = subprocess.run(["grep", "CapBnd", f"/proc/{init_of(lab, 'n1')}/status"], capture_output=True, text=True, check=True)
    assert bounding == engines.stdout.split()[1]
    assert int(bounding, 16) >> 21 & 1 == 0, "CAP_SYS_ADMIN"
    assert mac == lab.plan.node("n1").interfaces[0].mac


def init_of(lab: DockerLab, node: str) -> str:
    inside = lab.inside()
    assert inside is not None
    return (inside / node).read_text(encoding="utf-8").strip()
