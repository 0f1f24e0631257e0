"""chaoskit is killed with SIGKILL at any moment of a run on Docker, its lab's holder too, and the engine is killed and started
again in between: `chaoskit recover` leaves nothing of the run, and what was there before is as it was."""

from __future__ import annotations

import json
import os
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.backends.linux_host import transport
from chaoskit.linux import netlink
from chaoskit.model.capability import COMMAND_EXEC
from chaoskit.model.lab import LabSpec, NodeGroup
from tests.live.engines import BASE, OwnEngine, missing
from tests.live.families import methods, words
from tests.live.shop import RELAY, Place
from tests.live.test_killed import SEED, SHORT, Moment, moments, nothing_is_left, strike

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

MOMENTS = int(os.environ.get("CHAOSKIT_TEST_DOCKER_MOMENTS", "3"))
VICTIMS = ("chaoskit", "both", "the holder")


@pytest.fixture(scope="module")
def own() -> Iterator[OwnEngine]:
    """An engine whose containers survive it, with a container, a network, a volume and images of somebody else's."""
    made = OwnEngine("--live-restore")
    try:
        made.start()
        made.import_image()
        with made.client() as client:
            client.images.get(BASE).tag("foreign", "1")
        made.of_somebody_else(BASE)
        yield made
    finally:
        made.end()


def machine(own: OwnEngine) -> dict[str, Any]:
    """What a run on Docker could leave behind or harm outside of its own files: all of the engine, this machine's network."""
    with own.client() as client:
        containers = {one.name: one.attrs for one in client.containers.list(all=True)}
        seen: dict[str, Any] = {
            "containers": {
                name: (a["Id"], a["State"]["Status"], a["State"]["Pid"], a["Mounts"]) for name, a in containers.items()
            },
            "networks": {one.id: one.name for one in client.networks.list()},
            "volumes": sorted(one.name for one in client.volumes.list()),
            "images": sorted((one.id, sorted(one.tags)) for one in client.images.list()),
        }
    request = struct.pack("=IHHIIBBH", 20, 10 << 8 | 1, 0x301, 1, 0, 0, 0, 0)
    dumped = netlink.messages(transport.dump(netlink.NETLINK_NETFILTER, request))
    seen["nft tables"] = sorted(str(m.payload[4:]) for m in dumped if m.type != netlink.NLMSG_DONE)
    seen["links"] = sorted(os.listdir("/sys/class/net"))
    points = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    seen["mounts of the engine"] = sorted(point for point in points if point.startswith(str(own.directory)))
    seen["its groups"] = [str(group) for group in own.groups()]
    return seen


def relay(root: Path) -> Path:
    """The relay lab of the small image, which has all it needs."""
    folder = root / "lab"
    folder.mkdir()
    spec = YAML(typ="safe").load((RELAY / "lab.yaml").read_text())
    del spec["nodes"]["kv"]["build"]
    (folder / "lab.yaml").write_text(json.dumps(spec))
    (folder / "relay.py").write_text((RELAY / "relay.py").read_text())
    return folder


def survived(place: Place, own: OwnEngine, moment: Moment, short: dict[str, Any]) -> str:
    """What was wrong after one moment, or an empty text."""
    place.root.mkdir(exist_ok=True)
    file = place.write(**short, lab={"path": str(relay(place.root)), "variant": "programmable"})
    before = machine(own)
    run = place.start("run", file, "--backend", "docker")
    try:
        strike(place, run, moment)
        if moment.victims == "both":
            own.kill()
            own.start()
        nothing_is_left(place)
        assert machine(own) == before
    except (AssertionError, OSError, ValueError) as error:
        return f"{moment}, with {words(short['method'])}: {type(error).__name__}: {error}\n--- it had said\n{run.err()}"
    finally:
        if run.process.poll() is None:
            run.kill()
            place.chaoskit("recover")
    return ""


def test_killed_at_any_moment_on_docker(own: OwnEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", own.url)
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "survey"))
    survey = DockerBackend().survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    if not survey.has(COMMAND_EXEC):
        pytest.skip(survey.reason(COMMAND_EXEC))
    drawn = methods(SEED, survey.has)
    whole = Place(tmp_path / "whole")
    began = time.monotonic()
    lab = {"path": str(relay(whole.root)), "variant": "programmable"}
    ended = whole.chaoskit("run", whole.write(**SHORT, lab=lab, method=next(drawn)), "--backend", "docker")
    assert ended.code in (0, 1, 3), ended
    assert whole.traces() == []
    length_s = time.monotonic() - began
    failures = []
    for moment in islice(moments(SEED, MOMENTS, length_s), MOMENTS):
        after = moment.after.replace("nodes are up", "containers are up")
        at = replace(moment, after=after, victims=VICTIMS[moment.number % len(VICTIMS)])
        if wrong := survived(Place(tmp_path / f"{at.number}"), own, at, {**SHORT, "method": next(drawn)}):
            failures.append(wrong)
    print(f"seed {SEED}: {MOMENTS - len(failures)} of {MOMENTS} moments clean; a whole run takes {length_s:.1f} s")
    assert not failures, f"CHAOSKIT_TEST_SEED={SEED}: {len(failures)} of {MOMENTS} not clean\n" + "\n\n".join(failures)


def test_the_search_finds_a_lab_that_is_there(own: OwnEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above would pass without it if it found nothing ever."""
    monkeypatch.setenv("DOCKER_HOST", own.url)
    place, before = Place(tmp_path / "seen"), machine(own)
    up = place.chaoskit("lab", "up", relay(place.root), "--name", "seen", "--backend", "docker")
    assert up.code == 0, up
    try:
        there = machine(own)
        assert {"containers", "mounts of the engine", "its groups"} <= {key for key in before if there[key] != before[key]}
        assert {"process", "file", "loop"} <= {trace.split(" ")[0] for trace in place.traces()}
    finally:
        down = place.chaoskit("lab", "down", "seen")
    assert down.code == 0, down
    assert place.traces() == []
    assert machine(own) == before
