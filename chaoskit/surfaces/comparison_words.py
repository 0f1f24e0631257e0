"""A comparison in words: on a terminal, and in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from chaoskit.engine.comparing import SHOWN_DIFFERENCES
from chaoskit.model.comparison import Comparison, Shift
from chaoskit.model.over_trials import Summary
from chaoskit.reporting.text import markdown, table
from chaoskit.surfaces.over_trials import interval, value
from chaoskit.surfaces.terminal import say, say_table

STYLES = {"equivalent": "good", "improved": "good", "regressed": "bad", "inconclusive": "warn"}
_COLUMNS = ("rank", "runs", "trials", "median", "95 % interval of the median", "worst")


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


def say_comparison(made: Comparison) -> None:
    """For people."""
    say(f"{made.verdict.upper()}  {made.figure}, tolerance {_tolerance_words(made)}", STYLES[made.verdict])
    say()
    say_table(_COLUMNS, _rows(made), widths_fixed=2)
    say()
    for verdict, words in _lines(made):
        say(f"{verdict}: {words}", STYLES[verdict])
    for warning in _warnings(made):
        say(f"  {warning}", "warn")


def markdown_comparison(made: Comparison) -> str:
    """For a pull request."""
    parts = [
        f"**{made.verdict}**: {markdown(made.figure)}, tolerance {markdown(_tolerance_words(made))}",
        table(_COLUMNS, [[markdown(cell) for cell in row] for row in _rows(made)]),
        "\n".join(f"- **{verdict}**: {markdown(words)}" for verdict, words in _lines(made)),
        "\n".join(f"- {markdown(warning)}" for warning in _warnings(made)),
    ]
    return "\n\n".join(part for part in parts if part)
