"""The sample project as its users have it, run by the script lines of the CI examples; and what a killed pytest leaves."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from ruamel.yaml import YAML

from tests.live.shop import Place, until

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "../../.venv/bin/python"


def said(name: str) -> Any:
    return YAML(typ="safe").load((ROOT / "examples/ci" / name).read_text(encoding="utf-8"))


def steps() -> dict[str, dict[str, Any]]:
    """Name -> step of the GitHub job."""
    job = said("github-actions.yaml")["jobs"]["failover"]
    return {step.get("name", step.get("uses")): step for step in job["steps"]}


def test_the_jobs_install_and_run_the_same_and_keep_what_it_writes() -> None:
    github, gitlab = steps(), said("gitlab-ci.yaml")["failover"]
    assert said("github-actions.yaml")[True if True in said("github-actions.yaml") else "on"] == ["push", "pull_request"]
    folder = github["Break it"]["working-directory"]
    assert gitlab["script"][0] == f"cd {folder}"
    assert (ROOT / folder / "pyproject.toml").is_file()
    words = github["Break it"]["run"].split()
    assert gitlab["script"][1].split() == [w.replace('"$GITHUB_STEP_SUMMARY"', "summary.md") for w in words]
    installing = github["Install"]["run"].splitlines()
    assert [line.replace("python3 ", "python ") for line in gitlab["before_script"]] == installing
    assert f"{folder}/junit.xml" in github["Keep the reports"]["with"]["path"]
    assert gitlab["artifacts"]["reports"]["junit"] == f"{folder}/junit.xml"


@pytest.fixture
def project(place: Place) -> Path:
    """A copy of the project in a place of its own."""
    place.environment.pop("PYTEST_ADDOPTS", None)
    return Path(shutil.copytree(ROOT / "examples/downstream", place.root / "downstream"))


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_line_of_the_job_passes(place: Place, project: Path) -> None:
    line = steps()["Break it"]["run"].replace(PYTHON, sys.executable)
    summary = place.root / "summary.md"
    variables = {**place.variables(), "GITHUB_STEP_SUMMARY": str(summary)}
    ended = subprocess.run(
        ["sh", "-ec", line], cwd=project, env=variables, capture_output=True, text=True, timeout=280, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "4 passed" in ended.stdout
    cases = {case.attrib["name"]: case for case in ET.parse(project / "junit.xml").iter("testcase")}
    for name in ("server-crashes", "test_visitors_are_back_within_two_seconds", "test_one_server_is_enough"):
        told = {p.attrib["name"]: p.attrib["value"] for p in cases[name].iter("property")}
        assert float(told["chaos.rto.high_s"]) <= 2
        assert (project / told["chaos.report"]).is_file()
    assert "## Chaos experiments: 3 passed" in summary.read_text()
    until(lambda: place.traces() == [], f"nothing is left: {place.traces()}", 30)


HANGS = """
import time

def test_hangs(chaos, chaos_lab):
    experiment = chaos.experiment(chaos_lab, baseline="1s", recovery="10s")
    experiment.client("visitors", type="http", operation="get", rate="20/s", deadline="500ms", endpoint="web")
    crash = experiment.fault("node.crash", node="web2")
    with experiment.running() as run:
        with run.inject(crash):
            open("in-force", "w").close()
            time.sleep(600)
"""


@pytest.mark.lab
@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_pytest_that_kills_itself_leaves_nothing(place: Place, project: Path) -> None:
    """The method `thread` of pytest-timeout ends the process at once: its lab, and the run on it, end by themselves.

    The record of a lab whose owner died stays until somebody recovers it.
    """
    test = project / "tests" / "test_pages.py"
    test.write_text(HANGS)
    argv = [sys.executable, "-m", "pytest", str(test), "--timeout=25", "--timeout-method=thread", "-p", "no:cacheprovider"]
    ended = subprocess.run(argv, cwd=project, env=place.variables(), capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 1, ended.stdout
    assert (project / "in-force").exists(), ended.stdout + ended.stderr
    records = f"file {place.state / 'labs'}"
    until(lambda: all(trace.startswith(records) for trace in place.traces()), "its lab and its run are gone", 60)
    recovered = place.chaoskit("recover", project / "reports")
    assert recovered.code == 0, recovered
    assert place.traces() == []
    (run,) = project.glob("reports/*/result.json")
    assert '"verdict": "unknown"' in run.read_text()
