"""However a test run ends, labs are gone and faults are healed; and other plugins that end or repeat tests are at home here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from xml.etree import ElementTree as ET

import pytest

from tests.surfaces.pytest_plugin.conftest import Project

pytestmark = pytest.mark.slow

LONG = [{"inject": "node.power_off", "target": {"role": "primary"}, "at": "2s", "for": "10min"}]
WITHIN_S = 60.0


def until(question: Callable[[], object], what: str, within_s: float = WITHIN_S) -> None:
    deadline = time.monotonic() + within_s
    while not question():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.05)


def in_force(project: Project) -> bool:
    """Whether a fault bites in a run that goes on."""
    return any("fault.effect" in file.read_text() for file in project.root.glob("reports/*/events.jsonl"))


def healed(project: Project) -> bool:
    """Every lab is down with nothing broken in it, and the run was judged."""
    return project.all_are_down() and all(r["undo"]["owed"] == r["undo"]["paid"] for r in project.results())


def start(project: Project, *words: str) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "pytest", *words]
    return subprocess.Popen(argv, cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)


@pytest.mark.parametrize("workers", [(), ("-n", "1")])
def test_ctrl_c_heals_before_it_ends(project: Project, workers: tuple[str, ...]) -> None:
    project.misbehave(pace=10)
    project.experiment(method=LONG)
    project.configure("chaos_lab = lab", "chaos_lab_scope = session")
    project.tests("def test_first(chaos_lab): pass", name="aaa_test")
    project.configure("chaos_lab = lab", "chaos_lab_scope = session", "python_files = aaa_test.py")
    running = start(project, *workers)
    until(lambda: in_force(project) or running.poll() is not None, "the fault is in force")
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does it: workers get it as well
    said, _ = running.communicate(timeout=WITHIN_S)
    assert running.returncode == pytest.ExitCode.INTERRUPTED, said.decode()
    until(lambda: healed(project), f"healed: {project.labs()}\n{said.decode()}")
    assert sum("up" in told for told in project.labs()) == 2


def test_the_first_failure_ends_it_and_what_it_held_as_well(project: Project) -> None:
    project.experiment("zzz.chaos.yaml")
    project.configure("chaos_lab = lab", "chaos_lab_scope = session")
    project.tests("def test_fails(chaos_lab): raise ZeroDivisionError", name="test_aaa")
    ended = project.process("-x", "test_aaa.py", "zzz.chaos.yaml")
    ended.assert_outcomes(failed=1)
    assert project.all_are_down()
    assert project.results() == [], "nothing was run after it"


@pytest.mark.parametrize("method", ["signal", "thread"])
def test_a_timeout_ends_the_test_and_not_the_healing(project: Project, method: str) -> None:
    """The method `thread` kills pytest itself; the run's own process heals and judges all the same."""
    project.misbehave(pace=5)
    project.experiment(method=LONG)
    ended = project.process("--timeout=12", f"--timeout-method={method}")
    assert ended.ret != 0
    until(lambda: healed(project) and project.results(), f"healed: {project.labs()}\n{ended.outlines}")
    if method == "signal":
        ended.assert_outcomes(errors=1)
        ended.stdout.fnmatch_lines(["*Timeout*12*"])
    (result,) = project.results()
    assert result["verdict"] == "unknown"
    assert [fault["gone"] for trial in result["trials"] for fault in trial["faults"]] in ([True], [])


def test_a_test_that_is_repeated_runs_its_experiment_again_and_tells_the_last(project: Project) -> None:
    project.experiment("misses.chaos.yaml", objectives={"rto": "<= 1s"})
    project.experiment("passes.yaml")
    project.tests(
        """
        import pytest

        attempts = []

        @pytest.mark.flaky(reruns=2)
        @pytest.mark.chaos("passes.yaml")
        def test_flaky(chaos_result):
            attempts.append(chaos_result.result.run_id)
            assert len(attempts) == 2
        """
    )
    ended = project.process("--reruns=1", "--junitxml=junit.xml")
    assert ended.parseoutcomes() == {"passed": 1, "failed": 1, "rerun": 2}
    assert len(project.results()) == 4
    for case in ET.parse(project.root / "junit.xml").iter("testcase"):
        told = [p.attrib["value"] for p in case.iter("property") if p.attrib["name"] == "chaos.run_id"]
        assert len(told) == 1, "the run of the last attempt alone"
    assert project.all_are_down()


def test_workers_take_turns_and_their_labs_never_meet(project: Project) -> None:
    project.misbehave(pace=40)
    for name in "abcd":
        project.experiment(f"{name}.chaos.yaml")
    ended = project.process("-n", "2", "--junitxml=junit.xml", "--chaos-summary=summary.md")
    ended.assert_outcomes(passed=4)
    ended.stdout.fnmatch_lines(["*chaos experiments*", "passed *"])
    assert project.all_are_down()
    ups = [told["up"] for told in project.labs() if "up" in told]
    assert len(set(ups)) == 4
    order = ["up" if "up" in told else "down" for told in project.labs()]
    assert order == ["up", "down"] * 4, "one after another, though two workers would have had time"
    assert (project.root / "summary.md").read_text().count("passed") == 5
    told = [p.attrib["name"] for p in ET.parse(project.root / "junit.xml").iter("property")]
    assert told.count("chaos.rto.high_s") == 4


def test_as_many_at_once_as_the_project_says(project: Project) -> None:
    project.misbehave(pace=10)
    project.configure("chaos_at_once = 0")
    for name in "ab":
        project.experiment(f"{name}.chaos.yaml")
    project.process("-n", "2").assert_outcomes(passed=2)
    assert [("up" if "up" in told else "down") for told in project.labs()] == ["up", "up", "down", "down"]


def test_a_worker_that_is_killed_leaves_nothing_broken(project: Project) -> None:
    project.misbehave(pace=10)
    project.experiment(method=LONG)
    project.tests("import os, pathlib; pathlib.Path(f'worker-{os.getpid()}').touch()", name="conftest")
    running = start(project, "-n", "1", "--max-worker-restart=0")
    until(lambda: in_force(project) or running.poll() is not None, "the fault is in force")
    pids = {int(file.name.partition("-")[2]) for file in project.root.glob("worker-*")} - {running.pid}
    assert len(pids) == 1
    subprocess.run(["kill", "-9", str(pids.pop())], check=True)
    running.communicate(timeout=WITHIN_S)
    assert running.returncode != 0
    until(lambda: healed(project) and project.results(), f"healed: {project.labs()}")
