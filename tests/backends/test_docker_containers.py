"""What the engine is asked for, and what a service takes from its image; no engine answers here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.docker import images
from chaoskit.backends.docker.containers import Making, labels_of
from chaoskit.backends.docker.engine import Engine
from chaoskit.backends.docker.image_process import served
from chaoskit.backends.linux_host.drawing import drawn_lab, hosts_text
from chaoskit.model.container import BindSpec, ContainerSpec, EngineVolumeSpec, UlimitSpec
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.units import Size

from . import plans

IMAGE: dict[str, Any] = {
    "Entrypoint": ["/entry.sh"],
    "Cmd": ["serve", "--all"],
    "User": "app:web",
    "WorkingDir": "/srv",
    "Env": ["PATH=/opt/bin:/bin", "MODE=image"],
    "Healthcheck": {"Test": ["CMD-SHELL", "curl localhost"], "Interval": 30_000_000_000, "Timeout": 2_000_000_000},
}


class Api:
    """Takes down what it is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def create_host_config(self, **asked: Any) -> dict[str, Any]:
        return asked

    def create_container(self, image: str, **asked: Any) -> dict[str, str]:
        self.asked.append((image, asked))
        return {"Id": "one"}

    def create_volume(self, name: str, **asked: Any) -> None:
        self.asked.append((name, asked))


class Client:
    def __init__(self) -> None:
        self.api = Api()


@pytest.fixture
def making(tmp_path: Path) -> Making:
    pytest.importorskip("docker")
    return Making(Engine("", Client()), labels_of("run", "lab1"), "chaoskit-x-lab1", tmp_path / "init")


def test_a_container_is_asked_for_with_what_the_lab_says_and_nothing_else(making: Making) -> None:
    special = ContainerSpec(
        hostname="shop",
        cap_add=("NET_ADMIN",),
        tmpfs={"/run": "size=1m"},
        binds=(BindSpec(source="/srv/site", target="/site", read_only=True),),
        engine_volumes=(EngineVolumeSpec(target="/data", name="data"), EngineVolumeSpec(target="/own")),
        ulimits={"nofile": UlimitSpec(soft=1, hard=2)},
        memory=Size(64 << 20),
        cpus=0.5,
        labels={"team": "web", "chaoskit.lab": "a lie"},
    )
    node = plans.node("a", 0).model_copy(update={"image": "x", "container": special})
    assert making.volumes(plans.plan(node)) == ["chaoskit-x-lab1-data"]
    making.container(node)
    (_, volume), (image, asked) = making.found.client.api.asked
    assert volume["labels"]["chaoskit.lab"] == "lab1"
    assert (image, asked["hostname"], asked["volumes"]) == ("x", "shop", ["/own"])
    assert asked["labels"]["team"] == "web"
    assert asked["labels"]["chaoskit.lab"] == "lab1", "ours cannot be overwritten"
    host = asked["host_config"]
    assert host["binds"][1:] == ["/srv/site:/site:ro", "chaoskit-x-lab1-data:/data"]
    assert (host["cap_add"], host["nano_cpus"], host["mem_limit"]) == (["NET_ADMIN"], 500_000_000, 64 << 20)
    assert (host["network_mode"], host["restart_policy"]) == ("none", {"Name": "no"})
    assert "privileged" not in host
    assert "read_only" not in host
    assert "cap_drop" not in host


def drawn(*services: Any) -> tuple[Any, Any]:
    node = plans.node("a", 0, services=services)
    lab = drawn_lab(plans.plan(node), "lab", "run", Path("/nowhere"), Path("/nowhere"), "/bin")
    return node, lab["nodes"][0]["services"][0]


def test_a_service_without_command_is_the_images_own() -> None:
    node, service = drawn(plans.service("a", user="", directory="", env={"MODE": "lab"}))
    served(node, service, IMAGE, "x")
    assert service["argv"] == ["/entry.sh", "serve", "--all"]
    assert (service["user"], service["directory"]) == ("app:web", "/srv")
    assert service["env"] == {"PATH": "/opt/bin:/bin", "MODE": "lab"}
    ready = service["ready"]
    assert ready["command"] == ["/bin/sh", "-c", "curl localhost"]
    assert (ready["every_s"], ready["timeout_s"], ready["as_service"]) == (0.5, 2.0, True)


def test_what_the_lab_says_goes_before_the_image() -> None:
    own = plans.service("a", user="root", directory="/", arguments=("check",), health=False)
    node, service = drawn(own)
    served(node, service, IMAGE, "x")
    assert service["argv"] == ["/entry.sh", "check"]
    assert (service["user"], service["directory"], service["ready"]) == ("root", "/", None)
    node, service = drawn(plans.service("a", "sleep", "1"))
    served(node, service, IMAGE, "x")
    assert (service["argv"], service["ready"]) == (["sleep", "1"], None), "its health check is of another program"


def test_an_image_that_starts_nothing_is_refused() -> None:
    node, service = drawn(plans.service("a", user="", directory=""))
    with pytest.raises(LabUnavailable, match="the image x starts nothing by itself"):
        served(node, service, {"Cmd": None}, "x")


def test_builds_that_differ_have_different_images() -> None:
    node = plans.node("a", 0).model_copy(update={"build": "/srv/lab"})
    others = [ContainerSpec(target="test"), ContainerSpec(dockerfile="Other"), ContainerSpec(args={"A": "1"})]
    names = {images.image_of(node), *(images.image_of(node.model_copy(update={"container": c})) for c in others)}
    assert len(names) == 4


def test_aliases_are_names_of_the_first_address() -> None:
    nodes = [plans.node(name, at).model_copy(update={"aliases": ("web",)}) for at, name in enumerate(("web1", "web2"))]
    assert "198.18.0.1 web1 web1-lan web\n198.18.0.2 web2 web2-lan web\n" in hosts_text(plans.plan(*nodes))
