"""Validating the keys that belong to a client type, with every problem at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError

from chaoskit.model.errors import InputError, Problem
from chaoskit.model.record import Record

R = TypeVar("R", bound=Record)


def validated(record: type[R], given: Mapping[str, Any], path: str) -> R:
    """`given` as that record. InputError with every problem, its place under `path`, and the nearest right spelling."""
    try:
        return record.model_validate(dict(given))
    except ValidationError as error:
        raise InputError([_problem(record, dict(found), path) for found in error.errors()]) from error


def _problem(record: type[Record], found: dict[str, Any], path: str) -> Problem:
    place = ".".join((path, *map(str, found["loc"])))
    value = found.get("input")
    shown = "" if isinstance(value, dict) else str(value)
    if found["type"] != "extra_forbidden":
        return Problem(path=place, message=found["msg"], value=shown)
    allowed = tuple(record.model_fields)
    nearest = difflib.get_close_matches(str(found["loc"][-1]), allowed, n=1)
    return Problem(path=place, message="no such key here", value=shown, allowed=allowed, nearest=nearest[0] if nearest else "")
