"""chaoskit from Python: run experiments, build them, hold labs, and compare figures that do not lie. See docs/python-api.md.

Runs are carried out in a process of their own, which heals and judges whatever becomes of this one.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from chaoskit.model.errors import (
    Aborted,
    CapabilityMissing,
    ChaoskitError,
    EffectNotSeen,
    HealFailed,
    InputError,
    Interrupted,
    LabUnavailable,
    StepFailed,
)
from chaoskit.surfaces.python.amounts import Amount, UnknownAmount
from chaoskit.surfaces.python.by_hand import Fault, RunByHand
from chaoskit.surfaces.python.experiment import Experiment, Options, plan_request, run_request
from chaoskit.surfaces.python.lab import Lab, Ran, lab
from chaoskit.surfaces.python.outcome import ClientOutcome, RunResult, TrialOutcome

__all__ = [
    "Aborted",
    "Amount",
    "CapabilityMissing",
    "ChaoskitError",
    "ClientOutcome",
    "EffectNotSeen",
    "Experiment",
    "Fault",
    "HealFailed",
    "InputError",
    "Interrupted",
    "Lab",
    "LabUnavailable",
    "Options",
    "Ran",
    "RunByHand",
    "RunResult",
    "StepFailed",
    "TrialOutcome",
    "UnknownAmount",
    "lab",
    "plan",
    "read",
    "run",
]


def run(path: str | Path, *, on: Lab | None = None, options: Options | None = None, **changes: Any) -> RunResult:
    """Run an experiment file to its end. `on`: on a lab that is up. `changes`: fields of Options (repeat, seed, backend ...).

    InputError with every problem of the file; CapabilityMissing where this machine cannot do it; LabUnavailable; HealFailed where
    something is still broken. A missed objective is no error: the result says so.
    """
    chosen = replace(options or Options(), **changes)
    return run_request(chosen.request(Path(path), on=on), chosen.say)


def plan(path: str | Path, *, options: Options | None = None, **changes: Any) -> Any:
    """Everything that `run` would do (a `chaoskit.model.plan.Plan`); starts nothing."""
    chosen = replace(options or Options(), **changes)
    return plan_request(chosen.request(Path(path)), chosen.say)


def read(directory: str | Path) -> RunResult:
    """The result of a run that was recorded: of a run directory."""
    return RunResult.read(directory)
