"""`compare`: recorded runs before and after a change."""

from __future__ import annotations

import glob
from pathlib import Path

import click

from chaoskit.archive.baselines import baseline, runs_of
from chaoskit.engine.comparing import DEFAULT_TOLERANCE, Recorded, compare, recorded
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem
from chaoskit.surfaces.against import CODES
from chaoskit.surfaces.comparison_words import markdown_comparison, say_comparison
from chaoskit.surfaces.options import JSON, REPORTS


@click.command(name="compare")
@click.argument("places", metavar="[A] B...", nargs=-1, required=True)
@click.option("--baseline", "name", metavar="NAME", default=None, help="Take the runs of this baseline as A.")
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
    name: str | None,
    reports: Path,
    figure: str,
    tolerance: str | None,
    anyway: bool,
    as_markdown: bool,
    as_json: bool,
) -> int:
    """Tell whether B is worse than A by more than a tolerance, from the trials of recorded runs.

    Each of A and B is a run directory, a folder of them, a name in --reports, or a quoted glob such as 'reports/*-old-*': the
    trials of its runs are taken together. With more than two, each is held against the first, and all are ranked. With --baseline
    NAME, A is left out: it is what `chaoskit baseline set` named, and its tolerance holds where none is given.

    Exit 0: equivalent, or improved; 1: regressed; 2: the runs cannot be compared; 3: inconclusive.
    """
    if len(places) < 2 and name is None:
        message = "give at least two: the runs before a change, and those after it; or one, and --baseline NAME"
        raise InputError([Problem(message=message, value=places[0])])
    labels = [f"{place} ({i})" if places.count(place) > 1 else place for i, place in enumerate(places, start=1)]
    groups = [(label, _runs(place, reports)) for label, place in zip(labels, places, strict=True)]
    if name is not None:
        groups.insert(0, (f"baseline {name}", [recorded(run) for run in runs_of(reports, name, "--baseline")]))
        tolerance = tolerance or baseline(reports, name).tolerance
    made = compare(groups, figure, tolerance, anyway=anyway)
    if as_json:
        click.echo(made.model_dump_json(by_alias=True, indent=2))
    elif as_markdown:
        click.echo(markdown_comparison(made))
    else:
        say_comparison(made)
    return CODES[made.verdict]


def _runs(place: str, reports: Path) -> list[Recorded]:
    """Every run that an argument names, sorted. InputError where it names none."""
    for candidate in (place, str(reports / place)):
        paths = [Path(candidate)] if Path(candidate).is_dir() else [Path(p) for p in sorted(glob.glob(candidate))]
        runs = [p for p in paths if (p / "plan.json").is_file()]
        runs += sorted(inner.parent for p in paths if p not in runs for inner in p.glob("*/plan.json"))
        if runs:
            return [recorded(run) for run in runs]
    names = sorted((p.parent.name for p in reports.glob("*/plan.json")), reverse=True)
    message, known = "there is no recorded run here (no plan.json)", tuple(names[:10])
    raise InputError([Problem(message=message, value=place, allowed=known, nearest=nearest(place, names))])
