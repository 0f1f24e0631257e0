"""A real run, kept as it was recorded: measured, judged and rendered again anywhere, it gives the same bytes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from chaoskit.surfaces.worked_example import RECORDED, worked_example
from tests.docs.blocks import ROOT

MADE = ("measures.json", "result.json", "report.html", "report.md", "junit.xml")


def again(place: Path, command: str, *, seed: str) -> dict[str, bytes]:
    """A copy of the run, measured or reported by a process of its own, in another time zone and with another hash seed."""
    run = place / "copy"
    shutil.copytree(ROOT / RECORDED, run)
    env = {**os.environ, "PYTHONHASHSEED": seed, "TZ": "Pacific/Auckland" if int(seed) % 2 else "America/Lima", "LC_ALL": "C"}
    argv = [sys.executable, "-m", "chaoskit.surfaces.cli", command, str(run)]
    ended = subprocess.run(argv, capture_output=True, text=True, env=env, check=False, cwd=place)
    assert ended.returncode in (0, 1, 3), ended.stdout + ended.stderr
    return {name: (run / name).read_bytes() for name in MADE if (run / name).is_file()}


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return again(tmp_path_factory.mktemp("a"), "report", seed="1")


def test_reporting_it_twice_gives_the_same_bytes(reported: dict[str, bytes], tmp_path: Path) -> None:
    assert set(reported) == set(MADE)
    other = again(tmp_path, "report", seed="2")
    assert {name: other[name] == reported[name] for name in MADE} == dict.fromkeys(MADE, True)


def test_measuring_it_gives_what_the_report_was_made_of(reported: dict[str, bytes], tmp_path: Path) -> None:
    assert again(tmp_path, "measure", seed="4")["measures.json"] == reported["measures.json"]


def test_the_worked_example_of_the_documentation_is_this_run() -> None:
    page = (ROOT / "docs/measurement.md").read_text(encoding="utf-8")
    assert worked_example(ROOT / RECORDED) in page, "run `make docs`"
