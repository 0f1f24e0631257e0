"""Experiment files as tests: what is collected, and which verdict is which outcome."""

from __future__ import annotations

import json
from xml.etree import ElementTree as ET

import pytest

from tests.surfaces.pytest_plugin.conftest import Project

HELD = [{"inject": "node.power_off", "target": {"role": "primary"}, "at": "2s", "for": "20s"}]


def test_nothing_of_ours_is_imported_before_it_is_used(project: Project) -> None:
    project.tests(
        """
        import sys

        def test_it():
            ours = {name for name in sys.modules if name.startswith("chaoskit")}
            assert ours <= {
                "chaoskit", "chaoskit.surfaces", "chaoskit.surfaces.pytest_plugin", "chaoskit.surfaces.pytest_plugin.plugin"
            }
            assert "pydantic" not in sys.modules
        """
    )
    ended = project.process("-q")
    ended.assert_outcomes(passed=1)
    ended.stdout.no_fnmatch_line("*chaos*")


def test_each_verdict_is_an_outcome_of_its_own(project: Project) -> None:
    project.experiment("passes.chaos.yaml")
    project.experiment("misses.chaos.yaml", objectives={"rto": "<= 1s"})
    project.experiment("states_nothing.chaos.yaml", objectives={})
    project.experiment("wrong.chaos.yaml", recovery="3parsecs")
    ended = project.run("--junitxml=junit.xml", "--chaos-summary=made/summary.md", "-rA", "--chaos-seed=11", "--chaos-repeat=2")
    ended.assert_outcomes(passed=1, failed=1, errors=2)
    ended.stdout.fnmatch_lines(
        [
            "*ERROR at setup of experiment states_nothing*",
            "*no objective was stated*",
            "*ERROR at setup of experiment wrong*",
            "wrong.chaos.yaml:1:*: recovery: unknown unit 'parsecs'*",
            "*experiment misses*",
            "  MISSED  rto orders <= 1s:*met in 0 of 2 trials*",
            "  report: *report.html",
            "*chaos experiments*",
            "failed *The primary loses power: rto 3.0* s (2.* s to 3.* s); lost none of *",
        ]
    )
    assert [result["seed"] for result in project.results()] == [11, 11, 11]
    assert {len(result["trials"]) for result in project.results()} == {2}
    assert project.all_are_down()
    cases = {case.attrib["name"]: case for case in ET.parse(project.root / "junit.xml").iter("testcase")}
    assert {name: [child.tag for child in case if child.tag in ("failure", "error")] for name, case in cases.items()} == {
        "passes": [], "misses": ["failure"], "states_nothing": ["error"], "wrong": ["error"],
    }  # fmt: skip
    said = {p.attrib["name"]: p.attrib["value"] for p in cases["passes"].iter("property")}
    assert (said["chaos.verdict"], said["chaos.trials"]) == ("passed", "2")
    assert float(said["chaos.orders.rto.low_s"]) <= 3 <= float(said["chaos.orders.rto.high_s"])
    assert float(said["chaos.rpo.lost.point"]) == 0
    assert (project.root / said["chaos.report"]).is_file()
    summary = (project.root / "made/summary.md").read_text()
    assert "## Chaos experiments: 1 passed, 1 failed, 1 unknown" in summary
    assert summary.count("| ") >= 4
    assert said["chaos.report"] in summary


@pytest.mark.slow
def test_a_title_cannot_become_markup_in_the_summary(project: Project) -> None:
    project.experiment(title="a | b <script>x</script> [y](http://z) @everybody", objectives={"rto": "<= 10s"})
    ended = project.run("--chaos-summary=summary.md", "--junitxml=junit.xml")
    ended.assert_outcomes(passed=1)
    (row,) = [line for line in (project.root / "summary.md").read_text().splitlines() if "script" in line]
    assert "<script" not in row.replace("\\<", "")
    assert row.replace("\\|", "").count("|") == 6
    assert "[y](http" not in row
    ET.parse(project.root / "junit.xml")


@pytest.mark.slow
def test_what_cannot_run_here_is_skipped_with_the_reason_unless_it_must_run(project: Project) -> None:
    project.misbehave(lacks=["node.power"])
    project.experiment()
    ended = project.run("-rs")
    ended.assert_outcomes(skipped=1)
    ended.stdout.fnmatch_lines(["SKIPPED*power.chaos.yaml*: cannot run here*node.power*this simulated machine has it not*"])
    ended = project.run("--chaos-strict")
    ended.assert_outcomes(errors=1)
    ended.stdout.fnmatch_lines(["*node.power*this simulated machine has it not*"])
    assert project.labs() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"never_up": "the switch is on fire"}, "*the switch is on fire*"),
        ({"deaf": ["power_off"]}, "*no evidence that*"),
        ({"failing": ["power_on"]}, "*something is still broken, try `chaoskit recover`*"),
    ],
)
def test_what_kept_it_from_being_known_is_an_error(project: Project, knobs: dict[str, object], words: str) -> None:
    project.misbehave(**knobs)
    project.experiment(method=HELD)
    ended = project.run()
    ended.assert_outcomes(errors=1)
    ended.stdout.fnmatch_lines([words])


@pytest.mark.slow
def test_a_dry_run_plans_everything_and_starts_nothing(project: Project) -> None:
    project.experiment()
    project.experiment("wrong.chaos.yaml", method=[{"inject": "node.power_of", "target": {"all": True}}])
    project.tests(
        """
        import pytest

        @pytest.mark.chaos("power.chaos.yaml")
        def test_marked():
            pass

        def test_python(chaos):
            experiment = chaos.experiment("lab")
            experiment.client("orders", type="postgres", operation="read", rate="20/s", endpoint="write")
            experiment.fault("node.power_off", role="primary", lasting="2s")
            experiment.run()

        def test_lab(chaos_lab_factory):
            chaos_lab_factory("lab")
        """
    )
    ended = project.run("--chaos-dry-run", "-rs")
    ended.assert_outcomes(skipped=4, errors=1)
    ended.stdout.fnmatch_lines(["*did you mean 'node.power_off'?*", "SKIPPED*dry run: planned 'The primary loses power'*"])
    assert project.labs() == []
    assert not (project.root / "reports").exists() or project.results() == []


@pytest.mark.slow
def test_which_files_are_experiments_is_for_the_project_to_say(project: Project) -> None:
    project.experiment("experiments/deep/power.yaml")
    project.experiment("power.chaos.yaml")
    project.experiment("other.yaml")
    project.configure("chaos_files = experiments/*/*.yaml", "chaos_reports = made/here")
    ended = project.run("--collect-only", "-q")
    ended.stdout.fnmatch_lines(["experiments/deep/power.yaml::power", "*1 test collected*"])
    project.run().assert_outcomes(passed=1)
    assert [
        result["verdict"] for result in map(json.loads, (p.read_text() for p in project.root.glob("made/here/*/result.json")))
    ]
    project.run("--chaos-reports", "there", "-m", "chaos").assert_outcomes(passed=1)
    assert list(project.root.glob("there/*/report.html"))


@pytest.mark.slow
def test_options_of_the_command_line_outrank_the_mark(project: Project) -> None:
    project.experiment()
    project.tests(
        """
        import pytest

        @pytest.mark.chaos("power.chaos.yaml", repeat=2, seed=3, backend="simulated", set={"baseline": "2s"})
        def test_it(chaos_result):
            assert chaos_result.result.seed == 4
            assert len(chaos_result.trials) == 2
            assert chaos_result.trials[0].figures.baseline_s < 3
        """
    )
    project.configure("chaos_backend = namespace")
    project.run("-k", "test_it", "--chaos-seed=4").assert_outcomes(passed=1)
    project.run("-k", "test_it", "--chaos-backend=elsewhere").assert_outcomes(errors=1)
