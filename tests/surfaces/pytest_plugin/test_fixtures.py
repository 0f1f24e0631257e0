"""Marks and fixtures in a project's test functions."""

from __future__ import annotations

import pytest

from tests.surfaces.pytest_plugin.conftest import Project

pytestmark = pytest.mark.slow

CLIENT = 'experiment.client("orders", type="postgres", operation="append", rate="20/s", deadline="500ms", endpoint="write")'


def test_a_marked_test_fails_with_its_experiment_whatever_its_body_says(project: Project) -> None:
    project.experiment("passes.yaml")
    project.experiment("misses.yaml", objectives={"rto": "<= 1s"})
    project.experiment("nothing.yaml", objectives={})
    project.tests(
        """
        import pytest

        @pytest.mark.chaos("passes.yaml")
        def test_passes():
            pass

        @pytest.mark.chaos("misses.yaml")
        def test_misses():
            pass

        @pytest.mark.chaos("misses.yaml", judge=False)
        def test_judges_itself(chaos_result):
            assert chaos_result.verdict == "failed"
            assert not chaos_result.passed
            assert chaos_result.rto.high < 4
            assert chaos_result.rpo.lost == 0

        @pytest.mark.chaos("nothing.yaml")
        def test_states_nothing_and_asserts(chaos_result):
            assert chaos_result.rto <= 1

        def test_no_mark(chaos_result):
            pass
        """
    )
    ended = project.run("-v")
    ended.assert_outcomes(passed=2, failed=2, errors=1)
    ended.stdout.fnmatch_lines(
        [
            "*::test_misses FAILED*",
            "*::test_states_nothing_and_asserts FAILED*",
            "*::test_no_mark ERROR*",
            "*the fixture chaos_result belongs to a test with @pytest.mark.chaos*",
            "FAILED  The primary loses power",
            "  MISSED  rto orders <= 1s: 3.0* s (2.* s to 3.* s)",
            ">*assert chaos_result.rto <= 1",
            "E *assert rto of orders <= 1 is not so: 3.0* s (2.* s to 3.* s)",
            "E *point: * s; bounds: 2.* s to 3.* s; samples: *",
            "E *gates: * of * met",
            "E *report: *report.html",
        ]
    )


def test_an_unknown_figure_is_an_error_and_never_a_pass(project: Project) -> None:
    project.misbehave(deaf=["power_off"])
    project.experiment(objectives={})
    project.configure("chaos_files = none")
    project.tests(
        """
        def test_unknown(chaos_run):
            result = chaos_run("power.chaos.yaml")
            assert result.rto <= 1000

        def test_not_unknown_either(chaos_run):
            assert not chaos_run("power.chaos.yaml").rto <= 1000

        def test_wrong(chaos_run):
            chaos_run("nowhere.yaml")
        """
    )
    ended = project.run("--junitxml=junit.xml")
    ended.assert_outcomes(errors=3)
    ended.stdout.fnmatch_lines(["*ERROR at call of test_unknown*", "E*rto of orders <= 1000s is unknown*", "E*no evidence that*"])
    text = (project.root / "junit.xml").read_text()
    assert (text.count("<error"), text.count("<failure")) == (3, 0)


def test_experiments_from_python_by_the_clock_and_by_hand(project: Project) -> None:
    project.misbehave(pace=20)
    project.tests(
        f"""
        def build(chaos):
            experiment = chaos.experiment("lab", baseline="5s", recovery="30s")
            {CLIENT}
            return experiment

        def test_clock(chaos):
            experiment = build(chaos)
            experiment.promise(rto="<= 10s")
            experiment.fault("node.power_off", role="primary", at="2s", lasting="5s")
            result = experiment.run()
            assert result.passed
            assert result.result.experiment.title == "test_clock"

        def test_hand(chaos):
            experiment = build(chaos)
            power_off = experiment.fault("node.power_off", role="primary")
            with experiment.running() as run:
                with run.inject(power_off):
                    assert run.wait_for("role.changed", role="primary", state="yes").data["node"] == "db2"
            assert run.result.rto <= "1s"
        """
    )
    ended = project.run("--junitxml=junit.xml", "-v")
    ended.assert_outcomes(passed=1, failed=1)
    ended.stdout.fnmatch_lines(["*test_clock PASSED*", "E *assert rto of orders <= 1s is not so*"])
    text = (project.root / "junit.xml").read_text()
    assert text.count('name="chaos.verdict"') == 2
    assert project.all_are_down()


LABS = """
    import pytest
    from chaoskit.pytest import lab_fixture

    pytestmark = pytest.mark.chaos_lab("lab")
    wide = lab_fixture("lab", scope="session")
    named = lab_fixture("lab", scope="function", name="cluster")

    def test_one(chaos_lab):
        assert chaos_lab.nodes == ("db1", "db2", "db3", "app")
        test_one.id = chaos_lab.id

    def test_same(chaos_lab, wide):
        assert chaos_lab.id == test_one.id
        assert wide.id != chaos_lab.id
        raise ZeroDivisionError

    def test_function_scope(cluster, chaos_lab_factory):
        assert chaos_lab_factory("lab").id != cluster.id
"""


def test_labs_live_as_long_as_their_scope_and_are_ended_whatever_happens(project: Project) -> None:
    project.tests(LABS)
    project.run().assert_outcomes(passed=2, failed=1)
    assert sum("up" in told for told in project.labs()) == 4
    assert project.all_are_down()


def test_the_scope_and_the_lab_may_stand_in_the_configuration(project: Project) -> None:
    project.configure("chaos_lab = lab", "chaos_lab_scope = function")
    project.tests(
        """
        ids = set()

        def test_one(chaos_lab):
            ids.add(chaos_lab.id)

        def test_two(chaos_lab):
            assert chaos_lab.id not in ids
        """
    )
    project.run().assert_outcomes(passed=2)
    assert project.all_are_down()
    project.configure()
    ended = project.run()
    ended.assert_outcomes(errors=2)
    ended.stdout.fnmatch_lines(["*the fixture chaos_lab needs a lab: mark the module*"])


def test_labs_stay_up_where_that_was_asked_for_and_are_told(project: Project) -> None:
    project.configure("chaos_lab = lab")
    project.experiment()
    project.tests("def test_lab(chaos_lab): pass")
    ended = project.run("--chaos-keep-lab")
    ended.assert_outcomes(passed=2)
    kept = [told["up"] for told in project.labs() if told.get("detached")]
    assert len(kept) == 2
    for lab_id in kept:
        ended.stdout.fnmatch_lines([f"*The lab {lab_id} stays up: *chaoskit lab down {lab_id}"])
    assert not [told for told in project.labs() if "down" in told]
