"""Every fault that the backend of running containers claims, on containers that others made: unseen before, in force, gone."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.docker import engine, images
from chaoskit.backends.running.backend import RunningBackend
from chaoskit.backends.running.lab import RunningLab
from chaoskit.backends.running.survey import _REFUSED, why_not
from chaoskit.engine.injecting import GONE_WITHIN_S, seen_within
from chaoskit.engine.lab_loading import load_lab
from chaoskit.engine.scene import LiveScene
from chaoskit.model.facts import ExecQuery
from chaoskit.model.lab import LabSpec, NodeGroup
from chaoskit.model.steps import STEP, Step
from chaoskit.ports.link_fault import LinkFault

from .test_docker_conformance import IMAGE
from .test_live_conformance import FAULTS, VARIANTS, WallClock, fitted

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.xdist_group("machine")]

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
NETWORK = f"198.19.{224 + WORKER % 16}"
TAG = "chaoskit-test-python:latest"
NODES = ("n0", "n1", "n2")
HOLD = f"""
import socket, time
while True:
    try:
        socket.create_connection(("{NETWORK}.10", 8000)).recv(1)
    except OSError:
        pass
    time.sleep(0.05)
"""
"""A connection to n0 that stays, for what ends connections."""
HOLDS = 'python3 -c "$HOLD" & '
WEB = "while true; do python3 -m http.server 8000 --bind 0.0.0.0 --directory /tmp; sleep 0.1; done"
ASKED = "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/', timeout=1)"
PROCESS = {"process": {"name": "python3"}}
"""In place of the service that other labs have: what runs in these containers is their own."""

NOT_HERE = {
    "node.drain": "by commands of the lab's own",
    "service.stop": "of a service of the lab's own",
    "network.router_failure": "of a node that forwards",
    "network.switch_failure": "of a switch that is no bridge of the machine's, but for `how: hangs`",
    "resource.disk_bandwidth": "of a volume",
}
"""Faults that name what only a lab of chaoskit's own has."""
WAYS = VARIANTS | {
    "network.switch_failure (how hangs)": ("network.switch_failure", {"how": "hangs"}),
    "file.change (a mount of the engine's)": (
        "file.change",
        {"path": "/etc/hosts", "replace": "^127\\.0\\.0\\.1", "by": "203.0.113.9"},
    ),
}
FILES = {
    "file.change": {"path": "/etc/debian_version", "replace": "^12", "by": "11"},
    "file.delete": {"path": "/etc/debian_version"},
    "file.replace": {"path": "/etc/debian_version"},
}
"""In place of /etc/hosts, which is a mount of the engine's."""


def claimed() -> list[str]:
    """The faults, and other ways of them, that need nothing this backend refuses."""
    names = []
    for name in (*sorted(FAULTS), *WAYS):
        kind, changed = WAYS.get(name, (name, {}))
        if kind in NOT_HERE and changed.get("how") != "hangs":
            continue
        if not {need.capability for need in fitted(FAULTS[kind], **changed).needs() if need.required} & set(_REFUSED):
            names.append(name)
    return names


@pytest.fixture(scope="module")
def containers() -> Iterator[str]:
    """The name of a project of three containers that serve pages, on a network of their engine's."""
    if why := why_not():
        pytest.skip(why)
    from docker.types import IPAMConfig, IPAMPool

    found = engine.opened()
    api, project = found.client.api, f"ck-all-{os.getpid()}"
    if not images.has(found, images.BASE):
        pytest.skip(f"the engine has no {images.BASE}: chaoskit image base")
    found.client.images.build(path=str(IMAGE), tag=TAG, rm=True, forcerm=True, network_mode="host")
    pool = IPAMPool(subnet=f"{NETWORK}.0/24")
    network = api.create_network(project, driver="bridge", ipam=IPAMConfig(pool_configs=[pool]))["Id"]
    ids: list[str] = []
    try:
        for at, node in enumerate(NODES):
            made = api.create_container(
                TAG,
                ["sh", "-c", HOLDS + WEB if node == "n1" else WEB],
                environment={"HOLD": HOLD},
                name=f"{project}-{node}",
                labels={"com.docker.compose.project": project, "com.docker.compose.service": node},
                host_config=api.create_host_config(restart_policy={"Name": "always"}, init=True),
                networking_config=api.create_networking_config(
                    {project: api.create_endpoint_config(ipv4_address=f"{NETWORK}.1{at}")}
                ),
            )
            ids.append(made["Id"])
            api.start(made["Id"])
        yield project
    finally:
        for container in ids:
            api.remove_container(container, force=True)
        api.remove_network(network)
        found.close()


@pytest.fixture(scope="module")
def lab(containers: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningLab]:
    place = tmp_path_factory.mktemp("running")
    before = os.environ.get("CHAOSKIT_STATE")
    os.environ["CHAOSKIT_STATE"] = str(place / "state")
    (place / "lab.yaml").write_text(f"containers: {{project: {containers}}}\n", encoding="utf-8")
    plan = load_lab(place / "lab.yaml").rendered.plan
    backend = RunningBackend()
    made = backend.up(plan, "all", "run", place / "logs", detached=False, progress=lambda _: None)
    try:
        assert serving(made) == []
        yield made
    finally:
        assert list(backend.sweep("all")) == []
        os.environ.pop("CHAOSKIT_STATE")
        if before is not None:
            os.environ["CHAOSKIT_STATE"] = before


def serving(lab: RunningLab, within_s: float = 15.0) -> list[str]:
    """The containers that serve no page, once all do or the time is over."""
    silent, deadline = list(NODES), time.monotonic() + within_s
    while silent and time.monotonic() < deadline:
        silent = [
            node for node in silent if lab.read(ExecQuery(node=node, argv=("python3", "-c", ASKED), timeout_s=5.0)).number != 0
        ]
    return silent


def perform(lab: RunningLab, steps: tuple[Step, ...]) -> None:
    for step in steps:
        lab.perform(STEP.validate_json(STEP.dump_json(step)))


@pytest.mark.parametrize("name", claimed())
def test_it_bites_and_heals(name: str, lab: RunningLab) -> None:
    kind, changed = WAYS.get(name, (name, {}))
    more: dict[str, Any] = dict(PROCESS) if "process" in FAULTS[kind].model_fields else {}
    if issubclass(FAULTS[kind], LinkFault):
        more["peers"] = {"nodes": ["n1", "n2"]}  # frames to the engine's machine are not shaped
    fault = fitted(FAULTS[kind], **(more | FILES.get(kind, {}) | changed))
    survey = RunningBackend().survey(LabSpec(name="all", nodes={"n": NodeGroup()}))
    lacking = [n.capability for n in fault.needs() if n.required and not survey.has(n.capability)]
    if lacking:
        pytest.skip("; ".join(f"{capability}: {survey.reason(capability)}" for capability in lacking))
    scene = LiveScene(lab, lambda role: ("n0",) if role == "primary" else ("n1",), random.Random(1))
    clock = WallClock()
    facts = fault.prepare(scene, ("n0",), "tag")
    checks = fault.effect(facts)
    perform(lab, fault.heal(facts))
    assert not seen_within(lab, checks, lambda c: c.in_force, 0.0, clock, nothing_is=False)[0], "evidence before it was done"
    perform(lab, fault.inject(facts))
    seen, evidence = seen_within(lab, checks, lambda c: c.in_force, 5.0, clock, nothing_is=False)
    perform(lab, fault.heal(facts))
    assert seen, "\n".join(f"MEANS {e}" for e in evidence)
    gone, evidence = seen_within(lab, checks, lambda c: c.healed, GONE_WITHIN_S, clock, nothing_is=True)
    assert gone, evidence
    perform(lab, fault.heal(facts))
    assert serving(lab) == []


@pytest.mark.parametrize("kind", sorted(set(NOT_HERE) - {"service.stop", "network.router_failure"}))
def test_what_such_a_lab_has_not_is_refused_when_planning(kind: str, tmp_path: Path, containers: str) -> None:
    (tmp_path / "lab.yaml").write_text(f"containers: {{project: {containers}}}\n", encoding="utf-8")
    spec = load_lab(tmp_path / "lab.yaml").file.spec
    survey = RunningBackend().survey(spec)
    changed = {"how": "dies"} if "how" in FAULTS[kind].model_fields else {}
    fault = fitted(FAULTS[kind], **changed)
    assert [*fault.misfits(spec, ("n0",)), *(n.capability for n in fault.needs() if n.required and not survey.has(n.capability))]
