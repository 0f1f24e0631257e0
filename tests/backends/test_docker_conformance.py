"""Every fault that the Docker backend claims, on one lab of containers: not seen before, seen in force, gone after healing."""

from __future__ import annotations

import os
import random
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.backends.docker.lab import DockerLab
from chaoskit.backends.docker.leaving import labelled
from chaoskit.engine.injecting import GONE_WITHIN_S, seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.model.capability import COMMAND_EXEC, Survey
from chaoskit.model.facts import ServiceQuery
from chaoskit.model.lab import HttpCheck, LabPlan, LabSpec, NodeGroup
from chaoskit.model.steps import STEP, Exec, Step

from . import plans
from .test_live_conformance import FAULTS, NODES, WallClock, fitted

pytestmark = [pytest.mark.docker, pytest.mark.root]

IMAGE = Path(__file__).parents[1] / "live" / "labs" / "relay" / "image"
TOPOLOGY = {"network.connection_reset", "network.dns_failure", "network.router_failure"}
"""They need services or routers of their own; on namespaces they are tried on labs made for them."""


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


def plan() -> LabPlan:
    ready = HttpCheck(http="http://127.0.0.1:8000/")
    web = plans.service(
        "web", "python3", "-m", "http.server", "8000", "--bind", "0.0.0.0", user="nobody", directory="/tmp", ready=ready
    )
    nodes = [plans.node(n, at, services=(web,), volumes=plans.volume(), drain=plans.drain(n)) for at, n in enumerate(NODES)]
    nodes = [node.model_copy(update={"build": str(IMAGE)}) for node in nodes]
    return plans.plan(*nodes).model_copy(update={"clients": ("n2",)})


@pytest.fixture(scope="module")
def lab(survey: Survey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerLab]:
    lab_id = f"test-{os.getpid()}"
    backend = DockerBackend()
    logs = tmp_path_factory.mktemp("docker-logs")
    made = backend.up(plan(), lab_id, "run", logs, detached=False, progress=lambda _: None)
    yield made
    made.down()
    assert not labelled(lab_id=lab_id)
    assert lab_id not in [left.lab_id for left in backend.leftovers()]


def scene(lab: DockerLab) -> LiveScene:
    return LiveScene(lab, lambda role: ("n0",) if role == "primary" else ("n1",), random.Random(1))


def perform(lab: DockerLab, steps: tuple[Step, ...]) -> None:
    for step in steps:
        lab.perform(STEP.validate_json(STEP.dump_json(step)))


@pytest.mark.parametrize("name", sorted(set(FAULTS) - TOPOLOGY))
def test_it_bites_and_heals(name: str, lab: DockerLab, survey: Survey) -> None:
    fault = fitted(FAULTS[name])
    lacking = [n.capability for n in fault.needs() if n.required and not survey.has(n.capability)]
    if lacking:
        pytest.skip("; ".join(f"{capability}: {survey.reason(capability)}" for capability in lacking))
    clock = WallClock()
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
