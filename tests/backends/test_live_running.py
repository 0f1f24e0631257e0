"""Faults on containers that chaoskit has not made, on a bridge of their engine: they bite and heal, and the containers stay."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.docker import engine, images
from chaoskit.backends.linux_host.state import processes_of
from chaoskit.backends.running.backend import FAMILY, RunningBackend
from chaoskit.backends.running.lab import RunningLab
from chaoskit.backends.running.survey import why_not
from chaoskit.engine.lab_loading import load_lab
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.facts import CarrierQuery, ExecQuery, NodeStateQuery, ReachQuery
from chaoskit.model.steps import CutLinks, Freeze, JoinLinks, Link, PowerOff, PowerOn, SetLink, Thaw

pytestmark = [pytest.mark.docker, pytest.mark.root, pytest.mark.xdist_group("machine")]

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
NETWORK = f"198.19.{240 + WORKER % 16}"
"""Its first three numbers: one engine refuses the same to two workers."""


@pytest.fixture(scope="module")
def containers() -> Iterator[dict[str, str]]:
    """Name -> id, of three containers of a project that is not ours."""
    if why := why_not():
        pytest.skip(why)
    found = engine.opened()
    if not images.has(found, images.BASE):
        pytest.skip(f"the engine has no {images.BASE}: chaoskit image base")
    api, project = found.client.api, f"ck-test-{os.getpid()}"
    from docker.types import IPAMConfig, IPAMPool

    pool = IPAMPool(subnet=f"{NETWORK}.0/24")
    network = api.create_network(project, driver="bridge", ipam=IPAMConfig(pool_configs=[pool]))["Id"]
    ids: dict[str, str] = {}
    try:
        for number in (1, 2, 3):
            made = api.create_container(
                images.BASE,
                ["sleep", "1000"],
                name=f"{project}-web-{number}",
                labels={
                    "com.docker.compose.project": project,
                    "com.docker.compose.service": "web",
                    "com.docker.compose.container-number": str(number),
                },
                host_config=api.create_host_config(restart_policy={"Name": "always"}, init=True),
                networking_config=api.create_networking_config(
                    {project: api.create_endpoint_config(ipv4_address=f"{NETWORK}.1{number}")}
                ),
            )
            ids[f"web{number}"] = made["Id"]
            api.start(made["Id"])
        ids["project"] = project
        yield ids
    finally:
        for name, container in ids.items():
            if name != "project":
                api.remove_container(container, force=True)
        api.remove_network(network)
        found.close()


@pytest.fixture
def lab(containers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningLab]:
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    (tmp_path / "lab.yaml").write_text(f"containers: {{project: {containers['project']}}}\n", encoding="utf-8")
    plan = load_lab(tmp_path / "lab.yaml").rendered.plan
    made = RunningBackend().up(plan, "one", "run", tmp_path / "logs", detached=True, progress=lambda _: None)
    yield made
    RunningBackend().sweep("one")


def inspected(container: str) -> dict[str, Any]:
    found = engine.opened()
    try:
        said: dict[str, Any] = found.client.api.inspect_container(container)
        return said
    finally:
        found.close()


def reach(lab: RunningLab, source: str, destination: str, **more: Any) -> str | None:
    return lab.read(ReachQuery(source=source, destination=destination, timeout_s=0.5, **more)).value


def both(one: str, *others: str) -> tuple[Link, ...]:
    return tuple(Link(source=a, destination=b) for other in others for a, b in ((one, other), (other, one)))


def rules(lab: RunningLab) -> str:
    return subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=False).stdout if lab else ""


def test_cuts_and_links(lab: RunningLab) -> None:
    assert reach(lab, "web1", "web2") == reach(lab, "host", "web1") == "answered"
    lab.perform(CutLinks(tag="a/1", links=both("web1", "web2")))
    assert reach(lab, "web1", "web2") != "answered"
    assert reach(lab, "web1", "web3") == reach(lab, "host", "web1") == "answered"
    lab.perform(CutLinks(tag="a/1", links=both("web1", "web2", "web3", "host")))
    assert reach(lab, "host", "web1") != "answered", "clients on the engine's machine are cut off as well"
    assert reach(lab, "web1", "host") != "answered"
    assert reach(lab, "host", "web2") == "answered"
    lab.perform(JoinLinks(tag="a/1"))
    assert reach(lab, "web1", "web2") == reach(lab, "host", "web1") == "answered"
    lab.perform(SetLink(node="web1", up=False))
    assert lab.read(CarrierQuery(node="web1")).value == "no_carrier"
    lab.perform(SetLink(node="web1", up=True))
    assert lab.read(CarrierQuery(node="web1")).value == "up"


def test_a_container_loses_power_and_comes_back_behind_the_same_cut(lab: RunningLab, containers: dict[str, str]) -> None:
    before = inspected(containers["web1"])
    lab.perform(CutLinks(tag="b", links=both("web1", "web2")))
    lab.perform(PowerOff(node="web1", silent=True, lose_unsynced=False))
    assert lab.read(NodeStateQuery(node="web1")).value == "off"
    time.sleep(1.0)
    assert not inspected(containers["web1"])["State"]["Running"], "its restart policy is held back"
    lab.perform(PowerOn(node="web1"))
    assert reach(lab, "web1", "web3") == "answered"
    assert reach(lab, "web1", "web2") != "answered", "its new cable is behind the cut of the old one"
    lab.perform(JoinLinks(tag="b"))
    assert reach(lab, "web1", "web2") == "answered"
    after = inspected(containers["web1"])
    project = containers["project"]
    places = [one["NetworkSettings"]["Networks"][project] for one in (before, after)]
    assert [p["MacAddress"] for p in places] == [places[0]["MacAddress"]] * 2
    assert after["HostConfig"] == before["HostConfig"]


def test_pausing_and_a_restart_by_the_engine(lab: RunningLab, containers: dict[str, str]) -> None:
    lab.perform(Freeze(node="web2"))
    assert inspected(containers["web2"])["State"]["Paused"]
    lab.perform(Thaw(node="web2"))
    assert lab.read(NodeStateQuery(node="web2")).value == "up"
    lab.perform(CutLinks(tag="c", links=both("web2", "web3")))
    os.kill(inspected(containers["web2"])["State"]["Pid"], signal.SIGKILL)
    deadline = time.monotonic() + 20.0
    told = ""
    while "started it again" not in told and time.monotonic() < deadline:
        told += " ".join(str(event.data) for event in lab.events())
        time.sleep(0.1)
    assert "started it again" in told
    assert lab.read(NodeStateQuery(node="web2")).value == "up"
    assert reach(lab, "web2", "web1") == "answered"
    assert reach(lab, "web2", "web3") != "answered"
    lab.perform(JoinLinks(tag="c"))
    assert lab.read(ExecQuery(node="web2", argv=("true",), timeout_s=5.0)).number == 0


def test_what_a_killed_keeper_leaves_is_healed_by_another_and_swept(lab: RunningLab, containers: dict[str, str]) -> None:
    lab.perform(CutLinks(tag="d", links=both("web1", "web2")))
    lab.perform(Freeze(node="web3"))
    lab.perform(SetLink(node="web2", up=False))
    for pid in processes_of("one", FAMILY):
        os.kill(pid, signal.SIGKILL)
    backend = RunningBackend()
    again = backend.attach("one")
    assert again.status()["web3"] == "frozen"
    again.perform(JoinLinks(tag="d"))
    again.perform(SetLink(node="web2", up=True))
    assert reach(again, "web1", "web2") == "answered"
    again.perform(CutLinks(tag="e", links=both("web1", "web2")))
    for pid in processes_of("one", FAMILY):
        os.kill(pid, signal.SIGKILL)
    assert list(backend.sweep("one")) == []
    assert backend.leftovers() == []
    state = inspected(containers["web3"])["State"]
    assert state["Running"]
    assert not state["Paused"]


def test_a_lab_ends_and_the_containers_stay_as_they_were(lab: RunningLab, containers: dict[str, str]) -> None:
    before = {name: inspected(containers[name])["State"]["Pid"] for name in ("web1", "web2", "web3")}
    lab.perform(Freeze(node="web1"))
    lab.perform(SetLink(node="web2", up=False))
    lab.down()
    assert {name: inspected(containers[name])["State"]["Pid"] for name in before} == before
    assert not inspected(containers["web1"])["State"]["Paused"]
    with pytest.raises(LabUnavailable):
        RunningBackend().attach("one")
