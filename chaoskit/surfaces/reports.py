"""`report`: a recorded run again, in any format; and one report over several runs."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from chaoskit.model.errors import InputError, Problem
from chaoskit.model.units import Fraction
from chaoskit.reporting.combined import render_combined
from chaoskit.reporting.render import EVERY_RUN, FILE_NAMES, rendered
from chaoskit.reporting.writing import write_whole
from chaoskit.surfaces.conducting import judged
from chaoskit.surfaces.indexing import indexed
from chaoskit.surfaces.options import AVAILABILITY_TARGET, FAILURES_PER_YEAR, JSON, REPORTS
from chaoskit.surfaces.running import existing_run, say_verdict
from chaoskit.surfaces.terminal import say, say_json

SUFFIXES = {".html": "html", ".htm": "html", ".md": "md", ".xml": "junit", ".pdf": "pdf", ".json": "json"}
STDOUT = Path("-")


@click.command()
@click.argument("places", metavar="RUN...", nargs=-1, required=True)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(list(FILE_NAMES)),
    help="What to write; may be repeated. Left out: html, md and junit, as each run does; with --out by its ending.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="One file instead of those in the run directory; - is standard output. Needed with several runs.",
)
@click.option("--title", default=None, help="The title of a report over several runs.")
@REPORTS
@FAILURES_PER_YEAR
@AVAILABILITY_TARGET
@JSON
def report(
    places: tuple[str, ...],
    formats: tuple[str, ...],
    out: Path | None,
    title: str | None,
    reports: Path,
    failures_per_year: float | None,
    availability_target: str | None,
    as_json: bool,
) -> int:
    """Measure, judge and render a recorded run again. RUN is a run directory or the name of one in --reports.

    Without options, what it writes is to the byte what the run wrote. Several runs (a sweep, a game day, a suite; also a folder
    of them or a quoted glob) give one report over all of them, from their results as they are: their verdicts and figures side
    by side, with links to their own reports.
    """
    runs = [run for place in places for run in _runs(place, reports)]
    stated = _stated(failures_per_year, availability_target)
    if len(runs) > 1:
        _one_over_all(runs, formats, out, title, bool(stated) or as_json)
        return 0
    if title is not None:
        raise InputError([Problem(message="a run has its experiment's title; this is for several", path="--title", value=title)])
    kind = _kind(formats, out) if out is not None else None
    result, written = judged(runs[0], stated=stated, formats=formats or EVERY_RUN if out is None else ())
    indexed(runs[0], reports)
    if out is not None and kind is not None:
        _put(out, rendered(runs[0], kind))
        if out == STDOUT:
            return 0
        written = (out,)
    if as_json:
        say_json(result.model_dump_json(by_alias=True, indent=2))
    else:
        say_verdict(result, "", () if formats or out else written)
        for path in written if formats or out else ():
            say(f"  report: {path}")
    return 0


def _put(out: Path, content: bytes) -> None:
    """InputError where the file cannot be written."""
    if out == STDOUT:
        click.echo(content, nl=False)
        return
    try:
        write_whole(out, content)
    except OSError as error:
        raise InputError([Problem(message=f"cannot be written: {error.strerror}", path="--out", value=str(out))]) from error


def _kind(formats: Sequence[str], out: Path) -> str:
    """The format of one file: as asked, else by its ending."""
    if len(formats) > 1:
        raise InputError([Problem(message="one file has one format", path="--format", value=", ".join(formats))])
    if formats:
        return formats[0]
    kind = SUFFIXES.get(out.suffix.lower())
    if kind is None:
        message = "say which format with --format: the name does not tell"
        raise InputError([Problem(message=message, path="--out", value=str(out), allowed=tuple(SUFFIXES))])
    return kind


def _one_over_all(runs: Sequence[Path], formats: Sequence[str], out: Path | None, title: str | None, refused: bool) -> None:
    if refused:
        message = "belongs to one run; a report over several takes their results as they are (--format json for programs)"
        raise InputError([Problem(message=f"--json, --failures-per-year or --availability-target {message}")])
    if out is None:
        message = f"{len(runs)} runs give one report of their own: say where it goes, such as --out combined.html"
        raise InputError([Problem(message=message, path="--out")])
    kind = _kind(formats, out)
    if out == STDOUT:
        raise InputError([Problem(message="it links to the runs' reports, so it needs a place: a file", path="--out", value="-")])
    try:
        verdict = render_combined(runs, out, kind, title or "Several runs")
    except OSError as error:
        raise InputError([Problem(message=f"cannot be written: {error.strerror}", path="--out", value=str(out))]) from error
    say(f"{verdict.upper()}  {len(runs)} runs")
    say(f"  report: {out}")


def _runs(place: str, reports: Path) -> list[Path]:
    """What one argument names: a run, a folder of runs, or a glob. InputError where it names none."""
    found: list[Path] = []
    for candidate in (place, str(reports / place)):
        paths = [Path(candidate)] if Path(candidate).is_dir() else [Path(p) for p in sorted(glob.glob(candidate))]
        for path in paths:
            inner = [path] if (path / "plan.json").is_file() else sorted(p.parent for p in path.glob("*/plan.json"))
            found += [p for p in inner if p not in found]
        if found:
            return found
    return [existing_run(Path(place), reports)]


def _stated(failures_per_year: float | None, availability_target: str | None) -> dict[str, Any]:
    """What the experiment would say of rate and target. InputError for a target that is no share."""
    stated: dict[str, Any] = {} if failures_per_year is None else {"failures_per_year": failures_per_year}
    if availability_target is not None:
        try:
            stated["availability_target"] = Fraction.parse(availability_target)
        except ValueError as error:
            raise InputError([Problem(message=str(error), path="--availability-target", value=availability_target)]) from error
    return stated
