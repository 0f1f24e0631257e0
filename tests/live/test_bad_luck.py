"""What goes wrong on real machines: each is a verdict with its reason, everything healed, the evidence kept."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.shop import RELAY, Place, until

pytestmark = pytest.mark.lab


@pytest.fixture
def small_disk(place: Place) -> Iterator[Path]:
    """Four MiB, two of which the run keeps in reserve."""
    target = place.root.with_name(
        f"small-{place.root.name}"
    )  # beside it: other labs' nodes see mounts of the time they were built
    target.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(target)], check=True)
    yield target
    subprocess.run(["umount", str(target)], check=True)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_disk_that_fills_up_while_the_fault_holds(place: Place, small_disk: Path) -> None:
    method = [{"inject": "node.power_off", "target": {"role": "leader"}, "at": "300ms", "for": "600s"}]
    run = place.start("run", place.write(method=method, baseline="1s"), "--out", small_disk / "run")
    run.says("its effect was seen")
    with (small_disk / "filler").open("wb", buffering=0) as filler:
        while True:
            try:
                filler.write(b"x" * 4096)
            except OSError:
                break  # full
    ended = run.end()
    assert ended.code == 3, ended
    assert "No space left" in ended.out + ended.err or "disk is full" in ended.out + ended.err, ended
    events = [json.loads(line) for line in (small_disk / "run" / "events.jsonl").read_text().splitlines()]
    assert "fault.gone" in [e["kind"] for e in events]
    assert events[-1]["kind"] == "run.ended"
    lines = [json.loads(line)["op"] for line in (small_disk / "run" / "undo.jsonl").read_text().splitlines()]
    assert lines == ["owed", "paid"]


def test_a_run_directory_that_is_taken(place: Place) -> None:
    (place.root / "taken").mkdir()
    (place.root / "taken" / "something").touch()
    ended = place.chaoskit("run", place.write(), "--out", place.root / "taken")
    assert ended.code == 2, ended
    assert "not empty" in ended.err


def lab_with(place: Place, **changes: Any) -> Path:
    """The relay lab with a service changed."""
    import ruamel.yaml

    spec: Any = ruamel.yaml.YAML(typ="safe").load((RELAY / "lab.yaml").read_text())
    for path, value in changes.items():
        inner, *names = spec, *path.split("__")
        for name in names[:-1]:
            inner = inner[name]
        inner[names[-1]] = value
    folder = place.root / "lab"
    folder.mkdir()
    (folder / "lab.yaml").write_text(json.dumps(spec))
    (folder / "relay.py").write_text((RELAY / "relay.py").read_text())
    return folder


def test_a_node_that_never_becomes_ready(place: Place) -> None:
    command = ["sh", "-c", "echo the disk of {{ node }} is on fire; exec sleep 1000"]
    folder = lab_with(place, services__relay__command=command, ready__within="2s")
    ended = place.chaoskit("run", place.write(lab=str(folder)))
    assert ended.code == 3, ended
    assert re.search(r"kv\d: service relay was not ready within 2 s", ended.out), ended
    assert re.search(r"the disk of kv\d is on fire", ended.out), ended
    result = place.result()
    assert result["verdict"] == "unknown"
    assert "not ready" in result["incomplete"]
    logs = sorted((place.run_directory() / "logs").rglob("relay.log"))
    assert len(logs) == 3
    assert all("on fire" in log.read_text() for log in logs)
    assert (place.run_directory() / "report.html").exists()


def test_a_lab_in_which_nobody_leads(place: Place) -> None:
    """Every service runs, and the role that `ready` asks for is never held."""
    folder = lab_with(place, settings__lease_s=3600, ready__within="3s")
    ended = place.chaoskit("run", place.write(lab=str(folder)))
    assert ended.code == 3, ended
    assert "role leader: 1 wanted, 0 (nobody)" in ended.out


def test_a_service_that_dies_in_the_baseline(place: Place) -> None:
    command = ["sh", "-c", "{{ bin }}/python3 -S /srv/relay.py {{ address }} {{ settings.port }} {{ settings.status_port }} "
               "{{ settings.lease_s }} {{ nodes.kv | map(attribute='address') | join(' ') }} & "
               "until test -e /tmp/die; do sleep 0.05; done; echo out of memory; kill $!; exit 41"]  # fmt: skip
    folder = lab_with(place, services__relay__command=command)
    run = place.start("run", place.write(lab=str(folder), baseline="600s"))
    run.says("the clean baseline begins")
    (lab_id,) = [path.name for path in (place.state / "labs").iterdir()]
    touched = place.chaoskit("lab", "exec", lab_id, "kv2", "--", "touch", "/tmp/die")
    assert touched.code == 0, touched
    ended = run.end()
    assert ended.code == 3, ended
    assert "the service relay on kv2 ended with code 41" in ended.out, ended
    result = place.result()
    assert result["verdict"] == "unknown"
    assert result["undo"]["owed"] == 0
    assert "out of memory" in ended.out
    assert "out of memory" in (place.run_directory() / "logs" / "0" / "kv2" / "relay.log").read_text()


def test_a_port_in_a_node_that_is_in_use(place: Place) -> None:
    squatter = {"command": ["{{ bin }}/python3", "-m", "http.server", "8001"], "directory": "/srv", "ready": {"tcp": 8001}}
    folder = lab_with(
        place, services__squatter=squatter, services__relay__needs="squatter", nodes__kv__services=["squatter", "relay"]
    )
    ended = place.chaoskit("run", place.write(lab=str(folder)))
    assert ended.code == 3, ended
    assert re.search(
        r"kv\d: service relay ended with exit code 1 while starting|service relay on kv\d ended with code 1", ended.out
    ), ended
    assert "address already in use" in ended.out.lower(), ended
    assert (place.run_directory() / "report.html").exists()


def test_a_lab_whose_holder_is_killed_is_said_to_have_vanished(place: Place) -> None:
    method = [{"inject": "node.power_off", "target": {"role": "leader"}, "at": "300ms", "for": "600s"}]
    run = place.start("run", place.write(method=method, baseline="1s"))
    run.says("its effect was seen")
    os.kill(place.holders()[0], 9)
    ended = run.end()
    assert ended.code == 3, ended
    assert "the lab vanished" in ended.out
    assert "Traceback" not in ended.err
    assert place.result()["undo"]["dirty"] == []
    assert place.traces() == []
    until(lambda: not place.holders(), "the end of the holder")


def test_a_client_that_cannot_record_ends_the_run(place: Place) -> None:
    """A probe that is killed is no silence of the cluster: the verdict is unknown."""
    run = place.start("run", place.write(baseline="2s"))
    run.says("the clean baseline begins")
    probes = [int(e.name) for e in Path("/proc").iterdir() if e.name.isdigit() and _is_probe(e, place)]
    assert len(probes) == 2
    os.kill(probes[0], 9)
    ended = run.end()
    assert ended.code == 3, ended
    assert "ended by itself" in ended.out + ended.err
    assert place.result()["verdict"] == "unknown"


def _is_probe(entry: Path, place: Place) -> bool:
    try:
        words = (entry / "cmdline").read_bytes()
    except OSError:
        return False
    return b"chaoskit.clients.probe" in words and str(place.root).encode() in words
