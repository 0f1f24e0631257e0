"""What goes wrong with engines, images, containers: an error or verdict that says so, all healed that can be, the right code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.live.engines import BASE, OwnEngine, missing
from tests.live.shop import RELAY, Ended, Place

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    made = OwnEngine()
    try:
        made.start()
        made.import_image()
        yield made
    finally:
        made.end()


@pytest.fixture
def place(own: OwnEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setenv("DOCKER_HOST", own.url)
    made = Place(tmp_path)
    yield made
    left = made.traces()
    if left:
        made.clear()
    assert left == []
    with own.client() as client:
        assert [one.name for one in client.containers.list(all=True) if "chaoskit.run" in one.labels] == []


def lab(place: Place, **of_members: Any) -> str:
    """The relay lab with something changed of its members, in the small image unless they name another."""
    spec = YAML(typ="safe").load((RELAY / "lab.yaml").read_text())
    del spec["nodes"]["kv"]["build"]
    spec["services"]["relay"] |= of_members.pop("service", {})
    spec["nodes"]["kv"] |= of_members
    folder = place.root / "lab"
    folder.mkdir(exist_ok=True)
    (folder / "lab.yaml").write_text(json.dumps(spec))
    (folder / "relay.py").write_text((RELAY / "relay.py").read_text())
    return str(folder)


def refused(ended: Ended, *words: str) -> None:
    """The lab could not be had: said so, with the reason, and no traceback."""
    assert ended.code == 3, ended
    for word in words:
        assert word in ended.out + ended.err, ended
    assert "Traceback" not in ended.out + ended.err, ended


def test_an_engine_that_is_not_running(place: Place) -> None:
    nowhere = {"DOCKER_HOST": f"unix://{place.root}/nothing.sock"}
    ended = place.chaoskit("run", place.write(lab=lab(place)), "--backend", "docker", variables=nowhere)
    assert ended.code in (2, 3), ended
    assert "no Docker engine answers" in ended.out + ended.err, ended
    assert "Traceback" not in ended.err, ended


def test_an_image_that_nobody_has(place: Place) -> None:
    folder = lab(place, image="localhost:1/nobody/has-this:1")
    refused(place.chaoskit("lab", "up", folder, "--backend", "docker"), "localhost:1/nobody/has-this:1", "cannot be pulled")


def test_an_image_that_cannot_be_built(place: Place) -> None:
    folder = lab(place, build="image")
    (Path(folder) / "image").mkdir(exist_ok=True)
    (Path(folder) / "image" / "Dockerfile").write_text(f"FROM {BASE}\nRUN echo there is no such package; exit 7\n")
    refused(place.chaoskit("lab", "up", folder, "--backend", "docker"), "could not be built", "there is no such package", "7")


def test_a_name_that_is_taken_by_somebody_elses_container(place: Place, own: OwnEngine) -> None:
    folder = lab(place)
    up = place.chaoskit("lab", "up", folder, "--name", "mine", "--backend", "docker")
    assert up.code == 0, up
    with own.client() as client:
        (name,) = [c.name for c in client.containers.list() if c.name.endswith("-kv1")]
    assert place.chaoskit("lab", "down", "mine").code == 0
    with own.client() as client:
        foreign = client.containers.run(BASE, ["sleep", "10000"], name=name, network_mode="none", detach=True)
        try:
            refused(place.chaoskit("lab", "up", folder, "--name", "mine", "--backend", "docker"), name, "in use")
            foreign.reload()
            assert foreign.status == "running"
        finally:
            foreign.remove(force=True)


def test_a_service_that_exits_at_once(place: Place) -> None:
    folder = lab(place, service={"command": ["sh", "-c", "echo no configuration at all; exit 41"]})
    ended = place.chaoskit("lab", "up", folder, "--backend", "docker")
    refused(ended, "service relay ended with exit code 41 while starting", "no configuration at all")
