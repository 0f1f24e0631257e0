"""What the commands on recorded runs are asked with: names of what was run, times, folders; each with its error."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from click.core import ParameterSource

from chaoskit.archive.index import Index
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.units import Duration

TIME = "7d, 12h, 2026-11-20 or 2026-11-20T18:00 (UTC)"


def folder_there(reports: Path) -> bool:
    """Whether there is a folder of runs yet. InputError where one was named that is not there."""
    if reports.is_dir():
        return True
    context = click.get_current_context(silent=True)
    if context is None or context.get_parameter_source("reports") is not ParameterSource.DEFAULT or reports.exists():
        raise InputError([Problem(message="there is no such folder of run directories", path="--reports", value=str(reports))])
    return False


def instant_s(text: str | None, option: str, now_s: float) -> float | None:
    """Seconds since 1970 of a time as people write it: how long ago, a date, or an instant; UTC where it names no zone."""
    if text is None:
        return None
    if re.match(r"\s*\d{4}-", text):
        try:
            moment = datetime.fromisoformat(text.strip())
        except ValueError as error:
            raise InputError([Problem(message=f"no date: {error}", path=option, value=text, allowed=(TIME,))]) from error
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
    return now_s - age_s(text, option)


def age_s(text: str, option: str) -> float:
    """A length of time such as 90d, in seconds; weeks too."""
    weeks = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*w\s*", text)
    try:
        return float(weeks.group(1)) * 7 * 86400 if weeks else float(Duration.parse(text))
    except ValueError as error:
        message = f"no time that can be understood: {error}"
        raise InputError([Problem(message=message, path=option, value=text, allowed=(TIME,))]) from error


def experiments_like(index: Index, asked: str) -> list[tuple[str, str]]:
    """(title, path) of the experiments that a word names: a title, a file, a file's name without .yaml, or a part of those.

    What is named exactly comes before what is named in part. InputError with those there are, and the nearest.
    """
    known = index.experiments()
    word = asked.lower().removeprefix("./")
    exact = [pair for pair in known if word in _names(pair)]
    found = exact or [pair for pair in known if word and any(word in name for name in _names(pair))]
    if found:
        return found
    words = list(dict.fromkeys(name for pair in known for name in (Path(pair[1]).stem, pair[0]) if name))
    shown = tuple(dict.fromkeys(Path(path).stem or title for title, path in known))
    message = f"no run of an experiment {asked!r} is recorded here"
    raise InputError(
        [Problem(message=message, path="experiment", value=asked, allowed=shown[:20], nearest=nearest(asked, words))]
    )


def _names(pair: tuple[str, str]) -> tuple[str, ...]:
    title, path = pair
    return title.lower(), path.lower(), Path(path).name.lower(), Path(path).stem.lower()


def known_name(asked: str | None, option: str, what: str, known: Sequence[str]) -> str | None:
    """One of the names that any run has. InputError with those, and the nearest."""
    if asked is None or asked in known:
        return asked
    message = f"no recorded run has the {what} {asked!r}"
    raise InputError(
        [Problem(message=message, path=option, value=asked, allowed=tuple(known[:20]), nearest=nearest(asked, known))]
    )
