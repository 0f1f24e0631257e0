"""plan.json of a run that was recorded, by this chaoskit or an earlier one.

What users write is read strictly. A record is not: whoever reads it cannot mend it. So fields that this version does not know
are left out, and named by `unknown_fields`; those that it does not have get their defaults; only a newer format is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit import __version__
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.plan import PLAN_FORMAT, Plan

PLAN_FILE = "plan.json"
SHOWN_PLACES = 3
"""Of what does not fit in a plan."""


def read_plan(run_dir: Path) -> Plan:
    """The plan. InputError where this is no run directory, its format is newer than this chaoskit, or it does not fit."""
    return _read(run_dir)[0]


def unknown_fields(run_dir: Path) -> tuple[str, ...]:
    """Dotted places of fields that another version wrote and this one does not know, and so leaves out. Errors as `read_plan`."""
    return _read(run_dir)[1]


def _read(run_dir: Path) -> tuple[Plan, tuple[str, ...]]:
    file = run_dir / PLAN_FILE
    try:
        written = file.read_bytes()
    except OSError as error:
        raise InputError([Problem(message=f"no run is recorded here: {error.strerror}", file=str(file))]) from error
    try:
        return Plan.model_validate_json(written), ()
    except ValidationError as error:
        return _read_loosely(file, written, error)


def _read_loosely(file: Path, written: bytes, error: ValidationError) -> tuple[Plan, tuple[str, ...]]:
    try:
        data = json.loads(written)
    except ValueError:
        raise InputError(_unreadable(file, error)) from error
    found = data.get("format", 1) if isinstance(data, dict) else 1
    if isinstance(found, int) and found > PLAN_FORMAT:
        message = (
            f"this run is recorded in format {found}, and chaoskit {__version__} reads up to {PLAN_FORMAT}: "
            "read it with the version that recorded it, or a newer one"
        )
        raise InputError([Problem(message=message, file=str(file), path="format")]) from error
    problems = error.errors(include_url=False)
    if any(p["type"] != "extra_forbidden" or not _taken_out(data, p["loc"]) for p in problems):
        raise InputError(_unreadable(file, error)) from error
    try:
        plan = Plan.model_validate_json(json.dumps(data))
    except ValidationError:
        raise InputError(_unreadable(file, error)) from error
    return plan, tuple(".".join(str(part) for part in p["loc"]) for p in problems)


def _taken_out(data: Any, place: tuple[int | str, ...]) -> bool:
    """Whether the field was there. Parts of a place that are no keys name a kind of a union, and are passed over."""
    way, last = place[:-1], place[-1]
    inner: Any = data
    for part in way:
        if isinstance(inner, dict) and part in inner:
            inner = inner[part]
        elif isinstance(inner, list) and str(part).isdigit():
            inner = inner[int(part)]
    if not isinstance(inner, dict) or last not in inner:
        return False
    del inner[last]
    return True


def _unreadable(file: Path, error: ValidationError) -> list[Problem]:
    """A plan is written by chaoskit itself: what does not fit came from another version, or was damaged since."""
    message = f"the plan of the run cannot be read by chaoskit {__version__}: another version wrote it, or it is damaged"
    found = error.errors(include_url=False)
    places = [Problem(message=e["msg"], file=str(file), path=".".join(str(part) for part in e["loc"])) for e in found]
    return [Problem(message=message, file=str(file)), *places[:SHOWN_PLACES]]
