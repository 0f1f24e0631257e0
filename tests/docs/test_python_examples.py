"""The Python on the pages about Python and pytest is executed as it stands, on the simulated lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.blocks import examples
from tests.simulated import entry_point
from tests.simulated.plans import experiment

pytestmark = pytest.mark.slow


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """With a lab of the simulated backend, and an experiment."""
    for name, value in entry_point.installed_in(tmp_path / "installed").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(entry_point.KNOBS, json.dumps({"pace": 20}))
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "lab.yaml").write_text(json.dumps(entry_point.LAB | {"backend": "simulated"}))
    for name in ("experiment.yaml", "power.yaml"):
        (tmp_path / name).write_text(json.dumps(experiment(baseline="5s") | {"lab": "lab"}))
    return tmp_path


def finished(folder: Path, *words: str) -> str:
    """What a process said that has to end well."""
    ended = subprocess.run(
        [sys.executable, *words], cwd=folder, capture_output=True, text=True, timeout=110, check=False, env=os.environ
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("name", ["file", "built", "by_hand", "lab"])
def test_the_python_runs(folder: Path, name: str) -> None:
    (text,) = examples("docs/python-api.md", name).values()
    (folder / "example.py").write_text(text)
    said = finished(folder, "example.py")
    assert {"file": "passed", "built": "", "by_hand": "report.html", "lab": "db1"}[name] in said
    told = entry_point.told(os.environ)
    assert sum("up" in line for line in told) == sum("down" in line for line in told) > 0


@pytest.mark.parametrize(("name", "tests"), [("marked", 2), ("labs", 2)])
def test_the_tests_run(folder: Path, name: str, tests: int) -> None:
    for file, text in examples("docs/pytest.md", name).items():
        (folder / file).write_text(text)
    said = finished(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider")
    assert f"{tests} passed" in said
