"""`stop-when: decided`: whether the trials so far have settled the verdict, whatever the rest would give."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from chaoskit.engine import quantiles
from chaoskit.engine.judging import registered_objectives, series, trial_result
from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.engine.store import read_run
from chaoskit.model.experiment import Experiment
from chaoskit.model.plan import Plan
from chaoskit.model.result import TrialResult
from chaoskit.ports.measure import Objective


def decided(experiment: Experiment, trials: Sequence[TrialResult], planned: int) -> str | None:
    """Why the verdict is settled, or None. Pure."""
    remaining = planned - len(trials)
    if remaining <= 0:
        return None
    rest = f"whatever the remaining {remaining} {'trial' if remaining == 1 else 'trials'} would have given"
    missed = [t for t in trials if t.verdict == "failed"]
    if missed:
        return f"trial {missed[0].index} failed ({missed[0].reasons[0]}), and so has the run, {rest}"
    figures = series(trials)
    may_be = [
        (asked, quantiles.attainable(asked, quantiles.counted(asked, figures.get(asked.figure, ())), remaining))
        for asked in experiment.over_trials
    ]
    for asked, outcomes in may_be:
        if outcomes == {False}:
            return f"{asked.figure} {asked.name} {asked.limit.text} is missed, {rest}"
    if experiment.objectives or not may_be:
        return None  # a trial to come may miss one of its own
    if all(outcomes == {True} for _, outcomes in may_be):
        return f"{' and '.join(f'{a.figure} {a.name} {a.limit.text}' for a, _ in may_be)} is shown, {rest}"
    if any(outcomes == {None} for _, outcomes in may_be) and not any(False in outcomes for _, outcomes in may_be):
        open_ones = [a for a, outcomes in may_be if outcomes == {None}]
        return f"{open_ones[0].figure} {open_ones[0].name} {open_ones[0].limit.text} can be neither shown nor refuted, {rest}"
    return None


class EarlyStop:
    """Judges each trial of a run as soon as it has ended."""

    def __init__(self, plan: Plan, run_dir: Path) -> None:
        self._plan, self._run_dir = plan, run_dir
        self._objectives: Mapping[str, Objective] = registered_objectives(plan)
        self._judged: list[TrialResult] = []

    def reason(self, index: int) -> str | None:
        """Why no more trials are needed after this one; None where they are, or the experiment does not ask."""
        experiment = self._plan.experiment
        if experiment.stop_when is None:
            return None
        for record in read_run(self._run_dir, only=index):
            self._judged.append(trial_result(measured_trial(record, registered()), experiment.objectives, self._objectives))
        return decided(experiment, self._judged, len(self._plan.trials))
