"""Where in the detector's period a trial's faults fall: drawn for each trial, or the sample of recovery times is biased. Pure.

A detector that looks every 10 s needs anything up to 10 s to notice. Faults that always come at the same time after the cluster
was started meet it always at the same place.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from chaoskit.engine.expanding import is_by_clock
from chaoskit.engine.loading import Loaded
from chaoskit.model.units import Duration

DEFAULT_PERIOD_S = 1.0
"""For labs that do not state how often failures are looked for."""


@dataclass(frozen=True)
class PhaseRule:
    """How far the method of each trial is moved at most, and why."""

    of_s: float
    why: str = ""

    def drawn_s(self, trial_seed: int) -> float:
        """This trial's own. It has a stream of chance of its own, so that it moves no other draw."""
        return random.Random(f"{trial_seed}/injection phase").uniform(0, self.of_s) if self.of_s else 0.0


def phase_rule(loaded: Loaded) -> PhaseRule:
    """What the experiment says; else, where trials repeat and no action has a `phase` of its own, the lab's detector period."""
    experiment, method = loaded.experiment, loaded.experiment.method
    if not any(is_by_clock(action) for action in method):
        return PhaseRule(0.0)
    if experiment.injection_phase is not None:
        return PhaseRule(float(experiment.injection_phase), "injection-phase of the experiment")
    if experiment.repeat == 1 or any(action.phase for action in method):
        return PhaseRule(0.0)
    if loaded.lab.detector_period_s is not None:
        return PhaseRule(
            loaded.lab.detector_period_s, f"detector_period of the lab: {loaded.lab.file.spec.predict.detector_period}"
        )
    return PhaseRule(DEFAULT_PERIOD_S, f"{Duration(DEFAULT_PERIOD_S)}, for the lab states no detector_period")
