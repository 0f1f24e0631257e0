"""`note`: what somebody saw or decided, into the record of a run."""

from __future__ import annotations

import getpass
from datetime import datetime
from pathlib import Path

import click

from chaoskit.engine.clock import SystemClock
from chaoskit.engine.noting import add_note, running_runs
from chaoskit.engine.run_directory import RunDirectory
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.history import Event
from chaoskit.surfaces.conducting import judged
from chaoskit.surfaces.indexing import indexed
from chaoskit.surfaces.options import JSON, REPORTS
from chaoskit.surfaces.running import existing_run
from chaoskit.surfaces.terminal import say, say_json


@click.command()
@click.argument("text")
@click.option(
    "--run",
    "run_directory",
    metavar="RUN",
    type=click.Path(path_type=Path),
    default=None,
    help="A run directory or the name of one in --reports; the run that goes on where left out.",
)
@REPORTS
@click.option("--by", metavar="NAME", default=None, help="Who says so (default: whoever is logged in).")
@click.option(
    "--at",
    metavar="TIME",
    default=None,
    help="When it was: after the end of the baseline (12s), or an instant (2026-03-31T14:05:09Z; UTC where it has no zone).",
)
@click.option("--trial", type=click.IntRange(0), default=None, help="Of which trial a time such as 12s is.")
@click.option("--decision", "about", flag_value="decision", help="It is something that was decided.")
@click.option("--follow-up", "about", flag_value="follow-up", help="It is something to be done.")
@click.option("--owner", metavar="NAME", default=None, help="Who does what is to be done.")
@click.option(
    "--re-test",
    "retest",
    metavar="DAY",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    help="When it is tested again, such as 2026-03-31.",
)
@JSON
def note(
    text: str,
    run_directory: Path | None,
    reports: Path,
    by: str | None,
    at: str | None,
    trial: int | None,
    about: str | None,
    owner: str | None,
    retest: datetime | None,
    as_json: bool,
) -> int:
    """Note what you see, from a second terminal, in the run that goes on: it lands on the report's time line.

    With --run also in one that is over; its report is then written again. Decisions and follow-ups stand in the report's section
    on the game day.
    """
    if not text.strip():
        raise InputError([Problem(message="a note needs words", path="TEXT", value=text)])
    if (owner or retest) and about != "follow-up":
        message = "belongs to something to be done: say --follow-up as well"
        raise InputError([Problem(message=message, path="--owner" if owner else "--re-test")])
    directory = _the_run_that_goes_on(reports) if run_directory is None else existing_run(run_directory, reports)
    data = {"text": text.strip(), "author": by or _whoever_is_logged_in(), "about": about or "note"}
    if about == "follow-up":
        data |= {"owner": owner or "", "retest": retest.date().isoformat() if retest else ""}
    goes_on = RunDirectory(directory).owner_is_alive()
    event = add_note(directory, data, SystemClock(), at, trial)
    written = () if goes_on or not (directory / "result.json").is_file() else judged(directory)[1]
    if written:
        indexed(directory, reports)
    if as_json:
        say_json(event.model_dump_json())
    else:
        say(f"noted in {directory.name}, {_when(event)}")
        for path in (p for p in written if p.suffix == ".html"):
            say(f"  report: {path}")
    return 0


def _when(event: Event) -> str:
    return event.wall if event.trial is None else f"trial {event.trial}, {event.wall}"


def _whoever_is_logged_in() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may have a user without a name
        return ""


def _the_run_that_goes_on(reports: Path) -> Path:
    """InputError where there is none, or where it could be one of several."""
    running = running_runs(reports)
    if len(running) == 1:
        return running[0]
    if running:
        message = "several runs go on: say which one with --run"
        raise InputError([Problem(message=message, path="--run", allowed=tuple(p.name for p in running))])
    message = "no run is going on here; --run RUN adds a note to a run that is over, or that writes elsewhere (run --out)"
    raise InputError([Problem(message=message, value=str(reports))])
