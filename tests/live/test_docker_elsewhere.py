"""Commands on an engine of another machine: a dockerd of the test's own, asked by TLS over a port, or over ssh.

It runs on this machine, which the commands are not told: their state here and there are two, and what they may touch there is the
helper's own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.live.engines import FarEngine, missing
from tests.live.shop import RELAY, VISITORS, Place, processes, until
from tests.live.test_docker_killed import machine

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(missing()), reason=missing()),
]

SMALL = "chaoskit-test/small:1"
PARTITION = {"inject": "network.partition", "target": {"role": "leader"}, "at": "200ms", "for": "2s"}
CRASH = {"inject": "node.crash", "target": {"node": "kv3"}, "at": "4s", "for": "1s"}
SHORT: dict[str, Any] = {
    "title": "Cut off, then crashed",
    "clients": {"visitors": VISITORS},
    "baseline": "1s",
    "recovery": "10s",
    "method": [PARTITION, CRASH],
}


@pytest.fixture(scope="module")
def far() -> Iterator[FarEngine]:
    """An engine with the base image, a small one for labs, and a container, a volume and a network of somebody else's."""
    made = FarEngine()
    try:
        made.start()
        made.import_image(SMALL)
        had = base_image(made)
        if had:
            pytest.skip(had)
        with made.client() as client:
            # the engine makes a mount of its own for the first container that shares its network
            client.containers.run(SMALL, ["true"], network_mode="host", remove=True)
        made.of_somebody_else(SMALL)
        yield made
    finally:
        made.end()


def base_image(own: FarEngine) -> str:
    """Have it in the engine, as people have it; why that is not possible here."""
    argv, variables = [sys.executable, "-m", "chaoskit.surfaces.entry", "image", "base"], {**os.environ, "DOCKER_HOST": own.url}
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=variables, timeout=300)
    return "" if done.returncode == 0 else f"no base image for the helper: {done.stderr}"


@pytest.fixture
def here(far: FarEngine, tmp_path: Path) -> Iterator[Place]:
    """A place whose engine is elsewhere; at the end nothing of it is left there, and what is of others is as it was."""
    place = Place(tmp_path)
    place.environment |= {**far.variables(), "CHAOSKIT_ENGINE_STATE": str(tmp_path / "there")}
    folder = place.root / "shop" / "lab"
    folder.mkdir(parents=True)
    spec = YAML(typ="safe").load((RELAY / "lab.yaml").read_text())
    del spec["nodes"]["kv"]["build"]
    spec["nodes"]["kv"]["image"] = spec["nodes"]["app"]["image"] = SMALL
    (folder / "lab.yaml").write_text(json.dumps(spec))
    (folder / "relay.py").write_text((RELAY / "relay.py").read_text())
    before = machine(far)
    yield place
    left = place.traces()
    if left:
        place.clear()
    assert left == []
    after = machine(far)
    assert {key: value for key, value in after.items() if key != "images"} == {k: v for k, v in before.items() if k != "images"}
    assert [image for image in before["images"] if image not in after["images"]] == []


def run_words(place: Place, **changes: Any) -> list[str | Path]:
    return ["run", place.write("shop/experiment.yaml", **{**SHORT, "lab": "lab", **changes}), "--backend", "docker"]


def test_a_run_goes_there_and_its_report_comes_back(here: Place) -> None:
    ended = here.chaoskit(*run_words(here))
    assert ended.code == 0, ended
    assert "the whole run goes there: tcp://127.0.0.1" in ended.err
    assert "network.partition on" in ended.err
    result = here.result()
    assert result["verdict"] == "passed", ended
    assert [fault["verified"] for fault in result["trials"][0]["faults"]] == [True, True]
    assert result["undo"] == {"owed": 2, "paid": 2, "dirty": []}
    assert (here.run_directory() / "report.html").exists()
    assert (here.reports / "index.html").exists()
    assert f"report: reports/{here.run_directory().name}/report.html" in ended.out
    listed = json.loads(here.chaoskit("history", "--json").out)
    assert [run["name"] for run in listed["runs"]] == [here.run_directory().name]


def test_ctrl_c_heals_there(here: Place) -> None:
    run = here.start(*run_words(here, method=[PARTITION | {"for": "600s"}]))
    run.says("its effect was seen")
    run.signal(signal.SIGINT)
    run.signal(signal.SIGINT)  # whoever is impatient
    ended = run.end()
    assert ended.code == 130, ended
    result = here.result()
    assert (result["verdict"], result["undo"]) == ("unknown", {"owed": 1, "paid": 1, "dirty": []})
    assert "interrupted by SIGINT" in ended.out


def test_killed_here_it_goes_on_there_and_is_fetched(here: Place) -> None:
    run = here.start(*run_words(here, method=[PARTITION]))
    run.says("its effect was seen")
    run.kill()
    early = here.chaoskit("recover")
    assert early.code == 0, early
    assert "left alone: its chaoskit still runs there" in early.out
    assert here.runs() == []
    until(lambda: here.chaoskit("recover").code or here.runs(), "the run's end, and its directory", 60.0)
    assert here.result()["verdict"] == "passed"
    assert (here.reports / "index.html").exists()


def test_killed_there_it_is_recovered_and_fetched(here: Place) -> None:
    run = here.start(*run_words(here, method=[PARTITION | {"for": "600s"}]))
    run.says("its effect was seen")
    words = b"\0run\0" + str(here.root / "shop" / "experiment.yaml").encode()
    (there,) = [pid for pid, said in processes(here.root) if words in said and pid != run.pid]
    os.kill(there, signal.SIGKILL)
    ended = run.end()
    assert ended.code == 4, ended
    assert "chaoskit was killed there" in ended.err
    done = here.chaoskit("recover", "--json")
    assert done.code == 0, done
    (recovered,) = [one for one in json.loads(done.out)["recovered"] if one["incomplete"]]
    assert recovered["subject"] == str(here.run_directory())
    assert here.result()["verdict"] == "unknown"


def test_a_lab_stays_up_there(here: Place) -> None:
    up = here.chaoskit("lab", "up", here.root / "shop" / "lab", "--backend", "docker", "--name", "far")
    assert up.code == 0, up
    assert "far is up" in up.out
    (listed,) = json.loads(here.chaoskit("lab", "status", "--json").out)["labs"]
    assert (listed["lab_id"], listed["owner_alive"]) == ("far", True)
    said = here.chaoskit("lab", "exec", "far", "kv1", "--", "sh", "-c", "cat /etc/hostname; exit 7")
    assert (said.code, said.out) == (7, "kv1\n")
    on = here.chaoskit(*run_words(here, method=[CRASH | {"at": "200ms"}]), "--on", "far")
    assert on.code == 0, on
    down = here.chaoskit("lab", "down", "far")
    assert (down.code, down.out) == (0, "far is gone\n"), down
    assert list(here.reports.glob("*lab-relay*/logs/kv1/relay.log"))


def test_what_it_cannot_do_is_said(here: Place, far: FarEngine) -> None:
    nowhere = here.chaoskit(*run_words(here), variables={"CHAOSKIT_ENGINE_SOCKET": "/nowhere/docker.sock"})
    assert nowhere.code == 3, nowhere
    assert "there is no /nowhere on the engine's machine: say with CHAOSKIT_ENGINE_SOCKET" in nowhere.err
    silent = here.chaoskit(*run_words(here), variables={"CHAOSKIT_ENGINE_SOCKET": f"{far.directory}/other.sock"})
    assert silent.code == 3, silent
    assert "the engine's own socket does not answer on its machine" in silent.err


def ssh_missing() -> str:
    for program in ("sshd", "ssh", "ssh-keygen", "docker"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            return f"{program} is missing: apt-get install openssh-server docker.io"
    try:
        import paramiko  # noqa: F401
    except ImportError:
        return "paramiko is missing: pip install 'docker[ssh]'"
    return ""


@pytest.fixture
def door(far: FarEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An sshd on the loopback, behind which the engine's own socket is; what finds it."""
    if why := ssh_missing():
        pytest.skip(why)
    folder = tmp_path_factory.mktemp("ssh")
    for name in ("host", "client"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "known").write_text(f"* {(folder / 'host.pub').read_text()}")
    port = far.port + 1 if far.port < 65535 else far.port - 1
    (folder / "sshd").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/client.pub\nStrictModes no\n"
        f"PasswordAuthentication no\nPermitRootLogin prohibit-password\nPidFile none\nSetEnv DOCKER_HOST={far.url}\n"
    )
    (folder / "bin").mkdir()
    ssh = folder / "bin" / "ssh"
    ssh.write_text(
        f"#!/bin/sh\nexec {shutil.which('ssh')} -F none -i {folder}/client "
        f'-o UserKnownHostsFile={folder}/known -o BatchMode=yes "$@"\n'
    )
    ssh.chmod(0o755)
    Path("/run/sshd").mkdir(exist_ok=True)
    program = str(shutil.which("sshd", path="/usr/sbin:/usr/bin"))
    sshd = subprocess.Popen([program, "-D", "-e", "-f", folder / "sshd"], stderr=subprocess.DEVNULL)
    try:
        yield {"DOCKER_HOST": f"ssh://root@127.0.0.1:{port}", "PATH": f"{ssh.parent}:{os.environ['PATH']}"}
    finally:
        sshd.terminate()
        sshd.wait()


def test_over_ssh(here: Place, door: dict[str, str]) -> None:
    for name in ("DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        del here.environment[name]
    here.environment |= door
    run = here.start(*run_words(here, method=[PARTITION | {"for": "600s"}]))
    run.says("its effect was seen")
    run.signal(signal.SIGTERM)
    ended = run.end()
    assert "the whole run goes there: ssh://root@127.0.0.1" in ended.err
    assert (ended.code, "interrupted by SIGTERM" in ended.out) == (130, True), ended
    assert here.result()["undo"] == {"owed": 1, "paid": 1, "dirty": []}
