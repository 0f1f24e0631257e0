"""`run`, `report` and `recover`: the commands that act, and that make good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from chaoskit.engine.clock import SystemClock
from chaoskit.engine.judging import judge_run
from chaoskit.engine.loading import load
from chaoskit.engine.measuring import measure_run
from chaoskit.engine.recovering import Recovered, dead_runs, recover_run, sweep_leftovers
from chaoskit.engine.run_directory import RunDirectory, new_run_id
from chaoskit.engine.running import incompleteness, run_plan
from chaoskit.engine.secrets import secret_values
from chaoskit.engine.undo import journal_lines, undo_summary
from chaoskit.model.errors import ChaoskitError, HealFailed, InputError, Interrupted, Problem
from chaoskit.model.result import Result
from chaoskit.model.units import Fraction
from chaoskit.ports.lab import Backend
from chaoskit.reporting.render import render
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.over_trials import say_over_trials
from chaoskit.surfaces.reading import (
    AVAILABILITY_TARGET,
    BACKEND,
    EXPERIMENT,
    FAILURES_PER_YEAR,
    JSON,
    MAX_TARGETS,
    SEED,
    SET,
    planned,
)
from chaoskit.surfaces.showing import LiveProgress, PlainProgress, QuietProgress
from chaoskit.surfaces.terminal import printable, say, say_json, say_table

VERDICT_CODES = {"passed": 0, "failed": 1, "unknown": 3}
VERDICT_STYLES = {"passed": "good", "failed": "bad", "unknown": "warn"}
REPORTS = click.option(
    "--reports", type=click.Path(path_type=Path, file_okay=False), default=Path("reports"), envvar="CHAOSKIT_REPORTS",
    show_default=True, help="Where run directories are kept.",
)  # fmt: skip


@click.command()
@EXPERIMENT
@BACKEND
@SEED
@SET
@MAX_TARGETS
@click.option("--repeat", type=click.IntRange(1, 1000), default=None, help="How many trials, each with a fresh lab.")
@FAILURES_PER_YEAR
@AVAILABILITY_TARGET
@click.option("--out", type=click.Path(path_type=Path), default=None, help="The run directory; must be new or empty.")
@REPORTS
@click.option("--keep-lab", is_flag=True, help="Leave the last trial's lab up; `chaoskit lab down` ends it.")
@click.option(
    "--on",
    "on_lab",
    metavar="LAB",
    default=None,
    help="Use this lab, which is up already (`lab up`), for every trial, and leave it up.",
)
@click.option("--quiet", is_flag=True, help="Say nothing but the verdict.")
@JSON
@pass_installed
def run(
    installed: Installed,
    experiment: Path,
    backend: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
    max_targets: int | None,
    repeat: int | None,
    failures_per_year: float | None,
    availability_target: str | None,
    out: Path | None,
    reports: Path,
    keep_lab: bool,
    on_lab: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Build the lab, break it, measure, put everything back, and write a report.

    Exit 0: every objective met; 1: one was missed; 3: the verdict is unknown; 4: a heal failed; 130: interrupted, after healing.
    """
    given = {"repeat": repeat, "failures-per-year": failures_per_year, "availability-target": availability_target}
    changes = (*overrides, *(f"{key}={value}" for key, value in given.items() if value is not None))
    loaded = load(experiment, changes, installed.registry)
    plan = planned(loaded, backend, seed, installed, max_targets)
    _check_on(on_lab, installed.backend(backend))
    clock = SystemClock()
    run_id = new_run_id(plan.experiment.title, clock.wall_ns())
    directory = RunDirectory.create((out or reports / run_id).absolute())
    progress = QuietProgress() if quiet or as_json else LiveProgress() if _stderr_is_terminal() else PlainProgress()
    try:
        with progress:
            for note in plan.notes:
                progress.message(f"note: {note}")
            ended_by, kept = run_plan(
                plan,
                installed.backend(backend),
                directory,
                run_id,
                clock,
                progress,
                lambda name: installed.registry.load("faults", name),
                keep_lab=keep_lab,
                on_lab=on_lab,
                secrets=secret_values(loaded.experiment, loaded.folder),
            )
        result, reports_written = _judged_after(directory.path, ended_by)
    finally:
        directory.release()
    if as_json:
        say_json(result.model_dump_json(by_alias=True, indent=2))
    else:
        _say_verdict(result, ended_by, reports_written)
        if kept is not None:
            say(f"The lab stays up: chaoskit lab status {kept} · chaoskit lab down {kept}")
    return _code(result, ended_by)


def _check_on(lab_id: str | None, backend: Backend) -> None:
    """InputError where `--on` names no lab."""
    if lab_id is None:
        return
    known = tuple(left.lab_id for left in backend.leftovers() if left.owner_alive)
    if lab_id not in known:
        raise InputError([Problem(message="there is no such lab", path="--on", value=lab_id, allowed=known)])


def _judged_after(directory: Path, ended_by: ChaoskitError | None) -> tuple[Result, tuple[Path, ...]]:
    """Judge a run that has just ended. Where that cannot be done, what ended the run is said first, and decides the exit code."""
    try:
        return judged(directory, None if ended_by is None else incompleteness(ended_by))
    except ChaoskitError as error:
        if ended_by is None:
            raise
        click.echo(printable(f"no report could be made: {error}"), err=True)
        raise ended_by from error


def _stated(failures_per_year: float | None, availability_target: str | None) -> dict[str, Any]:
    """What the experiment would say of rate and target. InputError for a target that is no share."""
    stated: dict[str, Any] = {} if failures_per_year is None else {"failures_per_year": failures_per_year}
    if availability_target is not None:
        try:
            stated["availability_target"] = Fraction.parse(availability_target)
        except ValueError as error:
            raise InputError([Problem(message=str(error), path="--availability-target", value=availability_target)]) from error
    return stated


def judged(
    directory: Path, incomplete: str | None = None, stated: dict[str, Any] | None = None
) -> tuple[Result, tuple[Path, ...]]:
    """Measure, judge and render a run directory; the result and the files written. `stated`: instead of the experiment's own."""
    measure_run(directory)
    undo = undo_summary(journal_lines(directory / "undo.jsonl"))
    result = judge_run(directory, undo, incomplete, stated)
    return result, render(directory)


def _code(result: Result, ended_by: ChaoskitError | None) -> int:
    if isinstance(ended_by, HealFailed) or result.undo.dirty:
        return HealFailed.exit_code
    if isinstance(ended_by, Interrupted):
        return Interrupted.exit_code
    return VERDICT_CODES[result.verdict]


def _say_verdict(result: Result, ended_by: ChaoskitError | None, written: tuple[Path, ...]) -> None:
    say()
    say(f"{result.verdict.upper()}  {result.experiment.title}", VERDICT_STYLES[result.verdict])
    marks = {True: "met", False: "MISSED", None: "unknown"}
    rows = [[f"  {marks[o.met]}", " ".join(filter(None, (o.name, o.subject))), o.target, o.actual] for o in result.objectives]
    if rows:
        say_table((), rows, widths_fixed=2)
    say_over_trials(result)
    for reason in dict.fromkeys((*result.reasons, *(r for o in result.objectives if o.met is None for r in o.reasons))):
        say(f"  because {reason}", "warn")
    if ended_by is not None:
        say(f"  {ended_by}", "bad")
    for left in result.undo.dirty:
        say(f"  STILL BROKEN: {left}; try `chaoskit recover`", "bad")
    shown = next((path for path in written if path.suffix == ".html"), None)
    if shown is not None:
        say(f"  report: {_short(shown)}")


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _stderr_is_terminal() -> bool:
    return os.isatty(2) and os.environ.get("TERM", "") not in ("", "dumb")


@click.command()
@click.argument("run_directory", metavar="RUN", type=click.Path(path_type=Path))
@REPORTS
@FAILURES_PER_YEAR
@AVAILABILITY_TARGET
@JSON
def report(
    run_directory: Path, reports: Path, failures_per_year: float | None, availability_target: str | None, as_json: bool
) -> int:
    """Measure, judge and render a recorded run again. RUN is a run directory or the name of one in --reports.

    Without options, what it writes is to the byte what the run wrote.
    """
    directory = existing_run(run_directory, reports)
    result, written = judged(directory, stated=_stated(failures_per_year, availability_target))
    if as_json:
        say_json(result.model_dump_json(by_alias=True, indent=2))
    else:
        _say_verdict(result, None, written)
    return 0


def existing_run(path: Path, reports: Path) -> Path:
    """A recorded run: a directory, or the name of one in `reports`. InputError with those that are there."""
    for candidate in (path, reports / path):
        if (candidate / "plan.json").is_file():
            return candidate
    known = tuple(sorted((p.parent.name for p in reports.glob("*/plan.json")), reverse=True)[:10])
    raise InputError([Problem(message="there is no recorded run here (no plan.json)", value=str(path), allowed=known)])


@click.command()
@click.argument("places", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@REPORTS
@JSON
@pass_installed
def recover(installed: Installed, places: tuple[Path, ...], reports: Path, as_json: bool) -> int:
    """Heal and remove what dead runs left behind: RUN directories, or all in --reports, and every orphaned lab.

    Runs and labs whose chaoskit still lives are left alone. Exit 0: nothing is left; 4: something still is.
    """
    for place in places:
        if not place.is_dir():
            raise InputError([Problem(message="there is no such run directory", value=str(place))])
    backends: dict[str, Any] = {name: installed.backend(name) for name in installed.registry.names("backends")}
    done: list[Recovered] = []
    for directory in dead_runs(places or (reports,)):
        outcome = recover_run(directory, backends, SystemClock())
        if outcome is not None:
            done.append(outcome)
    done.extend(sweep_leftovers(backends))
    _judge_the_dead(done)
    if as_json:
        say_json({"recovered": [outcome.model_dump(mode="json") for outcome in done]})
    else:
        _say_recovered(done)
    return HealFailed.exit_code if any(outcome.still_broken for outcome in done) else 0


def _judge_the_dead(done: list[Recovered]) -> None:
    """A run that was killed gets the verdict it can have (unknown), and a report with all its evidence.

    One whose record was written to its end is judged as if nothing had happened.
    """
    for index, outcome in enumerate(done):
        directory = Path(outcome.subject)
        if not outcome.skipped and (directory / "plan.json").is_file():
            try:
                judged(directory, outcome.incomplete)
            except (ChaoskitError, OSError) as error:
                warning = f"no report could be made: {error}"
                done[index] = outcome.model_copy(update={"warnings": (*outcome.warnings, warning)})


def _say_recovered(done: list[Recovered]) -> None:
    if not done:
        say("nothing to recover: no dead run owes anything, and no orphaned lab is left", "good")
    for outcome in done:
        say(outcome.subject, "head")
        if outcome.skipped:
            say(f"  left alone: {outcome.skipped}")
        for healed in outcome.healed:
            say(f"  healed: {healed}", "good")
        for swept in outcome.swept:
            say(f"  removed: {swept}", "good")
        for warning in outcome.warnings:
            say(f"  {warning}", "warn")
        for broken in outcome.still_broken:
            say(f"  STILL THERE: {broken}", "bad")
