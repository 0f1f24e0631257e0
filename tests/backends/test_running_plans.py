"""Containers that run already, without an engine: which are meant, what lab they are, what steps become on bridges of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.docker import engine
from chaoskit.backends.linux_host.state import LabFiles
from chaoskit.backends.linux_host.wire import Refused, unpacked
from chaoskit.backends.running import restoring
from chaoskit.backends.running.backend import RunningBackend
from chaoskit.backends.running.lab import compiled, tag_of
from chaoskit.backends.running.owed import DOWN, ENDED, PAUSED, Owed
from chaoskit.backends.running.survey import surveyed
from chaoskit.engine.lab_loading import load_lab
from chaoskit.engine.loading import load
from chaoskit.linux import nft_host
from chaoskit.model import capability as names
from chaoskit.model import steps
from chaoskit.model.capability import Capability, Survey
from chaoskit.model.errors import InputError, LabUnavailable
from chaoskit.model.lab import LabPlan

from .fake_engine import container, fake

pytest.importorskip("docker")

WEB = (container("web1", "198.19.240.11", 1), container("web2", "198.19.240.12", 2), container("lb", "198.19.240.13", 3))


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Any:
    found = fake(*WEB)
    monkeypatch.setattr(engine, "opened", lambda url=None: found)
    return found


def lab(folder: Path, text: str) -> Any:
    (folder / "lab.yaml").write_text(text, encoding="utf-8")
    return load_lab(folder)


def wiring(folder: Path) -> LabPlan:
    plan: LabPlan = lab(folder, "containers: {project: shop}\n").rendered.plan
    nodes = []
    for node in plan.nodes:
        port = nft_host.HOST if node.name == "host" else f"veth{node.name}"
        nodes.append(node.model_copy(update={"interfaces": tuple(i.model_copy(update={"port": port}) for i in node.interfaces)}))
    return plan.model_copy(update={"nodes": tuple(nodes)})


def test_a_project_is_a_lab_of_groups_and_the_host(shop: Any, tmp_path: Path) -> None:
    loaded = lab(tmp_path, "containers: {project: shop}\nroles: {up: {tcp: 80}}\n")
    plan, spec = loaded.rendered.plan, loaded.file.spec
    assert [n.name for n in plan.nodes] == ["lb", "web1", "web2", "host"]
    assert spec.group_members("web") == ("web1", "web2")
    assert plan.networks == {"shop_net": "198.19.240.0/24"}
    assert plan.address("web2") == "198.19.240.12"
    assert (spec.backend, plan.clients, spec.blast_radius.protected.nodes) == ("running", ("host",), ("host",))
    assert list(plan.roles["up"]) == ["lb", "web1", "web2"], "the host holds no role"


def test_names_and_labels_and_a_client_node_of_ones_own(shop: Any, tmp_path: Path) -> None:
    plan = lab(tmp_path, "containers: [lb, web1]\nclients: lb\n").rendered.plan
    assert [n.name for n in plan.nodes] == ["lb", "web1"], "no host, where clients run in a container"
    assert len(lab(tmp_path, "containers: {label: team=web}\n").rendered.plan.nodes) == 4
    assert [n.name for n in lab(tmp_path, "containers: web1\n").rendered.plan.nodes] == ["web1", "host"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("[wbe1]", "did you mean 'web1'"),
        ("{project: shpo}", "did you mean 'shop'"),
        ("{label: team=db}", "no running container has this label"),
        ("{projects: shop}", "did you mean 'project'"),
        ("{}", "names containers"),
    ],
)
def test_what_matches_nothing_is_told_with_its_place(shop: Any, tmp_path: Path, wanted: str, words: str) -> None:
    with pytest.raises(InputError) as caught:
        lab(tmp_path, f"name: x\ncontainers: {wanted}\n")
    assert words in str(caught.value)
    assert "lab.yaml:2:" in str(caught.value)
    assert caught.value.exit_code == 2


def test_containers_of_a_lab_of_our_own_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = container("x", "198.19.240.9", Config={"Labels": {engine.LAB: "lab1"}})
    monkeypatch.setattr(engine, "opened", lambda url=None: fake(own))
    with pytest.raises(InputError, match="of a lab of chaoskit's own"):
        lab(tmp_path, "containers: x\n")


@pytest.mark.parametrize("shared", ["PidMode", "NetworkMode"])
def test_a_container_that_shares_the_machine_is_refused(shared: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(engine, "opened", lambda url=None: fake(container("x", "198.19.240.9", HostConfig={shared: "host"})))
    with pytest.raises(InputError, match="which would be hit with it"):
        lab(tmp_path, "containers: x\n")


def test_an_engine_that_does_not_answer_is_no_bad_input(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/none.sock")
    with pytest.raises(LabUnavailable, match="no Docker engine answers"):
        lab(tmp_path, "containers: x\n")


def test_a_container_that_is_removed_when_it_ends_is_not_ended(
    monkeypatch: pytest.MonkeyPatch, shop: Any, tmp_path: Path
) -> None:
    monkeypatch.setattr("chaoskit.backends.running.survey.why_not", lambda: "")
    everything = Survey(backend="x", capabilities=(Capability(name=names.NODE_POWER, present=True),))
    monkeypatch.setattr("chaoskit.backends.running.survey.take_survey", lambda *_: everything)
    spec = lab(tmp_path, "containers: lb\n").file.spec
    assert surveyed("running", spec).has(names.NODE_POWER)
    shop.client.api.all[WEB[2]["Id"]] = {**WEB[2], "HostConfig": {"AutoRemove": True}}
    spec = lab(tmp_path, "containers: lb\n").file.spec
    assert "lb: started with --rm" in surveyed("running", spec).reason(names.NODE_POWER)


# -- steps ---------------------------------------------------------------------------------------------------------------------


def test_a_cut_is_of_the_lab_and_holds_for_the_machine_itself(shop: Any, tmp_path: Path) -> None:
    links = tuple(steps.Link(source=a, destination=b) for a, b in (("web1", "web2"), ("web1", "host"), ("host", "web1")))
    act = compiled("lab1", wiring(tmp_path), steps.CutLinks(tag="t/1", links=links))
    sent = unpacked(act["batch"])
    table = f"ck_{tag_of('lab1', 't/1')}".encode()
    for suffix in (b"\0", b"_in\0", b"_out\0"):
        assert table + suffix in sent
    assert sent.count(b"vethweb1\0") == 3, "to its peer, from it to the machine, from the machine to it"
    assert sent.count(b"vethweb2\0") == 1
    assert b"@host" not in sent
    assert tag_of("lab2", "t/1") != tag_of("lab1", "t/1")


def test_frames_of_the_host_are_not_shaped_and_ports_not_rejected(shop: Any, tmp_path: Path) -> None:
    link = (steps.Link(source="host", destination="web1"),)
    with pytest.raises(Refused, match="name other `peers`"):
        compiled("lab1", wiring(tmp_path), steps.ShapeLinks(tag="t", links=link, shape=steps.LinkShape(loss_percent=10)))
    with pytest.raises(Refused, match="leave `reject` out"):
        compiled("lab1", wiring(tmp_path), steps.BlockPorts(tag="t", links=link, tcp=("80",), reject=True))
    with pytest.raises(Refused, match="has no cable"):
        compiled("lab1", wiring(tmp_path), steps.SetLink(node="host", up=False))


EXPERIMENT = """\
title: a slow line
lab:
  containers: {project: shop}
  roles: {serving: {tcp: 80}}
  endpoints: {site: {kind: http, hosts: lb, port: 80}}
clients: {visitors: {type: http, operation: get, rate: 10/s, endpoint: site}}
method:
  - inject: %s
    target: %s
    with: %s
    at: 5s
    for: 5s
"""


def planned(folder: Path, fault: str, target: str, parameters: str) -> tuple[str, ...]:
    """The words of all that is refused when such an experiment is loaded."""
    file = folder / "slow.yaml"
    file.write_text(EXPERIMENT % (fault, target, parameters), encoding="utf-8")
    try:
        load(file)
    except InputError as error:
        return tuple(str(problem) for problem in error.problems)
    return ()


@pytest.mark.parametrize(
    ("target", "parameters"),
    [
        ("{node: web1}", "{delay: 50ms}"),
        ("{node: web1}", "{delay: 50ms, network: shop_net}"),
        ("{node: web1}", "{delay: 50ms, peers: {all: true}}"),
        ("{node: web1}", "{delay: 50ms, peers: {nodes: [lb, host]}}"),
        ("{node: web1}", "{delay: 50ms, peers: {all: true, count: 2}}"),
        ("{role: serving}", "{delay: 50ms}"),
    ],
)
def test_shaping_the_frames_of_the_host_is_refused_when_planning(target: str, parameters: str, shop: Any, tmp_path: Path) -> None:
    (said,) = planned(tmp_path, "network.delay", target, parameters)
    assert "and host are not shaped" in said
    assert "slow.yaml:8:" in said, "with its place"
    assert ("(lb, web2)" if "node" in target else "(none here)") in said


@pytest.mark.parametrize("parameters", ["{delay: 50ms, peers: {node: lb}}", "{delay: 50ms, peers: {role: serving}}"])
def test_shaping_between_containers_is_planned(parameters: str, shop: Any, tmp_path: Path) -> None:
    assert planned(tmp_path, "network.delay", "{node: web1}", parameters) == ()
    assert planned(tmp_path, "network.delay", "{role: serving}", parameters) == (), "any container may hold a role"


@pytest.mark.parametrize("fault", ["network.isolate", "network.port_block"])
def test_the_host_may_be_cut_off_all_the_same(fault: str, shop: Any, tmp_path: Path) -> None:
    assert planned(tmp_path, fault, "{node: web1}", "{ports: [80]}" if "port" in fault else "{}") == ()


def test_two_labs_of_one_container_are_refused(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    plan = lab(tmp_path, "containers: {project: shop}\n").rendered.plan
    LabFiles("other", "running").claim(plan=plan.model_dump(mode="json"))
    with pytest.raises(LabUnavailable, match="in the lab other already"):
        RunningBackend().up(plan, "mine", "run", tmp_path, detached=False, progress=lambda _: None)


def test_what_a_dead_keeper_owes_is_put_back(shop: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    plan = lab(tmp_path, "containers: {project: shop}\n").rendered.plan
    files = LabFiles("dead", "running")
    files.claim(plan=plan.model_dump(mode="json"), engine="unix:///run/fake.sock")
    owed = Owed(files.directory)
    owed.add(PAUSED, ["web1"])
    owed.add(ENDED, ["web2", "lb"])
    owed.add(DOWN, ["vethlb"])
    owed.paid(ENDED, ["lb"])
    assert restoring.owed_in_words("dead", "running") == [
        "paused container web1",
        "container that was ended web2",
        "link down vethlb",
    ]
    by_name = {one["Name"]: one for one in shop.client.api.all.values()}
    by_name["/web1"]["State"] = {"Running": True, "Paused": True}
    by_name["/web2"]["State"] = {"Running": False, "Paused": False}
    told: list[list[str]] = []

    def ran(command: list[str], **_: Any) -> Any:
        told.append(command[-2:])
        return type("Done", (), {"returncode": 0, "stderr": ""})

    monkeypatch.setattr("chaoskit.backends.running.restoring.subprocess.run", ran)
    assert restoring.restored(files, "ck_mark") == []
    assert shop.client.api.done == ["unpause web1", "start web2"]
    assert told == [["ck_mark", "vethlb"]]
