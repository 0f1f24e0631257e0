"""The base of every record that is read from a file or written to one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Frozen, closed data: an unknown key is an error, never silently dropped."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, validate_default=True)


class OpenRecord(BaseModel):
    """Like `Record`, but keeps unknown keys in `model_extra` for their owner (a client type, a role kind) to judge."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, validate_default=True)
