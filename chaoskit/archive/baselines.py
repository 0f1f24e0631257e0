"""Named baselines: runs that later ones are held against. They have a file of their own, since an index may be thrown away."""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem, RecordingFailed
from chaoskit.model.indexed import Baseline, Baselines

BASELINES_FILE = "baselines.json"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def baselines(reports: Path) -> dict[str, Baseline]:
    """Name -> baseline, sorted. InputError where the file is damaged: a baseline is not forgotten in silence."""
    file = reports / BASELINES_FILE
    try:
        found = Baselines.model_validate_json(file.read_bytes()).baselines
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        return {}
    except OSError as error:
        raise InputError([Problem(message=f"the baselines cannot be read: {error.strerror}", file=str(file))]) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        message = f"no file of baselines ({first['msg']}); mend it, or remove it and set them again"
        raise InputError([Problem(message=message, file=str(file), path=where)]) from error
    return dict(sorted(found.items()))


def baseline(reports: Path, name: str, said: str = "baseline") -> Baseline:
    """InputError with those there are, and the nearest. `said`: the option or argument that named it."""
    found = baselines(reports)
    if name not in found:
        message = (
            f"there is no baseline {name!r}" if found else "there is no baseline yet: `chaoskit baseline set NAME RUN` sets one"
        )
        raise InputError([Problem(message=message, path=said, value=name, allowed=tuple(found), nearest=nearest(name, found))])
    return found[name]


def runs_of(reports: Path, name: str, said: str = "baseline") -> list[Path]:
    """The run directories of a baseline. InputError where one is gone."""
    paths = [reports / run for run in baseline(reports, name, said).runs]
    gone = [path for path in paths if not (path / "plan.json").is_file()]
    if gone:
        problems = [Problem(message=f"a run of the baseline {name!r} is gone; set it again", value=str(path)) for path in gone]
        raise InputError(problems)
    return paths


def set_baseline(reports: Path, name: str, made: Baseline) -> Baseline | None:
    """Keep it under that name; the one that had it before. InputError for a name that cannot be typed without quotes."""
    if not _NAME.fullmatch(name):
        message = "a name of a baseline has letters, digits, dots, dashes and underscores, at most 64 of them"
        raise InputError([Problem(message=message, path="NAME", value=name)])
    return _changed(reports, lambda found: (found.get(name), {**found, name: made}))


def remove_baseline(reports: Path, name: str) -> Baseline:
    """Its runs stay. InputError where there is none of that name."""
    kept = baseline(reports, name)
    _changed(reports, lambda found: (None, {other: b for other, b in found.items() if other != name}))
    return kept


def _changed(
    reports: Path, change: Callable[[dict[str, Baseline]], tuple[Baseline | None, dict[str, Baseline]]]
) -> Baseline | None:
    """Nobody else changes the file meanwhile, and it is the old or the new one, never half."""
    file = reports / BASELINES_FILE
    with _alone(reports):
        before, after = change(baselines(reports))
        scratch = file.with_name(f".{BASELINES_FILE}.{os.getpid()}")
        try:
            text = Baselines(baselines=dict(sorted(after.items()))).model_dump_json(by_alias=True, indent=1, exclude_none=True)
            scratch.write_text(text + "\n", encoding="utf-8")
            scratch.replace(file)
        except OSError as error:
            scratch.unlink(missing_ok=True)
            raise RecordingFailed(f"{file} could not be written: {error.strerror}") from error
    return before


@contextmanager
def _alone(reports: Path) -> Iterator[None]:
    """The folder itself is locked, so that no file is left for it."""
    try:
        handle = os.open(reports, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        message = f"the folder of run directories cannot be read: {error.strerror}"
        raise InputError([Problem(message=message, path="--reports", value=str(reports))]) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
