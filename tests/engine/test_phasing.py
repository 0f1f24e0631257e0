"""Where in the detector's period each trial injects: seeded, written into the plan, printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from chaoskit.engine.loading import load
from chaoskit.engine.phasing import DEFAULT_PERIOD_S, phase_rule
from chaoskit.engine.planning import plan
from chaoskit.engine.registry import Registry
from chaoskit.model.errors import InputError
from chaoskit.model.plan import Plan
from tests.simulated.clock import FakeClock
from tests.simulated.lab import SimulatedBackend
from tests.simulated.plans import LAB, experiment

SERVED = {"nodes": {"db": {"count": 3, "services": ["database"]}, "app": {}}, "services": {"database": {"command": ["database"]}}}
SETTINGS = {"loop_wait": "10s", "ttl": "30s"}
POWER_OFF = {"inject": "node.power_off", "target": {"node": "db1"}, "for": "5s"}


def planned(folder: Path, seed: int = 1, lab: dict[str, Any] | None = None, **changes: Any) -> Plan:
    (folder / "lab.yaml").write_text(json.dumps(LAB | SERVED | {"settings": SETTINGS} | (lab or {})))
    (folder / "experiment.yaml").write_text(json.dumps(experiment(**changes) | {"lab": "lab.yaml"}))
    loaded = load(folder / "experiment.yaml", (), Registry())
    return plan(loaded, SimulatedBackend(FakeClock()).survey(loaded.lab.file.spec), seed)


def shifts(made: Plan) -> list[float]:
    return [t.phase_s for t in made.trials]


STATED = {"predict": {"detector_period": "loop_wait"}}


def test_trials_inject_anywhere_within_the_period_that_the_lab_states(tmp_path: Path) -> None:
    made = planned(tmp_path, lab=STATED, repeat=200)
    drawn = np.array(shifts(made))
    assert {t.phase_of_s for t in made.trials} == {10.0}
    assert made.trials[0].phase_rule == "detector_period of the lab: loop_wait"
    assert drawn.min() >= 0
    assert drawn.max() <= 10
    assert np.bincount((drawn / 2.5).astype(int), minlength=4).min() > 25  # of 50 expected in each quarter
    assert [t.actions[0].at_s for t in made.trials] == [2.0 + s for s in shifts(made)]


def test_the_same_seed_draws_the_same_and_it_survives_plan_json(tmp_path: Path) -> None:
    first, again, other = (planned(tmp_path, seed, lab=STATED, repeat=5) for seed in (1, 1, 2))
    assert shifts(first) == shifts(again) != shifts(other)
    assert shifts(Plan.model_validate_json(first.model_dump_json(by_alias=True))) == shifts(first)


def test_a_lab_that_states_none_has_the_documented_default(tmp_path: Path) -> None:
    made = planned(tmp_path, repeat=3)
    assert {t.phase_of_s for t in made.trials} == {DEFAULT_PERIOD_S}
    assert "states no detector_period" in made.trials[0].phase_rule


@pytest.mark.parametrize(
    ("changes", "of_s"),
    [
        ({"repeat": 1}, 0.0),
        ({"repeat": 3, "injection-phase": "0s"}, 0.0),
        ({"repeat": 1, "injection-phase": "4s"}, 4.0),
        ({"repeat": 3, "method": [POWER_OFF | {"at": "2s", "phase": "3s"}]}, 0.0),
        ({"repeat": 3, "injection-phase": "4s", "method": [POWER_OFF | {"at": "2s", "phase": "3s"}]}, 4.0),
        ({"repeat": 3, "method": [POWER_OFF | {"when": {"role": "primary", "held_by": "db1"}}]}, 0.0),
    ],
)
def test_when_it_applies(tmp_path: Path, changes: dict[str, Any], of_s: float) -> None:
    assert {t.phase_of_s for t in planned(tmp_path, lab=STATED, **changes).trials} == {of_s}


def test_actions_by_the_clock_keep_their_distance_and_other_draws_are_not_moved(tmp_path: Path) -> None:
    method = [POWER_OFF | {"name": "a", "at": "2s"}, POWER_OFF | {"name": "b", "at": "9s", "target": {"node": "db2"}}]
    made = planned(tmp_path, lab=STATED, repeat=4, method=method)
    for trial in made.trials:
        a, b = (action.at_s for action in trial.actions)
        assert a is not None
        assert b is not None
        assert b - a == pytest.approx(7)
    own = [POWER_OFF | {"at": "2s", "phase": "3s"}]
    plain = planned(tmp_path, lab=STATED, repeat=2, method=own)
    moved = planned(tmp_path, lab=STATED, repeat=2, method=own, **{"injection-phase": "4s"})
    assert [t.actions[0].phase_s for t in plain.trials] == [t.actions[0].phase_s for t in moved.trials]
    assert [t.injection_phase_s for t in moved.trials] == [t.phase_s + t.actions[0].phase_s for t in moved.trials]


def test_a_period_that_cannot_be_evaluated_names_the_nearest_setting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no setting 'loopwait'") as found:
        planned(tmp_path, lab={"predict": {"detector_period": "loopwait"}})
    assert found.value.problems[0].nearest == "loop_wait"


@pytest.mark.parametrize(("lab", "setting"), [("patroni", "loop_wait"), ("keepalived", "advert"), ("haproxy", "inter")])
def test_the_shipped_labs_state_theirs(lab: str, setting: str) -> None:
    root = Path(__file__).parents[2]
    found = load(sorted((root / "experiments" / lab).glob("*power-off.yaml"))[0], ("repeat=3", "injection-phase=0s"))
    assert found.lab.file.spec.predict.detector_period == setting
    assert found.lab.detector_period_s is not None
    assert phase_rule(found).of_s == 0
