"""Experiments from Python, on the simulated lab, each in a process of its own as programs have it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chaoskit import api
from chaoskit.engine.loading import load
from chaoskit.surfaces.python.conductor import Conductor
from tests.simulated.plans import ORDERS
from tests.surfaces.python.conftest import Place

pytestmark = pytest.mark.slow


def power_off(place: Place, **fields: Any) -> api.Experiment:
    """The primary loses power; one client; not by the clock yet."""
    made = api.Experiment("The primary loses power", place.lab, **{"baseline": "5s", "recovery": "30s", **fields})
    made.options = place.options
    made.client("orders", **ORDERS)
    made.promise(rto="<= 10s", rpo={"writes": 0})
    return made


def test_by_the_clock_it_goes_the_same_way_as_a_file(place: Place) -> None:
    experiment = power_off(place, tags=["failover"])
    experiment.fault("node.power_off", role="primary", at="2s", lasting="20s")
    result = experiment.run()
    assert result.passed
    assert result.rto <= 10
    assert result.rto >= 2
    assert result.rto.trial == 0
    assert result.clients["orders"].rto.low == result.trials[0].clients["orders"].rto.low == result.rto.low
    assert result.clients["orders"].availability >= "50%"
    assert result.rpo.lost == 0
    assert result.rpo.acknowledged > 100
    assert result.flaps == 0
    assert result.report is not None
    assert result.report.is_file()
    assert result.result.experiment.tags == ("failover",)
    recorded = result.directory / "experiment.yaml"
    assert load(recorded).experiment.clients["orders"].endpoint == "write", "what was run can be run again from its record"
    again = api.read(result.directory)
    assert (again.verdict, again.rto.high, again.report) == (result.verdict, result.rto.high, result.report)
    assert any("injecting node.power_off" in line for line in place.said)


def test_the_worst_trial_counts_and_an_incomplete_run_counts_as_nothing(place: Place) -> None:
    place.misbehave(replication_lag_s=1.0)
    experiment = power_off(place)
    experiment.fault("node.power_off", role="primary", at="2s", lasting="20s")
    experiment.options = api.Options(**{**vars(place.options), "repeat": 3, "seed": 5})
    result = experiment.run()
    assert (len(result.trials), result.result.seed, result.verdict) == (3, 5, "failed")
    assert not result.passed
    assert result.rpo.lost == max(trial.rpo.lost.high or 0 for trial in result.trials)
    assert result.rpo.lost >= 1
    assert result.rto.high == max(trial.rto.high or 0 for trial in result.trials)
    cut_short = api.RunResult(result.result.model_copy(update={"incomplete": "somebody stopped it"}), result.directory, None)
    with pytest.raises(api.UnknownAmount, match="somebody stopped it"):
        assert cut_short.rto <= 1000


def test_by_hand_python_runs_while_the_fault_is_in_force(place: Place) -> None:
    place.misbehave(pace=20)
    experiment = power_off(place)
    fault = experiment.fault("node.power_off", role="primary")
    with experiment.running() as run:
        assert run.roles()["primary"] == ("db1",)
        with run.inject(fault) as seen:
            assert seen.data["nodes"] == ["db1"]
            gained = run.wait_for("role.changed", role="primary", state="yes")
            run.wait(0.1)
        with pytest.raises(api.ChaoskitError, match="when it has ended"):
            assert run.result
    assert gained.data["node"] == "db2"
    assert run.result.passed
    assert run.result.rto >= 2
    (healed,) = [event for event in run.events if event.kind == "fault.gone"]
    assert healed.data["verified"]
    assert run.result.result.undo.owed == run.result.result.undo.paid == 1


def test_a_block_that_raises_ends_the_run_and_heals(place: Place) -> None:
    place.misbehave(pace=20)
    experiment = power_off(place)
    fault = experiment.fault("node.power_off", role="primary")
    with pytest.raises(ZeroDivisionError), experiment.running() as run, run.inject(fault):
        raise ZeroDivisionError
    assert [(told["off"], "down" in told) for told in place.labs() if "down" in told] == [([], True)]
    (result,) = place.root.glob("reports/*/result.json")
    assert api.read(result.parent).verdict == "unknown"


def test_a_fault_that_does_not_bite_is_said_where_it_was_injected(place: Place) -> None:
    place.misbehave(pace=40, deaf=["power_off"])
    experiment = power_off(place)
    fault = experiment.fault("node.power_off", role="primary")
    with pytest.raises(api.EffectNotSeen, match="no evidence"), experiment.running() as run, run.inject(fault):
        pytest.fail("the block must not begin")


def test_a_declared_fault_that_was_not_injected_is_an_error(place: Place) -> None:
    place.misbehave(pace=40)
    experiment = power_off(place)
    experiment.fault("node.power_off", role="primary")
    with pytest.raises(api.InputError, match="was not injected"), experiment.running() as run:
        run.wait(0.05)
    with pytest.raises(api.InputError, match="not injected by hand"):
        run.begin(api.Fault("other", {}))


def test_mistakes_are_told_before_anything_starts(place: Place) -> None:
    experiment = power_off(place)
    experiment.fault("node.power_of", role="primary", at="2s")
    experiment.client("readers", type="postgres", operation="read", rate="fast", endpoint="write")
    for go in (experiment.run, experiment.plan):
        with pytest.raises(api.InputError) as told:
            go()
        assert {problem.path for problem in told.value.problems} == {"method[0].inject", "clients.readers.rate"}
        assert "did you mean 'node.power_off'?" in str(told.value)
    with pytest.raises(api.InputError, match="of this name already"):
        experiment.client("readers", type="http")
    assert place.labs() == []
    assert not (place.root / "reports").exists()


def test_what_is_missing_here_is_told_before_anything_starts(place: Place) -> None:
    place.misbehave(lacks=["node.power"])
    experiment = power_off(place)
    experiment.fault("node.power_off", role="primary", at="2s", lasting="20s")
    with pytest.raises(api.CapabilityMissing, match="this simulated machine has it not"):
        experiment.run()
    assert place.labs() == []


def test_what_could_not_be_healed_is_an_error_that_outranks_all(place: Place) -> None:
    place.misbehave(failing=["power_on"])
    experiment = power_off(place)
    experiment.fault("node.power_off", role="primary", at="2s", lasting="5s")
    with pytest.raises(api.HealFailed, match="chaoskit recover"):
        experiment.run()


def test_a_lab_of_ones_own_ends_with_its_block(place: Place) -> None:
    def use() -> None:
        with api.lab(place.lab, backend="simulated", reports=place.root / "reports", say=place.said.append) as lab:
            assert lab.nodes == ("db1", "db2", "db3", "app")
            assert lab.roles()["primary"] == ("db1",)
            lab.run("db9", ["true"])

    with pytest.raises(api.InputError, match="no such node"):
        use()
    up, down = place.labs()
    assert up["up"] == down["down"]
    assert up["detached"] is False


PROGRAM = """
import sys
from pathlib import Path
from chaoskit import api
api.run(sys.argv[1], backend="simulated", reports=Path(sys.argv[2]))
"""


def program(place: Place) -> subprocess.Popen[bytes]:
    """A program that runs an experiment, once its fault is in force."""
    place.misbehave(pace=10)
    experiment = power_off(place)
    experiment.fault("node.power_off", role="primary", at="2s", lasting="10min")
    file = place.root / "experiment.yaml"
    with file.open("w") as out:
        YAML(typ="safe").dump(experiment.data(), out)
    argv = [sys.executable, "-c", PROGRAM, str(file), str(place.root / "reports")]
    started = subprocess.Popen(argv, stderr=subprocess.PIPE)
    assert started.stderr is not None
    for line in started.stderr:
        if b"its effect was seen" in line:
            return started
    raise AssertionError("the fault was never seen")


def ended(place: Place, within_s: float = 30.0) -> dict[str, object]:
    """What was told when the lab ended."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        down = [told for told in place.labs() if "down" in told]
        results = list(place.root.glob("reports/*/result.json"))
        if down and results:
            return down[0]
        time.sleep(0.05)
    raise AssertionError(f"not ended within {within_s:g} s: {place.labs()}")


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_program_that_ends_in_whatever_way_leaves_nothing_broken(place: Place, how: signal.Signals) -> None:
    running = program(place)
    running.send_signal(how)
    code = running.wait(30)
    assert code == (-how if how != signal.SIGINT else code)
    assert code != 0
    down = ended(place)
    assert (down["off"], down["frozen"]) == ([], [])
    (result,) = place.root.glob("reports/*/result.json")
    read = api.read(result.parent)
    assert read.verdict == "unknown"
    assert "interrupted" in str(read.result.incomplete)
    assert read.result.undo.paid == read.result.undo.owed == 1


def test_a_second_interrupt_stops_only_the_waiting(place: Place) -> None:
    """Whoever presses Ctrl-C twice gets away; the other process heals on by itself."""
    running = program(place)
    running.send_signal(signal.SIGINT)
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) != 0
    assert ended(place)["off"] == []


def test_a_process_that_dies_is_told_with_its_last_words(place: Place) -> None:
    place.misbehave(pace=10)
    experiment = power_off(place)
    experiment.fault("node.power_off", role="primary", at="2s", lasting="10min")
    request = place.options.request(Path("nominal.yaml"), "title: x")
    with Conductor(request, place.said.append) as conductor:
        os.kill(conductor._process.pid, signal.SIGKILL)
        with pytest.raises(api.LabUnavailable, match="without an answer"):
            conductor.conducted()
