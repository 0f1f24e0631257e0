"""Carry out a plan: one run directory, one trial after another."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil

from chaoskit import __version__
from chaoskit.engine.interrupting import Interrupts
from chaoskit.engine.run_directory import EventLog, RunDirectory
from chaoskit.engine.stopping import EarlyStop
from chaoskit.engine.trial import RunContext, Trial
from chaoskit.engine.undo import UndoJournal
from chaoskit.model.errors import ChaoskitError, HealFailed, Interrupted, StepFailed
from chaoskit.model.plan import Plan
from chaoskit.ports.clock import Clock
from chaoskit.ports.fault import Fault
from chaoskit.ports.lab import Backend
from chaoskit.ports.progress import Progress

SHOWN_PACKAGES = ("chaoskit", "psycopg", "aiohttp", "requests", "pyroute2", "patroni", "numpy")


def run_plan(
    plan: Plan,
    backend: Backend,
    run: RunDirectory,
    run_id: str,
    clock: Clock,
    progress: Progress,
    fault_type: Callable[[str], type[Fault]],
    *,
    keep_lab: bool = False,
    on_lab: str | None = None,
    secrets: Mapping[str, str] | None = None,
    interrupts: Interrupts | None = None,
) -> tuple[ChaoskitError | None, str | None]:
    """Run every trial. Returns what ended the run early, or None, and the id of the lab that was kept.

    `on_lab`: a lab that is up already, used by every trial and left up. `interrupts`: what they have noted ends the run at once.

    Afterwards the run directory holds all the evidence there is, whatever happened; it still belongs to this process, which
    judges it and then releases it. Errors that are chaoskit's own fault (a bug) are raised, after healing.
    """
    run.write_text("plan.json", plan.model_dump_json(by_alias=True, indent=1))
    run.write_json("environment.json", environment(run_id))
    _copy_sources(plan, run)
    events = EventLog(run, clock, progress.event)
    interrupts = interrupts or Interrupts()
    context = RunContext(
        plan=plan,
        backend=backend,
        run=run,
        run_id=run_id,
        clock=clock,
        events=events,
        journal=UndoJournal(run.undo_file, clock),
        interrupts=interrupts,
        progress=progress,
        fault_type=fault_type,
        keep_lab=keep_lab,
        on_lab=on_lab,
        secrets=secrets or {},
    )
    ended_by: ChaoskitError | None = None
    kept: str | None = None
    with interrupts.installed():
        try:
            events.add("run.started", run_id=run_id)
            early_stop = EarlyStop(plan, run.path)
            for trial_plan in plan.trials:
                trial = Trial(context, trial_plan)
                try:
                    trial.run()
                except StepFailed:
                    pass  # this trial could not be done (no target, nothing to kill); it says so, and the next one may
                finally:
                    kept = trial.lab_id if trial.lab_kept else None
                if (settled := early_stop.reason(trial_plan.index)) is not None:
                    events.trial = None
                    events.add("run.decided", reason=settled, carried_out=trial_plan.index + 1, planned=len(plan.trials))
                    break
        except ChaoskitError as error:
            ended_by = error
        except BaseException as error:
            _end(events, f"chaoskit failed: {type(error).__name__}: {error}")
            raise
        _end(events, None if ended_by is None else incompleteness(ended_by))
    return ended_by or events.failure, kept


def _end(events: EventLog, incomplete: str | None) -> None:
    events.trial = None
    events.healing = True
    if events.failure is not None:
        incomplete = incomplete or incompleteness(events.failure)
    data: dict[str, Any] = {} if incomplete is None else {"incomplete": incomplete}
    events.add("run.ended", **data)


def incompleteness(error: ChaoskitError) -> str:
    """Why a run ended early, in one line."""
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    if isinstance(error, Interrupted):
        return first
    return f"a heal failed: {first}" if isinstance(error, HealFailed) else first


def environment(run_id: str) -> dict[str, Any]:
    """Where the run took place: for the reader of a report, and to tell two runs apart."""
    versions = {}
    for package in SHOWN_PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue  # an extra that is not installed
    return {
        "run_id": run_id,
        "chaoskit": __version__,
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "system": _system_name(),
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_before": list(os.getloadavg()),
        "user": "root" if os.geteuid() == 0 else "unprivileged",
        "packages": versions,
    }


def _system_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _copy_sources(plan: Plan, run: RunDirectory) -> None:
    for source, name in ((plan.experiment_source, "experiment.yaml"), (plan.lab_source, "lab.yaml")):
        path = Path(source.path)
        if path.is_file():
            run.write_text(name, path.read_text(encoding="utf-8"))
