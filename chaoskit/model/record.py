"""The base of every record that is read from a file or written to one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Record(BaseModel):
    """Frozen, closed data: an unknown key is an error, never silently dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, validate_default=True)


class OpenRecord(BaseModel):
    """Like `Record`, but keeps unknown keys in `model_extra` for their owner (a client type, a role kind) to judge."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, validate_default=True)


def first_misfit(error: ValidationError) -> str:
    """The first thing that does not fit, by its place, and how many there are, in one line."""
    found = error.errors(include_url=False, include_context=False)
    place = ".".join(str(part) for part in found[0]["loc"])
    more = f" (the first of {len(found)})" if len(found) > 1 else ""
    return f"{place}: {found[0]['msg']}{more}" if place else f"{found[0]['msg']}{more}"
