"""What happens to containers behind chaoskit's back is heard, and a container that comes back is faulted as before."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from chaoskit.backends.docker import engine
from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.backends.docker.lab import DockerLab
from chaoskit.model.capability import COMMAND_EXEC
from chaoskit.model.facts import ReachQuery, ServiceQuery
from chaoskit.model.history import Event
from chaoskit.model.lab import LabPlan, LabSpec, NodeGroup
from chaoskit.model.steps import CutLinks, Exec, Freeze, JoinLinks, Link, PowerOff, PowerOn, Thaw
from tests.backends import plans
from tests.live.engines import OwnEngine, missing
from tests.live.shop import until

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.skipif(bool(missing()), reason=missing())]


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    made = OwnEngine()
    before = {name: os.environ.get(name) for name in ("DOCKER_HOST", "CHAOSKIT_STATE")}
    try:
        made.start()
        made.import_image()
        os.environ["DOCKER_HOST"] = made.url
        os.environ["CHAOSKIT_STATE"] = str(made.directory / "state")
        yield made
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
        made.end()


def plan() -> LabPlan:
    ticking = "while :; do echo tick >> /data/ticks; sleep 0.1; done"
    ticks = plans.service("ticks", "sh", "-c", ticking)
    return plans.plan(*(plans.node(name, at, services=(ticks,), volumes=plans.volume()) for at, name in enumerate(("n0", "n1"))))


@pytest.fixture(scope="module")
def standing(own: OwnEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerLab]:
    backend = DockerBackend()
    survey = backend.survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    if not survey.has(COMMAND_EXEC):
        pytest.skip(survey.reason(COMMAND_EXEC))
    logs = tmp_path_factory.mktemp("logs")
    lab = backend.up(plan(), f"test-{os.getpid()}", "run", logs, detached=False, progress=lambda _: None)
    yield lab
    lab.down()
    assert not backend.leftovers()


@pytest.fixture
def lab(standing: DockerLab) -> DockerLab:
    standing.events()  # what happened before is not this test's
    return standing


def container(lab: DockerLab, node: str, do: Callable[[Any, str], object]) -> None:
    found = engine.opened()
    try:
        (one,) = found.containers(chaoskit_lab=lab.lab_id, chaoskit_node=node)
        do(found.client.api, one["Id"])
    finally:
        found.close()


def heard(lab: DockerLab, seen: list[Event], kind: str, node: str = "n0") -> Event:
    """The first event of this kind about the node; all that came before stays in `seen`."""

    def look() -> list[Event]:
        seen.extend(lab.events())
        return [event for event in seen if event.kind == kind and event.data.get("node", node) == node]

    found: list[Event] = until(look, f"an event {kind} of {node} among {seen}", 20.0)
    return found[0]


def works(lab: DockerLab, node: str = "n0") -> None:
    until(lambda: lab.status()[node] == "up", f"{node} up", 10.0)
    until(lambda: lab.read(ServiceQuery(node=node, service="ticks")).value == "running", "its service runs", 10.0)
    looked = "test -s /data/ticks; cat /sys/class/net/eth0/address; ls /data"
    shown = lab.perform(Exec(node=node, argv=("sh", "-c", looked))).output.split()
    assert shown[0] == lab.plan.node(node).interfaces[0].mac
    other = "n1" if node == "n0" else "n0"
    answers: list[str | None] = []

    def answered() -> bool:
        answers.append(lab.read(ReachQuery(source=other, destination=node)).value)
        return answers[-1] == "answered"

    until(answered, f"an answer of {node} to {other}; {lab.status()}, seen {answers}", 10.0)


def test_a_container_that_dies_and_is_started_by_somebody_is_a_node_again(lab: DockerLab) -> None:
    lab.perform(Exec(node="n0", argv=("sh", "-c", "echo precious > /data/kept; sync")))
    container(lab, "n0", lambda api, one: api.restart(one, timeout=5))
    seen: list[Event] = []
    died = heard(lab, seen, "container.died")
    assert died.data == {"node": "n0", "exit_code": 0, "by": "the engine or somebody else"}
    assert "n0" in str(heard(lab, seen, "problem", "n0").data["message"]), "no figure is valid that nobody answers for"
    heard(lab, seen, "container.started")
    works(lab)
    assert "precious" in lab.perform(Exec(node="n0", argv=("cat", "/data/kept"))).output


def test_what_chaoskit_does_itself_is_said_to_be_so(lab: DockerLab) -> None:
    lab.perform(PowerOff(node="n0"))
    lab.perform(PowerOn(node="n0"))
    seen: list[Event] = []
    died = heard(lab, seen, "container.died")
    assert (died.data["exit_code"], died.data["by"]) == (137, "chaoskit")
    works(lab)
    seen += lab.events()
    assert not [event for event in seen if event.kind in ("container.started", "problem")]


def test_one_without_power_stays_off_whoever_starts_it(lab: DockerLab) -> None:
    lab.perform(PowerOff(node="n0"))
    container(lab, "n0", lambda api, one: api.start(one))
    seen: list[Event] = []
    assert "its power is cut" in heard(lab, seen, "container.started").data["then"]
    assert lab.status()["n0"] == "off"
    time.sleep(0.3)
    assert lab.status()["n0"] == "off"
    lab.perform(PowerOn(node="n0"))
    works(lab)


def test_one_that_was_frozen_and_cut_off_comes_back_so(lab: DockerLab) -> None:
    cut = CutLinks(tag="test", links=(Link(source="n0", destination="n1"), Link(source="n1", destination="n0")))
    lab.perform(cut)
    lab.perform(Freeze(node="n0"))
    container(lab, "n0", lambda api, one: (api.kill(one), api.start(one)))
    seen: list[Event] = []
    assert heard(lab, seen, "container.started").data["then"] == "frozen again"
    assert lab.status()["n0"] == "frozen"
    assert lab.read(ReachQuery(source="n1", destination="n0")).value != "answered"
    lab.perform(JoinLinks(tag="test"))
    lab.perform(Thaw(node="n0"))
    works(lab)


def test_a_process_that_is_killed_for_want_of_memory_is_told(lab: DockerLab) -> None:
    container(lab, "n1", lambda api, one: api.update_container(one, mem_limit="64m", memswap_limit="64m"))
    argv = ("sh", "-c", "echo 0 > /proc/self/oom_score_adj; exec tail /dev/zero")
    try:
        found = engine.opened()
        (one,) = found.containers(chaoskit_lab=lab.lab_id, chaoskit_node="n1")
        made = found.client.api.exec_create(one["Id"], list(argv))
        found.client.api.exec_start(made["Id"])
        found.close()
    finally:
        container(lab, "n1", lambda api, one: api.update_container(one, mem_limit="2g", memswap_limit="2g"))
    seen: list[Event] = []
    heard(lab, seen, "container.oom", "n1")
    assert lab.status()["n1"] == "up", seen
    works(lab, "n1")


def test_an_engine_that_is_killed_and_comes_back(lab: DockerLab, own: OwnEngine) -> None:
    """Its containers run on without it, and can be faulted; when it is back it ends them, and they can be had again."""
    own.kill()
    seen: list[Event] = []
    assert heard(lab, seen, "engine.lost").data["engine"] == own.url
    works(lab)
    lab.perform(Freeze(node="n1"))
    assert lab.status()["n1"] == "frozen"
    lab.perform(Thaw(node="n1"))
    own.start()
    heard(lab, seen, "engine.back")
    until(lambda: set(lab.status().values()) <= {"up", "off"}, "the nodes to be something", 10.0)
    time.sleep(1.0)
    for node, state in lab.status().items():
        if state == "off":  # without live-restore the engine ends what it finds running
            lab.perform(PowerOn(node=node))
    for node in lab.status():
        works(lab, node)
