"""`run` and `recover`: the commands that act, and that make good."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from chaoskit.engine.clock import SystemClock
from chaoskit.engine.interrupting import Interrupts
from chaoskit.engine.recovering import Recovered, dead_runs, recover_run, sweep_leftovers
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import ChaoskitError, HealFailed, InputError, LabUnavailable, Problem
from chaoskit.model.result import Result
from chaoskit.surfaces.comparison_words import say_comparison
from chaoskit.surfaces.conducting import Request, conducted, judged, report_of
from chaoskit.surfaces.indexing import indexed
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.labs_elsewhere import recovered_there, say_fetched
from chaoskit.surfaces.options import (
    AVAILABILITY_TARGET,
    BACKEND,
    EXPERIMENT,
    FAILURES_PER_YEAR,
    JSON,
    MAX_TARGETS,
    REPORTS,
    SEED,
    SET,
)
from chaoskit.surfaces.over_trials import say_over_trials
from chaoskit.surfaces.showing import LiveProgress, PlainProgress, QuietProgress
from chaoskit.surfaces.terminal import say, say_json, say_table

VERDICT_STYLES = {"passed": "good", "failed": "bad", "unknown": "warn"}


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
@click.option("--against", metavar="NAME", default=None, help="Hold it against this baseline (`chaoskit baseline`).")
@click.option(
    "--tolerance", metavar="AMOUNT", default=None, help="With --against: how much worse is still the same (see `compare`)."
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
    against: str | None,
    tolerance: str | None,
    quiet: bool,
    as_json: bool,
) -> int:
    """Build the lab, break it, measure, put everything back, and write a report.

    Exit 0: every objective met; 1: one was missed; 3: the verdict is unknown; 4: a heal failed; 130: interrupted, after healing.
    With --against a regression is 1 as well, and an inconclusive comparison 3.
    """
    request = Request(
        experiment=experiment,
        overrides=overrides,
        repeat=repeat,
        failures_per_year=failures_per_year,
        availability_target=availability_target,
        backend=backend,
        seed=seed,
        max_targets=max_targets,
        out=out,
        reports=reports,
        keep_lab=keep_lab,
        on_lab=on_lab,
        against=against,
        tolerance=tolerance,
    )
    progress = QuietProgress() if quiet or as_json else LiveProgress() if _stderr_is_terminal() else PlainProgress()
    interrupts = Interrupts()
    with interrupts.outlasted():
        ended = conducted(request, installed, progress, interrupts)
        if as_json:
            say_json(ended.result.model_dump_json(by_alias=True, indent=2))
        else:
            say_verdict(ended.result, ended.ended_by, ended.written)
            if ended.comparison is not None:
                say()
                say_comparison(ended.comparison)
            if ended.kept_lab is not None:
                say(f"The lab stays up: chaoskit lab status {ended.kept_lab} · chaoskit lab down {ended.kept_lab}")
    return ended.exit_code


def say_verdict(result: Result, ended_by: str, written: tuple[Path, ...]) -> None:
    """The verdict, each objective, and where the report lies."""
    say()
    say(f"{result.verdict.upper()}  {result.experiment.title}", VERDICT_STYLES[result.verdict])
    marks = {True: "met", False: "MISSED", None: "unknown"}
    rows = [[f"  {marks[o.met]}", " ".join(filter(None, (o.name, o.subject))), o.target, o.actual] for o in result.objectives]
    if rows:
        say_table((), rows, widths_fixed=2)
    say_over_trials(result)
    for reason in dict.fromkeys((*result.reasons, *(r for o in result.objectives if o.met is None for r in o.reasons))):
        say(f"  because {reason}", "warn")
    if ended_by:
        say(f"  {ended_by}", "bad")
    for left in result.undo.dirty:
        say(f"  STILL BROKEN: {left}; try `chaoskit recover`", "bad")
    shown = report_of(written)
    if shown is not None:
        say(f"  report: {_short(shown)}")


def _short(path: Path) -> str:
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def _stderr_is_terminal() -> bool:
    return os.isatty(2) and os.environ.get("TERM", "") not in ("", "dumb")


def existing_run(path: Path, reports: Path) -> Path:
    """A recorded run: a directory, or the name of one in `reports`. InputError with those that are there."""
    for candidate in (path, reports / path):
        if (candidate / "plan.json").is_file():
            return candidate
    names = sorted((p.parent.name for p in reports.glob("*/plan.json")), reverse=True)
    message, known = "there is no recorded run here (no plan.json)", tuple(names[:10])
    raise InputError([Problem(message=message, value=str(path), allowed=known, nearest=nearest(path.name, names))])


@click.command()
@click.argument("places", metavar="[RUN]...", nargs=-1, type=click.Path(path_type=Path))
@REPORTS
@JSON
@pass_installed
def recover(installed: Installed, places: tuple[Path, ...], reports: Path, as_json: bool) -> int:
    """Heal and remove what dead runs left behind: RUN directories, or all in --reports, and every orphaned lab.

    Runs and labs whose chaoskit still lives are left alone. Exit 0: nothing is left; 4: something still is.
    """
    places = tuple(_place(place, reports) for place in places)
    backends: dict[str, Any] = {name: installed.backend(name) for name in installed.registry.names("backends")}
    done: list[Recovered] = []
    for directory in dead_runs(places or (reports,)):
        outcome = recover_run(directory, backends, SystemClock())
        if outcome is not None:
            done.append(outcome)
    done.extend(sweep_leftovers(backends))
    _judge_the_dead(done, reports)
    there = recovered_there(installed)
    done += there.done
    if as_json:
        said: dict[str, Any] = {"recovered": [outcome.model_dump(mode="json") for outcome in done]}
        said |= {"fetched": [str(path) for path in there.fetched]} if there.fetched else {}
        say_json(said | ({"trouble": there.trouble} if there.trouble else {}))
    else:
        _say_recovered(done, nothing=not there.fetched and not there.trouble)
        say_fetched(there)
    if any(outcome.still_broken for outcome in done):
        return HealFailed.exit_code
    return LabUnavailable.exit_code if there.trouble else 0


def _place(place: Path, reports: Path) -> Path:
    """A run directory, a folder of them, or the name of a run in `reports`. InputError with the runs that are there."""
    for candidate in (place, reports / place):
        if candidate.is_dir():
            return candidate
    names = sorted((p.name for p in reports.iterdir() if p.is_dir()), reverse=True) if reports.is_dir() else []
    message = "there is no such run directory"
    raise InputError([Problem(message=message, value=str(place), allowed=tuple(names[:10]), nearest=nearest(place.name, names))])


def _judge_the_dead(done: list[Recovered], reports: Path) -> None:
    """A run that was killed gets the verdict it can have (unknown), and a report with all its evidence.

    One whose record was written to its end is judged as if nothing had happened.
    """
    for index, outcome in enumerate(done):
        directory = Path(outcome.subject)
        if not outcome.skipped and (directory / "plan.json").is_file():
            try:
                judged(directory, outcome.incomplete)
                indexed(directory, reports)
            except (ChaoskitError, OSError) as error:
                warning = f"no report could be made: {error}"
                done[index] = outcome.model_copy(update={"warnings": (*outcome.warnings, warning)})


def _say_recovered(done: list[Recovered], *, nothing: bool) -> None:
    if not done and nothing:
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
