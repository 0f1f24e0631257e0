"""A run from its request to its report: what the command line, Python and pytest do alike.

load -> plan -> run -> measure -> judge -> render, in this process and its main thread: signals are caught here, and heal.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import click

from chaoskit.archive.baselines import baseline
from chaoskit.engine.clock import clock_of
from chaoskit.engine.interrupting import Interrupts
from chaoskit.engine.judging import judge_run
from chaoskit.engine.loading import Loaded, load
from chaoskit.engine.measuring import measure_run
from chaoskit.engine.run_directory import RunDirectory, new_run_id
from chaoskit.engine.running import incompleteness, run_plan
from chaoskit.engine.secrets import secret_values
from chaoskit.engine.spelling import nearest
from chaoskit.engine.undo import journal_lines, undo_summary
from chaoskit.model.comparison import Comparison
from chaoskit.model.errors import ChaoskitError, HealFailed, InputError, Interrupted, Problem
from chaoskit.model.plan import Plan
from chaoskit.model.record import Record
from chaoskit.model.result import Result
from chaoskit.ports.elsewhere import Elsewhere
from chaoskit.ports.lab import Backend
from chaoskit.ports.progress import Progress
from chaoskit.reporting.render import EVERY_RUN, FILE_NAMES, render
from chaoskit.surfaces.against import Against, against, code_against, expectations
from chaoskit.surfaces.conducting_elsewhere import planned_elsewhere, run_elsewhere
from chaoskit.surfaces.elsewhere import away
from chaoskit.surfaces.indexing import indexed
from chaoskit.surfaces.installed import Installed
from chaoskit.surfaces.reading import planned
from chaoskit.surfaces.terminal import printable

VERDICT_CODES = {"passed": 0, "failed": 1, "unknown": 3}


class Request(Record):
    """What somebody wants to be run, and how."""

    experiment: Path
    text: str | None = None
    """The experiment itself, where it stands in no file; `experiment` then only names it, and its folder is where paths start."""
    overrides: tuple[str, ...] = ()
    repeat: int | None = None
    failures_per_year: float | None = None
    availability_target: str | None = None
    backend: str | None = None
    seed: int | None = None
    max_targets: int | None = None
    out: Path | None = None
    reports: Path = Path("reports")
    keep_lab: bool = False
    on_lab: str | None = None
    against: str | None = None
    """The name of a baseline in `reports`."""
    tolerance: str | None = None
    """How much worse than the baseline is still the same."""

    def words(self, act: Literal["run", "plan"] = "run") -> tuple[str, ...]:
        """The command line of this run, for another machine: what is done with its result is done here."""
        given = {"--backend": self.backend, "--seed": self.seed, "--max-targets": self.max_targets}
        given |= {"--on": self.on_lab} if act == "run" else {}
        words = [act, str(self.experiment)]
        words += [word for name, value in given.items() if value is not None for word in (name, str(value))]
        words += [word for change in self.changes for word in ("--set", change)]
        return (*words, *(("--keep-lab",) if self.keep_lab and act == "run" else ()))

    @property
    def changes(self) -> tuple[str, ...]:
        """All that is laid over the experiment, as `name=value`."""
        given = {
            "repeat": self.repeat,
            "failures-per-year": self.failures_per_year,
            "availability-target": self.availability_target,
        }
        return (*self.overrides, *(f"{key}={value}" for key, value in given.items() if value is not None))


class Conducted(Record):
    """A run that has ended, and was judged."""

    result: Result
    directory: Path
    written: tuple[Path, ...]
    kept_lab: str | None = None
    heal_failed: bool = False
    interrupted: bool = False
    ended_by: str = ""
    """What ended the run early, in words; empty where nothing did."""
    comparison: Comparison | None = None
    """With the baseline, where one was named."""

    @property
    def exit_code(self) -> int:
        """As the command line has it: a failed heal outranks all, then an interrupt, then a miss or regression, then the rest."""
        if self.heal_failed or self.result.undo.dirty:
            return HealFailed.exit_code
        if self.interrupted:
            return Interrupted.exit_code
        code = VERDICT_CODES[self.result.verdict]
        return code if self.comparison is None else code_against(code, self.comparison.verdict)


class Shown(Progress, AbstractContextManager[Any], Protocol):
    """A progress that is shown while a block runs."""

    def __enter__(self) -> Self: ...


def loaded_and_planned(request: Request, installed: Installed) -> tuple[Loaded, Plan]:
    """Everything that is decided before anything starts. InputError, CapabilityMissing."""
    loaded = _loaded(request, installed)
    with away(_backend_of(request, loaded, installed)) as found:
        if found is not None:
            return loaded, planned_elsewhere(found, loaded, request.words("plan"), request.text)
    return loaded, _planned(request, loaded, installed)


def _loaded(request: Request, installed: Installed) -> Loaded:
    return load(request.experiment, request.changes, installed.registry, request.text, request.backend)


def _backend_of(request: Request, loaded: Loaded, installed: Installed) -> Backend:
    return installed.backend(request.backend or loaded.lab.file.spec.backend)


def _planned(request: Request, loaded: Loaded, installed: Installed) -> Plan:
    return planned(loaded, request.backend, request.seed, installed, request.max_targets)


def conducted(request: Request, installed: Installed, progress: Shown, interrupts: Interrupts | None = None) -> Conducted:
    """Carry a run out and judge it, where its lab is. InputError and CapabilityMissing before anything is started.

    Whatever ended a run early is healed, judged and told in what is returned; it is raised where no report could be made.
    """
    loaded = _loaded(request, installed)
    with away(_backend_of(request, loaded, installed)) as found:
        if found is not None:
            return _conducted_elsewhere(request, loaded, found, progress, interrupts)
    plan = _planned(request, loaded, installed)
    return _conducted_here(request, loaded, plan, installed, progress, interrupts)


def _conducted_elsewhere(
    request: Request, loaded: Loaded, found: Elsewhere, progress: Shown, interrupts: Interrupts | None
) -> Conducted:
    """The same on the machine where the lab is; what is held against a baseline is held against it here."""
    secret_values(loaded.experiment, loaded.folder)  # said now, before anything is sent
    if request.against is not None:
        baseline(request.reports, request.against, "--against")
    with progress:
        run = run_elsewhere(
            found,
            loaded,
            request.words(),
            request.text,
            request.reports,
            request.out,
            progress.message,
            interrupts or Interrupts(),
        )
    indexed(run.directory, request.reports)
    held = _baseline(request, Plan.model_validate_json((run.directory / "plan.json").read_text(encoding="utf-8")))
    return Conducted(
        result=run.result,
        directory=run.directory,
        written=tuple(run.directory / FILE_NAMES[name] for name in EVERY_RUN if (run.directory / FILE_NAMES[name]).is_file()),
        kept_lab=run.kept_lab,
        heal_failed=run.heal_failed,
        interrupted=run.interrupted,
        ended_by="",
        comparison=None if held is None else held.comparison(run.directory),
    )


def _conducted_here(
    request: Request, loaded: Loaded, plan: Plan, installed: Installed, progress: Shown, interrupts: Interrupts | None
) -> Conducted:
    backend = installed.backend(plan.survey.backend)
    held = _baseline(request, plan)
    _check_on(request.on_lab, backend)
    clock = clock_of(backend)
    run_id = new_run_id(plan.experiment.title, clock.wall_ns())
    directory = RunDirectory.create((request.out or request.reports / run_id).absolute())
    try:
        if request.text is not None:
            directory.write_text("experiment.yaml", request.text)
        with progress:
            for note in (*plan.notes, *(() if held is None else expectations(held, len(plan.trials)))):
                progress.message(f"note: {note}")
            ended_by, kept = run_plan(
                plan,
                backend,
                directory,
                run_id,
                clock,
                progress,
                lambda name: installed.registry.load("faults", name),
                keep_lab=request.keep_lab,
                on_lab=request.on_lab,
                secrets=secret_values(loaded.experiment, loaded.folder),
                interrupts=interrupts,
            )
        result, written = _judged_after(directory.path, ended_by)
    finally:
        directory.release()
    indexed(directory.path, request.reports)
    return Conducted(
        result=result,
        directory=directory.path,
        written=written,
        kept_lab=kept,
        heal_failed=isinstance(ended_by, HealFailed),
        interrupted=isinstance(ended_by, Interrupted),
        ended_by="" if ended_by is None else str(ended_by),
        comparison=None if held is None else held.comparison(directory.path),
    )


def _baseline(request: Request, plan: Plan) -> Against | None:
    """What the run is to be held against, read before anything starts."""
    if request.against is not None:
        return against(request.reports, request.against, request.tolerance, plan)
    if request.tolerance is not None:
        problem = Problem(message="a tolerance means nothing without --against", path="--tolerance", value=request.tolerance)
        raise InputError([problem])
    return None


def _check_on(lab_id: str | None, backend: Backend) -> None:
    """InputError where `--on` names no lab."""
    if lab_id is None:
        return
    known = tuple(left.lab_id for left in backend.leftovers() if left.owner_alive)
    if lab_id not in known:
        message = "there is no such lab" if known else "there is no such lab: none is up (`chaoskit lab up LAB` builds one)"
        close = nearest(lab_id, known)
        raise InputError([Problem(message=message, path="--on", value=lab_id, allowed=known, nearest=close)])


def _judged_after(directory: Path, ended_by: ChaoskitError | None) -> tuple[Result, tuple[Path, ...]]:
    """Judge a run that has just ended. Where that cannot be done, what ended the run is said first, and decides the exit code."""
    try:
        return judged(directory, None if ended_by is None else incompleteness(ended_by))
    except ChaoskitError as error:
        if ended_by is None:
            raise
        click.echo(printable(f"no report could be made: {error}"), err=True)
        raise ended_by from error


def judged(
    directory: Path,
    incomplete: str | None = None,
    stated: dict[str, Any] | None = None,
    formats: Sequence[str] = EVERY_RUN,
) -> tuple[Result, tuple[Path, ...]]:
    """Measure, judge and render a run directory; the result and the files written. `stated`: instead of the experiment's own."""
    measure_run(directory)
    undo = undo_summary(journal_lines(directory / "undo.jsonl"))
    result = judge_run(directory, undo, incomplete, stated)
    return result, render(directory, formats)


def report_of(written: Sequence[Path]) -> Path | None:
    """The page for people among the files that were written."""
    return next((path for path in written if path.suffix == ".html"), None)
