"""`compare`: recorded runs before and after a change."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

import click

from chaoskit.engine.comparing import DEFAULT_TOLERANCE, SHOWN_DIFFERENCES, Recorded, compare, recorded
from chaoskit.model.comparison import Comparison, Shift
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.over_trials import Summary
from chaoskit.reporting.text import markdown, table
from chaoskit.surfaces.over_trials import interval, value
from chaoskit.surfaces.reading import JSON
from chaoskit.surfaces.running import REPORTS
from chaoskit.surfaces.terminal import say, say_table

CODES = {"equivalent": 0, "improved": 0, "regressed": 1, "inconclusive": 3}
STYLES = {"equivalent": "good", "improved": "good", "regressed": "bad", "inconclusive": "warn"}
_COLUMNS = ("rank", "runs", "trials", "median", "95 % interval of the median", "worst")


@click.command(name="compare")
@click.argument("places", metavar="A B...", nargs=-1, required=True)
@REPORTS
@click.option("--figure", default="rto", show_default=True, metavar="NAME", help="A key of `summary` in result.json.")
@click.option(
    "--tolerance", default=None, metavar="AMOUNT",
    help=f"How much worse is still the same: 2s, a number, or a share of A's median ({DEFAULT_TOLERANCE} where left out).",
)  # fmt: skip
@click.option("--anyway", is_flag=True, help="Compare also runs that asked different questions.")
@click.option("--markdown", "as_markdown", is_flag=True, help="Markdown on stdout.")
@JSON
def compare_runs(
    places: tuple[str, ...],
    reports: Path,
    figure: str,
    tolerance: str | None,
    anyway: bool,
    as_markdown: bool,
    as_json: bool,
) -> int:
    """Tell whether B is worse than A by more than a tolerance, from the trials of recorded runs.

    Each of A and B is a run directory, a folder of them, a name in --reports, or a quoted glob such as 'reports/*-old-*': the
    trials of its runs are taken together. With more than two, each is held against the first, and all are ranked.

    Exit 0: equivalent, or improved; 1: regressed; 2: the runs cannot be compared; 3: inconclusive.
    """
    if len(places) < 2:
        raise InputError([Problem(message="give at least two: the runs before a change, and those after it", value=places[0])])
    labels = [f"{place} ({i})" if places.count(place) > 1 else place for i, place in enumerate(places, start=1)]
    groups = [(label, _runs(place, reports)) for label, place in zip(labels, places, strict=True)]
    made = compare(groups, figure, tolerance, anyway=anyway)
    if as_json:
        click.echo(made.model_dump_json(by_alias=True, indent=2))
    elif as_markdown:
        click.echo(_markdown(made))
    else:
        _say(made)
    return CODES[made.verdict]


def _runs(place: str, reports: Path) -> list[Recorded]:
    """Every run that an argument names, sorted. InputError where it names none."""
    for candidate in (place, str(reports / place)):
        paths = [Path(candidate)] if Path(candidate).is_dir() else [Path(p) for p in sorted(glob.glob(candidate))]
        runs = [p for p in paths if (p / "plan.json").is_file()]
        runs += sorted(inner.parent for p in paths if p not in runs for inner in p.glob("*/plan.json"))
        if runs:
            return [recorded(run) for run in runs]
    known = tuple(sorted((p.parent.name for p in reports.glob("*/plan.json")), reverse=True)[:10])
    raise InputError([Problem(message="there is no recorded run here (no plan.json)", value=place, allowed=known)])


# -- words -----------------------------------------------------------------------------------------------------------------


def _rows(made: Comparison) -> list[tuple[str, ...]]:
    tied = [g.rank for g in made.groups]
    return [
        (
            f"{g.rank}{' (tie)' if tied.count(g.rank) > 1 else ''}",
            g.label,
            f"{g.summary.n}{f' of {g.summary.trials}' if g.summary.n < g.summary.trials else ''}",
            value(g.summary, g.summary.median) if g.summary.n else "unknown",
            interval(g.summary),
            value(g.summary, g.summary.max) if g.summary.n else "unknown",
        )
        for g in made.groups
    ]


def shift_words(found: Shift, unit: str) -> str:
    """The estimate with its interval and the confidence of that."""
    alone = Summary(n=1, median=None, max=None, unit=unit)
    point = "not known (censored)" if found.point is None else _signed(alone, found.point)
    if found.interval is None:
        return f"{point}; no interval"
    low, high = found.interval
    ends = f"{'-infinity' if low is None else _signed(alone, low)} to {'infinity' if high is None else _signed(alone, high)}"
    return f"{point} ({ends}, {found.confidence or 0:.1%} confidence)".replace("%", " %")


def _signed(summary: Summary, number: float) -> str:
    return ("+" if number > 0 else "") + value(summary, number)


def _warnings(made: Comparison) -> list[str]:
    shown = [f"{d.what} differs: {d.a} in {d.between[0]}, {d.b} in {d.between[1]}" for d in made.differences]
    more = len(shown) - SHOWN_DIFFERENCES
    shown = shown[:SHOWN_DIFFERENCES] + ([f"{more} more differences (--json has them all)"] if more > 0 else [])
    return [*shown, *made.notes, *(f"left out: {one}" for g in made.groups for one in g.left_out)]


def _tolerance_words(made: Comparison) -> str:
    amount = "" if made.tolerance is None else value(Summary(n=1, median=None, max=None, unit=made.unit), made.tolerance)
    if not made.tolerance_text.endswith("median"):
        return made.tolerance_text
    return f"{made.tolerance_text}, {amount or 'which is not known'}"


def _lines(made: Comparison) -> Sequence[tuple[str, str]]:
    """(what, words) of each outcome."""
    return [
        (o.verdict, f"{o.group} against {made.groups[0].label}: shift {shift_words(o.shift, made.unit)}: {o.reason}")
        for o in made.outcomes
    ]


def _say(made: Comparison) -> None:
    say(f"{made.verdict.upper()}  {made.figure}, tolerance {_tolerance_words(made)}", STYLES[made.verdict])
    say()
    say_table(_COLUMNS, _rows(made), widths_fixed=2)
    say()
    for verdict, words in _lines(made):
        say(f"{verdict}: {words}", STYLES[verdict])
    for warning in _warnings(made):
        say(f"  {warning}", "warn")


def _markdown(made: Comparison) -> str:
    parts = [
        f"**{made.verdict}**: {markdown(made.figure)}, tolerance {markdown(_tolerance_words(made))}",
        table(_COLUMNS, [[markdown(cell) for cell in row] for row in _rows(made)]),
        "\n".join(f"- **{verdict}**: {markdown(words)}" for verdict, words in _lines(made)),
        "\n".join(f"- {markdown(warning)}" for warning in _warnings(made)),
    ]
    return "\n\n".join(part for part in parts if part)
