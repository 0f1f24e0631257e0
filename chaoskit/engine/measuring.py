"""Measuring: a recorded run -> measures.json. Pure but for reading the run directory and writing that one file."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from chaoskit.engine import registry
from chaoskit.engine.run_directory import RunDirectory
from chaoskit.engine.store import read_run
from chaoskit.model.errors import ChaoskitError, InputError, Problem
from chaoskit.model.figures import FaultFigures
from chaoskit.model.history import Event
from chaoskit.model.record import first_misfit
from chaoskit.model.recorded import FaultRecord, TrialRecord
from chaoskit.model.result import SkippedAction, TrialMeasures
from chaoskit.ports.measure import Measure

MEASURES_FILE = "measures.json"
MEASURES: TypeAdapter[tuple[TrialMeasures, ...]] = TypeAdapter(tuple[TrialMeasures, ...])
_NOT_FOR_MEASURES = frozenset(
    {"index", "started", "ended", "baseline_s", "observed_s", "injection_phase_s", "faults", "skipped", "problems"}
)


class MeasureClash(ChaoskitError):
    """Two measures write one field, or a measure writes one that is not for it."""


def measure_run(run_dir: Path, measures: Sequence[Measure] | None = None) -> tuple[TrialMeasures, ...]:
    """Measure every trial of a recorded run and write measures.json; the same run gives the same bytes.

    `measures`: all that are registered when left out. InputError where there is no run, RecordingFailed where its record is
    damaged or the file cannot be written, MeasureClash where two measures claim one field.
    """
    chosen = registered() if measures is None else measures
    measured = tuple(measured_trial(trial, chosen) for trial in read_run(run_dir))
    text = json.dumps(MEASURES.dump_python(measured, mode="json"), indent=1, sort_keys=True, ensure_ascii=False)
    RunDirectory(run_dir).write_text(MEASURES_FILE, text + "\n")
    return measured


def read_measures(run_dir: Path) -> tuple[TrialMeasures, ...]:
    """measures.json. InputError where it is not there or cannot be read."""
    file = run_dir / MEASURES_FILE
    try:
        return MEASURES.validate_json(file.read_bytes())
    except OSError as error:
        raise InputError([Problem(message=f"the run was not measured: {error.strerror}", file=str(file))]) from error
    except ValidationError as error:
        raise InputError(
            [Problem(message=f"the measures cannot be read; measure the run again: {first_misfit(error)}", file=str(file))]
        ) from error


def registered() -> tuple[Measure, ...]:
    """Every registered measure, by name."""
    return tuple(made() if isinstance(made, type) else made for made in registry.all("measures").values())


def measured_trial(trial: TrialRecord, measures: Iterable[Measure]) -> TrialMeasures:
    """One trial's figures, merged from every measure. Pure."""
    fields: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for measure in measures:
        for key, value in measure.measure(trial).items():
            if key in owner:
                raise MeasureClash(f"the measures {owner[key]!r} and {measure.name!r} both write {key!r}; uninstall one of them")
            if key in _NOT_FOR_MEASURES or key not in TrialMeasures.model_fields:
                raise MeasureClash(f"the measure {measure.name!r} writes {key!r}, which is not a measure's field")
            fields[key], owner[key] = value, measure.name
    zero = trial.baseline_ended_ns
    began = trial.baseline_began_ns
    planned = next((t for t in trial.plan.trials if t.index == trial.index), None)
    return TrialMeasures(
        index=trial.index,
        started=iso_at(trial.events, trial.started_ns),
        ended=iso_at(trial.events, max(trial.ended_ns, trial.started_ns)),
        baseline_s=round((zero - began) / 1e9, 9) if zero is not None and began is not None else 0.0,
        observed_s=round((trial.ended_ns - zero) / 1e9, 9) if zero is not None else 0.0,
        injection_phase_s=None if planned is None else round(planned.injection_phase_s, 9),
        faults=tuple(_fault(trial, fault) for fault in trial.faults),
        skipped=tuple(
            SkippedAction(action=str(e.data.get("action")), reason=str(e.data.get("reason")))
            for e in trial.events
            if e.kind == "action.skipped"
        ),
        problems=tuple(trial.problems),
        **fields,
    )


def _fault(trial: TrialRecord, fault: FaultRecord) -> FaultFigures:
    zero = trial.baseline_ended_ns if trial.baseline_ended_ns is not None else trial.started_ns
    instants: Mapping[str, int | None] = {
        "injected": fault.began_ns,
        "effective": fault.effective_ns,
        "healed": fault.healed_ns,
    }
    return FaultFigures(
        name=fault.fault,
        action=fault.action,
        target=fault.nodes,
        verified=fault.verified,
        gone=fault.gone,
        evidence=tuple(dict(e) for e in fault.evidence),
        trigger=fault.trigger,
        healed_because=fault.healed_because,
        **{f"{key}_at": None if t is None else iso_at(trial.events, t) for key, t in instants.items()},
        **{f"{key}_s": None if t is None else round((t - zero) / 1e9, 9) for key, t in instants.items()},
    )


def iso_at(events: Sequence[Event], t_ns: int) -> str:
    """ISO 8601 UTC of a monotonic instant, by the event nearest before it (the first event, where there is none before)."""
    anchor = max((e for e in events if e.t_ns <= t_ns), key=lambda e: e.t_ns, default=events[0])
    wall = dt.datetime.fromisoformat(anchor.wall.replace("Z", "+00:00"))
    at = wall + dt.timedelta(microseconds=(t_ns - anchor.t_ns) / 1000)
    return at.astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
