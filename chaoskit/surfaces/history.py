"""`history`: what was run, when, and how it ended; its figures over time are in `trending`, its pruning in `pruning`."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

from chaoskit.archive.index import Index, Wanted, opened
from chaoskit.model.errors import RecordingFailed
from chaoskit.model.indexed import IndexedRun, Outcome
from chaoskit.reporting.index_page import INDEX_PAGE
from chaoskit.reporting.text import one_line
from chaoskit.surfaces.asking import experiments_like, folder_there, instant_s, known_name
from chaoskit.surfaces.indexing import baseline_names, lost_words, words, write_page
from chaoskit.surfaces.options import JSON, REPORTS
from chaoskit.surfaces.pruning import prune
from chaoskit.surfaces.terminal import on_terminal, say, say_json, say_table
from chaoskit.surfaces.trending import show_trend

OUTCOMES: Sequence[Outcome] = ("passed", "failed", "unknown", "running", "dead", "unjudged", "unreadable")
OUTCOME_STYLES = {"passed": "good", "failed": "bad", "unknown": "warn", "running": "head", "dead": "bad", "unreadable": "bad"}
WIDE, MEDIUM = 150, 115
"""Columns of a terminal that the whole table takes, and that a table without lab and backend takes."""
SUBCOMMANDS = ("trend", "rebuild", "prune")


@click.group(name="history", invoke_without_command=True)
@click.option("--experiment", metavar="NAME", default=None, help="Its title, its file, or a part of either.")
@click.option("--lab", metavar="NAME", default=None, help="Only runs on this lab.")
@click.option("--backend", metavar="NAME", default=None, help="Only runs on this kind of lab.")
@click.option("--verdict", "outcomes", multiple=True, type=click.Choice(OUTCOMES), help="Only such; may be repeated.")
@click.option("--tag", "tags", metavar="TAG", multiple=True, help="Only runs with this tag; with several, those that have all.")
@click.option("--since", metavar="TIME", default=None, help="Started in the last 7d, 12h ..., or since a date; UTC.")
@click.option("--until", metavar="TIME", default=None, help="Started before that.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="The newest N of them.")
@REPORTS
@JSON
@click.pass_context
def history(
    context: click.Context,
    experiment: str | None,
    lab: str | None,
    backend: str | None,
    outcomes: tuple[str, ...],
    tags: tuple[str, ...],
    since: str | None,
    until: str | None,
    limit: int,
    reports: Path,
    as_json: bool,
) -> None:
    """List recorded runs, the newest first: when, what, verdict, RTO, lost writes.

    Runs that still go on, that were killed, or whose files are damaged are listed as such. An index in --reports keeps this fast;
    it follows the run directories, and may be removed at any time.
    """
    if context.invoked_subcommand is not None:
        _hand_on(context, reports)
        return
    if not folder_there(reports):
        _say_nothing(reports, as_json)
        return
    now_s = time.time()
    with opened(reports) as index:
        wanted = Wanted(
            experiments=None if experiment is None else experiments_like(index, experiment),
            lab=known_name(lab, "--lab", "lab", index.labs()),
            backend=known_name(backend, "--backend", "backend", index.backends()),
            outcomes=outcomes,
            tags=[tag for tag in tags if known_name(tag, "--tag", "tag", index.tags())],
            since_s=instant_s(since, "--since", now_s),
            until_s=instant_s(until, "--until", now_s),
        )
        runs, total, everything = index.runs(wanted, limit), index.count(wanted), index.count()
        _say_note(index, as_json)
    if as_json:
        say_json({"schema": "chaoskit.history/1", "total": total, "runs": [_data(run) for run in runs]})
    elif not everything:
        _say_nothing(reports, as_json)
    elif not runs:
        say(f"none of the {everything} recorded runs is such a one", "warn")
    else:
        _say_runs(runs, baseline_names(reports))
        if total > len(runs):
            say(f"the newest {len(runs)} of {total}; --limit N shows more", "dim")


def _hand_on(context: click.Context, reports: Path) -> None:
    """--reports may stand before the subcommand; any other option of the list means nothing to it."""
    name = str(context.invoked_subcommand)
    for option in context.params:
        given = context.get_parameter_source(option) is ParameterSource.COMMANDLINE
        if given and option not in ("reports", "as_json"):
            flag = "--verdict" if option == "outcomes" else f"--{option.removesuffix('s') if option == 'tags' else option}"
            raise click.UsageError(f"{flag} is an option of the list; what {name} takes stands after it", context)
    if context.get_parameter_source("reports") is not ParameterSource.DEFAULT:
        context.default_map = {sub: {"reports": str(reports), "as_json": context.params["as_json"]} for sub in SUBCOMMANDS}


def _say_nothing(reports: Path, as_json: bool) -> None:
    if as_json:
        say_json({"schema": "chaoskit.history/1", "total": 0, "runs": []})
    else:
        say(f"no run is recorded in {reports} yet: `chaoskit run EXPERIMENT` records one")


def _say_note(index: Index, as_json: bool) -> None:
    if index.note and not as_json:
        click.echo(index.note, err=True)


def _data(run: IndexedRun) -> dict[str, object]:
    return {"outcome": run.outcome, **run.model_dump(mode="json")}


def _say_runs(runs: Sequence[IndexedRun], names: dict[str, tuple[str, ...]]) -> None:
    width = shutil.get_terminal_size().columns
    if not on_terminal():
        _say_lines(runs, names)
    elif width < MEDIUM:
        for run in runs:
            _say_block(run, names.get(run.name, ()))
    else:
        _say_drawn(runs, names, whole=width >= WIDE)


def _say_lines(runs: Sequence[IndexedRun], names: dict[str, tuple[str, ...]]) -> None:
    """For a pipe: a line a run, whatever its width."""
    columns = ("run", "started (UTC)", "verdict", "lab", "backend", "trials", "RTO", "lost", "experiment")
    rows = []
    for run in runs:
        where = (_lab(run), run.backend or "-", str(run.trials or "-"))
        rows.append((run.name, _when(run), _outcome(run), *where, *_figures(run), _about(run, names)))
    say_table(columns, rows)


def _say_drawn(runs: Sequence[IndexedRun], names: dict[str, tuple[str, ...]], *, whole: bool) -> None:
    columns = ("verdict", "started (UTC)", *(("lab", "backend") if whole else ()), "RTO", "lost", "experiment")
    rows = []
    for run in runs:
        where = (_lab(run), run.backend or "-") if whole else ()
        rows.append((_outcome(run), _when(run), *where, *_figures(run), f"{_about(run, names)}\n  {run.name}"))
    styles = {(i, 0): OUTCOME_STYLES.get(run.outcome, "") for i, run in enumerate(runs)}
    say_table(columns, rows, widths_fixed=2, styles=styles)


def _outcome(run: IndexedRun) -> str:
    return run.outcome + (" (owes a heal)" if run.owes else "")


def _figures(run: IndexedRun) -> tuple[str, str]:
    return one_line(words(run, "rto") or "-", 120), lost_words(run) or "-"


def _about(run: IndexedRun, names: dict[str, tuple[str, ...]]) -> str:
    marks = "".join(f" [baseline {name}]" for name in names.get(run.name, ()))
    return one_line(run.title or run.reason or "-", 120) + marks


def _say_block(run: IndexedRun, names: Sequence[str]) -> None:
    """A run on a narrow terminal."""
    say(f"{run.outcome.upper()}  {one_line(run.title or run.name, 160)}", OUTCOME_STYLES.get(run.outcome, ""))
    say(f"  {run.name}")
    trials = f", {run.trials} {'trial' if run.trials == 1 else 'trials'}" if run.trials else ""
    say(f"  {_when(run)} UTC, {_lab(run)}{f', {run.backend}' if run.backend else ''}{trials}")
    figures = [f"{what} {text}" for what, text in zip(("RTO", "lost"), _figures(run), strict=True) if text != "-"]
    for line in (*figures, *([run.reason] if run.reason else []), *(f"baseline {name}" for name in names)):
        say(f"  {line}")
    if run.owes:
        say(f"  still broken: {one_line('; '.join(run.owes))}", "bad")


def _lab(run: IndexedRun) -> str:
    return one_line(f"{run.lab or '-'}{f' ({run.variant})' if run.variant else ''}", 60)


def _when(run: IndexedRun) -> str:
    return datetime.fromtimestamp(run.started_s, UTC).strftime("%Y-%m-%d %H:%M")


@history.command()
@REPORTS
@JSON
def rebuild(reports: Path, as_json: bool) -> None:
    """Read every run directory again, and write the index and the page index.html anew.

    Nothing but those two files is touched. It is never needed for the figures to be right: the index follows the directories.
    """
    if not folder_there(reports):
        _say_nothing(reports, as_json)
        return
    with opened(reports, anew=True) as index:
        try:
            page = write_page(index, reports)
        except OSError as error:
            raise RecordingFailed(f"{reports / INDEX_PAGE} could not be written: {error.strerror}") from error
        runs, note = index.count(), index.note
        unreadable = index.runs(Wanted(outcomes=("unreadable",)))
    if as_json:
        damaged = [{"run": run.name, "reason": run.reason} for run in unreadable]
        say_json({"schema": "chaoskit.history/1", "total": runs, "page": str(page), "note": note, "unreadable": damaged})
        return
    say(f"{runs} {'run' if runs == 1 else 'runs'} read; page: {page}", "good")
    for run in unreadable:
        say(f"  {run.name}: {run.reason}", "warn")
    if note:
        click.echo(note, err=True)


history.add_command(show_trend)
history.add_command(prune)
