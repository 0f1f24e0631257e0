"""A watcher of an installed package in its process: told what it needs, heard, ended, and missed when it ends by itself."""

import json
import os
import subprocess
import sys
import time

import pytest

PACKAGE = {
    "acme_watch.py": """
import asyncio, time
from chaoskit.model.record import Record
from chaoskit.ports.watcher import Observed
class Options(Record):
    fails: bool = False
class Beacon:
    TYPE, Options = "beacon", Options
    def __init__(self, config, tell):
        self.config, self.tell = config, tell
    async def watch(self):
        now = time.monotonic_ns()
        self.tell(Observed(what="detected", node=",".join(self.config.nodes), between_ns=(now - 5, now)))
        if self.config.options.get("fails"):
            raise RuntimeError("the monitoring system is gone")
        await asyncio.sleep(60)
""",
    "acme_watch-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: acme-watch\nVersion: 1\n",
    "acme_watch-1.dist-info/entry_points.txt": "[chaoskit.watchers]\nbeacon = acme_watch:Beacon\n",
}


@pytest.fixture
def installed(tmp_path):
    for name, text in PACKAGE.items():
        file = tmp_path / "site" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return {**os.environ, "PYTHONPATH": f"{tmp_path / 'site'}:{os.environ.get('PYTHONPATH', '')}"}


def started(tmp_path, env, kind="beacon", **options):
    given = {"name": "b", "type": kind, "trial": 0, "nodes": {"db1": "198.18.0.11"}, "options": options}
    file = tmp_path / "config.json"
    file.write_text(json.dumps(given))
    argv = [sys.executable, "-m", "chaoskit.watchers.run", kind, str(file)]
    return subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_it_sees_is_told_and_stop_ends_it(tmp_path, installed):
    process = started(tmp_path, installed)
    said = json.loads(process.stdout.readline())
    assert (said["kind"], said["what"], said["node"]) == ("observed", "detected", "db1")
    assert said["between_ns"][0] < said["between_ns"][1] <= time.monotonic_ns()
    _, errors = process.communicate("stop\n", timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_one_that_ends_by_itself_says_why_with_exit_3(tmp_path, installed):
    process = started(tmp_path, installed, fails=True)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 3
    assert "RuntimeError: the monitoring system is gone" in errors


def test_a_watcher_that_is_not_installed_is_2_with_the_names_there_are(tmp_path):
    process = started(tmp_path, dict(os.environ), kind="pulse")
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "unknown watcher" in errors
    assert "role" in errors
