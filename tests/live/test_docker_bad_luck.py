"""What goes wrong with engines, images, containers: an error or verdict that says so, all healed that can be, the right code."""

from __future__ import annotations

import json
import subprocess
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


def broken(place: Place, fault: str, **more: Any) -> Path:
    method = [{"inject": fault, "target": {"node": "kv3"}, "at": "300ms", "for": "4s", **more}]
    return place.write(lab=lab(place), method=method, baseline="1s", recovery="10s")


def events(place: Place) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place.run_directory() / "events.jsonl").read_text().splitlines()]


def test_an_engine_that_dies_while_a_fault_is_on(place: Place, own: OwnEngine) -> None:
    """Healing needs no engine; giving the containers back does: they are named, and recover ends them later."""
    run = place.start("run", broken(place, "node.hang"), "--backend", "docker")
    run.says("its effect was seen")
    own.kill()
    try:
        ended = run.end()
        assert ended.code == 4, ended
        assert "Traceback" not in ended.err, ended
        seen = [(e["kind"], e["data"]) for e in events(place)]
        assert [data["verified"] for kind, data in seen if kind == "fault.gone"] == [True]
        assert [data["engine"] for kind, data in seen if kind == "engine.lost"] == [own.url]
        result = place.result()
        assert result["verdict"] == "unknown"
        assert result["undo"]["dirty"] == []
        assert "may be there yet" in json.dumps(result) + ended.out, ended
        too_early = place.chaoskit("recover")
        assert too_early.code != 0, too_early
        assert "Traceback" not in too_early.err, too_early
    finally:
        own.start()
    recovered = place.chaoskit("recover")
    assert recovered.code == 0, recovered


def test_an_engine_that_dies_while_a_node_has_no_power(place: Place, own: OwnEngine) -> None:
    """Nobody can boot it: that heal fails, and is said to."""
    run = place.start("run", broken(place, "node.power_off"), "--backend", "docker")
    run.says("its effect was seen")
    own.kill()
    try:
        ended = run.end()
        assert "Traceback" not in ended.err, ended
        assert ended.code == 4, ended
        assert "fault.heal_failed" in [e["kind"] for e in events(place)]
        assert place.result()["verdict"] == "unknown"
    finally:
        own.start()
    recovered = place.chaoskit("recover")
    assert recovered.code == 0, recovered


def test_a_disk_that_fills_up_while_a_fault_is_on(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    small = tmp_path_factory.mktemp("small")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(small)], check=True)
    try:
        run = place.start("run", broken(place, "node.power_off"), "--backend", "docker", "--out", small / "run")
        run.says("its effect was seen")
        with (small / "filler").open("wb", buffering=0) as filler:
            while True:
                try:
                    filler.write(b"x" * 4096)
                except OSError:
                    break  # full
        ended = run.end()
        assert ended.code == 3, ended
        assert "No space left" in ended.out + ended.err or "disk is full" in ended.out + ended.err, ended
        lines = [json.loads(line)["op"] for line in (small / "run" / "undo.jsonl").read_text().splitlines()]
        assert lines == ["owed", "paid"]
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_an_engine_without_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own disk is full: no image can be built there."""
    small = OwnEngine()
    data = small.directory / "data"
    data.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(data)], check=True)
    try:
        small.start()
        small.import_image()
        monkeypatch.setenv("DOCKER_HOST", small.url)
        place = Place(tmp_path)
        folder = lab(place, build="image")
        (Path(folder) / "image").mkdir(exist_ok=True)
        (Path(folder) / "image" / "Dockerfile").write_text(f"FROM {BASE}\nRUN dd if=/dev/zero of=/filler bs=1M count=200\n")
        ended = place.chaoskit("lab", "up", folder, "--backend", "docker")
        refused(ended, "could not be built")
        assert "No space left on device" in ended.out + ended.err or "no space left on device" in ended.out + ended.err, ended
        assert place.traces() == []
    finally:
        small.end()
