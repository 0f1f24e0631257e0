"""`baseline set|list|remove`: runs that later ones are held against, under a name."""

from __future__ import annotations

import time
from pathlib import Path

import click

from chaoskit.archive.baselines import baselines, remove_baseline, set_baseline
from chaoskit.engine.clock import iso_utc
from chaoskit.engine.comparing import compare, recorded
from chaoskit.engine.shifts import trials_against
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.indexed import Baseline
from chaoskit.surfaces.asking import folder_there
from chaoskit.surfaces.options import JSON, REPORTS
from chaoskit.surfaces.running import existing_run
from chaoskit.surfaces.terminal import say, say_json, say_table


@click.group(name="baseline")
def baseline_group() -> None:
    """Name runs that later ones are held against: `compare --baseline`, `run --against`.

    A baseline is kept in baselines.json in --reports. Its runs are never pruned.
    """


@baseline_group.command(name="set")
@click.argument("name", metavar="NAME")
@click.argument("runs", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--tolerance", metavar="AMOUNT", default=None, help="How much worse is still the same, where nothing else is said.")
@REPORTS
@JSON
def set_(name: str, runs: tuple[Path, ...], tolerance: str | None, reports: Path, as_json: bool) -> None:
    """Name one or more runs in --reports; a baseline of that name is replaced.

    Several runs of the same experiment are taken together. It takes 4 valid trials against 4 (or 3 against 5, 2 against 8) for
    any verdict. Runs that asked different questions are refused.
    """
    found = [existing_run(run, reports) for run in runs]
    outside = [path for path in found if path.resolve().parent != reports.resolve()]
    if outside:
        message = f"a baseline names runs in {reports}, and this one lies elsewhere; --reports names another folder"
        raise InputError([Problem(message=message, value=str(path)) for path in outside])
    names = tuple(dict.fromkeys(path.resolve().name for path in found))
    together = [recorded(reports / run) for run in names]
    figures = [figure for run in together for figure in run.result.summary]
    figure = "rto" if "rto" in figures or not figures else figures[0]
    made = compare([(name, together), (name, together)], figure, tolerance)  # refuses what could never be compared
    kept = Baseline(
        runs=names, set_at=iso_utc(time.time_ns()), experiment=together[0].result.experiment.title, tolerance=tolerance
    )
    before = set_baseline(reports, name, kept)
    valid = made.groups[0].summary.n
    notes = [*made.groups[0].left_out, *([few_trials(valid)] if few_trials(valid) else [])]
    if as_json:
        say_json({"name": name, **kept.model_dump(mode="json"), "valid_trials": valid, "notes": notes})
        return
    say(f"{name}: {', '.join(names)}: {valid} valid {'trial' if valid == 1 else 'trials'} of {kept.experiment}", "good")
    if before is not None:
        say(f"  before: {', '.join(before.runs)}, set {before.set_at[:10]}")
    for note in notes:
        say(f"  {note}", "warn")


def few_trials(valid: int) -> str:
    """What so few valid trials in a baseline can never, or hardly ever, give; empty where 4 more trials are enough."""
    needed = trials_against(valid)
    if needed is None:
        return "without a valid trial there is no verdict, whatever is held against it"
    return (
        f"{valid} valid {'trial gives' if valid == 1 else 'trials give'} a verdict only against {needed} or more"
        if needed > 4
        else ""
    )


@baseline_group.command(name="list")
@REPORTS
@JSON
def list_(reports: Path, as_json: bool) -> None:
    """List the baselines, with their runs."""
    found = baselines(reports) if folder_there(reports) else {}
    if as_json:
        data = {n: {**b.model_dump(mode="json"), "gone": _gone(b, reports)} for n, b in found.items()}
        say_json({"schema": "chaoskit.baselines/1", "baselines": data})
        return
    if not found:
        say("there is no baseline yet: `chaoskit baseline set NAME RUN` sets one")
        return
    rows = []
    for name, b in found.items():
        runs = ", ".join(f"{run} (GONE)" if run in _gone(b, reports) else run for run in b.runs)
        rows.append((name, b.set_at[:10], b.tolerance or "-", runs, b.experiment))
    say_table(("baseline", "set", "tolerance", "runs", "experiment"), rows)


def _gone(baseline: Baseline, reports: Path) -> list[str]:
    return [run for run in baseline.runs if not (reports / run / "plan.json").is_file()]


@baseline_group.command(name="remove")
@click.argument("name", metavar="NAME")
@REPORTS
@JSON
def remove(name: str, reports: Path, as_json: bool) -> None:
    """Forget a baseline. Its runs stay, and may be pruned from now on."""
    gone = remove_baseline(reports, name)
    if as_json:
        say_json({"removed": name, **gone.model_dump(mode="json")})
    else:
        say(f"{name} is no baseline any more; its runs stay: {', '.join(gone.runs)}", "good")
