"""Whole runs, and runs that are killed, by a user without any rights."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.backends import plans
from tests.live.families import methods
from tests.live.shop import RELAY, Place
from tests.live.test_killed import SEED, SHORT, all_moments

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root; every other test here is rootless already"),
]

UID = 1000
MOMENTS = 5


def closure(name: str) -> set[str]:
    """A distribution and all that it needs, without its extras."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        if (current := waiting.pop().lower().replace("_", "-")) in found:
            continue
        try:
            needs = metadata.requires(current) or []
        except metadata.PackageNotFoundError:
            continue  # for another system or another Python
        found.add(current)
        waiting += [re.split(r"[ <>=!~;\[(]", need, maxsplit=1)[0] for need in needs if "extra ==" not in need]
    return found


def copy_packages(target: Path) -> None:
    """chaoskit and what it imports, where another user can read it."""
    import chaoskit

    target.mkdir(parents=True)
    ignored = shutil.ignore_patterns("__pycache__", "tests")
    for name in closure("chaoskit"):
        files = metadata.files(name) or []
        base = Path(str(metadata.distribution(name).locate_file(""))).resolve()
        for top in {file.parts[0] for file in files if ".." not in file.parts and not file.is_absolute()}:
            source = base / top
            if source.is_dir() and not (target / top).exists():
                shutil.copytree(source, target / top, ignore=ignored)
            elif source.is_file() and source.suffix == ".py":
                shutil.copy(source, target)
    shutil.rmtree(target / "chaoskit", ignore_errors=True)
    shutil.copytree(Path(chaoskit.__file__).parent, target / "chaoskit", ignore=ignored)


@pytest.fixture(scope="module")
def another_user() -> Iterator[tuple[Path, dict[str, Any]]]:
    """(a directory of that user's, how a Place starts chaoskit as that user)."""
    interpreter = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    if not os.access(interpreter, os.X_OK):
        pytest.skip(f"{interpreter} is missing, and {sys.executable} cannot be executed by another user")
    become = ("setpriv", f"--reuid={UID}", f"--regid={UID}", "--clear-groups", "--")
    if subprocess.run([*become, "unshare", "--user", "--map-root-user", "--net", "true"], check=False).returncode != 0:
        pytest.skip("an unprivileged user may not make namespaces here")
    top = Path("/var/tmp") / f"chaoskit-rootless-live-{os.getpid()}"
    try:
        copy_packages(top / "packages")
        shutil.copytree(RELAY, top / "relay")
        (top / "home").mkdir()
        os.chown(top / "home", UID, UID)
        environment = {"HOME": str(top / "home"), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "PYTHONPATH": str(top / "packages")}
        yield top, {"python": (*become, interpreter, "-B"), "environment": environment, "uid": UID}
    finally:
        shutil.rmtree(top)


def test_a_whole_run(another_user: tuple[Path, dict[str, Any]]) -> None:
    top, options = another_user
    place = Place(top / "home" / "whole-run", **options)
    ended = place.chaoskit("run", place.write(lab=str(top / "relay")))
    assert ended.code == 0, ended
    result = place.result()
    assert (result["verdict"], result["undo"]["dirty"]) == ("passed", [])
    assert result["environment"]["user"] == "unprivileged"
    assert "rootless" in result["lab"]["mode"]
    assert place.traces() == []


DIRECT = {"class": "direct", "target": "kv1", "rate": "5/s", "deadline": "900ms"}
INSIDERS = {
    "disk": {"type": "file", "operation": "append", "folder": "/data"},
    "inside": {"type": "command", "operation": "run", "runs": "inside", "command": ["hostname"]},
    "beside": {"type": "command", "operation": "run", "command": ["echo", "{node} at {address}"]},
    "ping": {"type": "icmp", "operation": "echo"},
    "mine": {"type": "python", "operation": "call", "call": "counting:count"},
}


def test_clients_that_enter_their_node(another_user: tuple[Path, dict[str, Any]]) -> None:
    top, options = another_user
    place = Place(top / "home" / "insiders", **options)
    (place.root / "counting.py").write_text("def count(call):\n    return call.node\n")
    file = place.write(
        lab=str(top / "relay"),
        clients={name: DIRECT | given for name, given in INSIDERS.items()},
        **{"steady-state-hypothesis": None},
        method=[{"inject": "node.power_off", "target": {"node": "kv1"}, "at": "500ms", "for": "2s"}],
        objectives={"rpo": {"writes": 0}},
    )
    ended = place.chaoskit("run", file)
    assert ended.code == 0, ended
    with sqlite3.connect(f"file:{place.run_directory() / 'samples.sqlite'}?mode=ro", uri=True) as database:
        asked = "SELECT client, outcome, certainty, count(*) FROM samples GROUP BY 1, 2, 3"
        found = {(name, outcome, certainty): count for name, outcome, certainty, count in database.execute(asked)}
        values = dict(database.execute("SELECT DISTINCT client, value FROM samples WHERE outcome = 'ok' AND value IS NOT NULL"))
    assert all(found[name, "ok", "ok"] >= 15 for name in INSIDERS), found
    assert {name for name, outcome, _ in found if outcome not in ("ok", "degraded")} == {"disk", "inside", "ping"}, found
    assert found["disk", "unreachable", "fail"] > 2
    assert found["inside", "unreachable", "fail"] > 2
    assert (values["inside"], values["mine"]) == ("kv1", "kv1")
    assert values["beside"].startswith("kv1 at ")
    assert place.traces() == []


FILE = "/etc/hosts"
WEB = {"process": {"service": "web"}}
FAULTS: dict[str, dict[str, Any]] = {
    "file.change": {"path": FILE, "delete_line": "n1"},
    "file.delete": {"path": FILE},
    "service.stop": {"service": "web"},
    "process.kill": WEB,
    "process.hang": WEB,
    "process.crash_loop": WEB,
    "resource.cpu": {"workers": 1, "share": "50%"},
    "resource.memory": {"allocate": "16MiB"},
    "resource.descriptors": WEB,
    "resource.disk_bandwidth": {"volume": "data", "size": "2MiB"},
}


def test_faults_of_files_services_processes_and_loads(another_user: tuple[Path, dict[str, Any]]) -> None:
    top, options = another_user
    home = top / "home" / "faults"
    home.mkdir()
    shutil.copy(Path(__file__).with_name("rootless_faults.py"), home)
    interpreter = options["python"][-2]
    argv = (interpreter, "-m", "http.server", "8000", "--bind", "0.0.0.0")
    web = plans.web(argv=argv, user="root")
    nodes = [plans.node(f"n{n}", n, services=(web,), volumes=plans.volume()) for n in range(2)]
    (home / "plan.json").write_text(plans.plan(*nodes).model_dump_json())
    (home / "faults.json").write_text(json.dumps(FAULTS))
    os.chown(home, UID, UID)
    ended = subprocess.run(
        [*options["python"], "rootless_faults.py", "plan.json", "faults.json"],
        cwd=home,
        env={**options["environment"], "CHAOSKIT_STATE": str(home / "state")},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found = json.loads(ended.stdout)
    assert found.keys() == FAULTS.keys()
    wrong = {
        name: what
        for name, what in found.items()
        if {key: what.get(key) for key in ("before", "in_force", "gone", "again")}
        != {"before": False, "in_force": True, "gone": True, "again": True}
    }
    assert wrong == {}, json.dumps(wrong, indent=1)
    assert list((home / "state" / "labs").iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_at_any_moment(another_user: tuple[Path, dict[str, Any]]) -> None:
    top, options = another_user
    surveyed = json.loads(Place(top / "home" / "asked", **options).chaoskit("doctor", "--json").out)
    present = {c["name"] for c in surveyed["backends"]["namespace"]["capabilities"] if c["present"]}
    drawn = methods(SEED, present.__contains__)
    all_moments(top / "home" / "killed", MOMENTS, {**SHORT, "lab": str(top / "relay")}, drawn, **options)
