"""Ports of TCP or UDP as a person writes them: one, or all from a first to a last."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

LEAST, MOST = 1, 65535
_WRITTEN = re.compile(r"\s*(\d+)\s*(?:-\s*(\d+)\s*)?")


@dataclass(frozen=True, order=True, slots=True)
class PortRange:
    """One port, or all from `first` to `last`, both included. Written 5432, or "8000-8010"."""

    first: int
    last: int

    @classmethod
    def parse(cls, value: object) -> PortRange:
        """ValueError where that names no port."""
        if isinstance(value, PortRange):
            return value
        written = _WRITTEN.fullmatch(str(value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
        if written is None:
            raise ValueError(f'{value!r} is no port: write 5432, or a range such as "8000-8010"')
        first = int(written[1])
        last = int(written[2] or first)
        if not LEAST <= first <= last <= MOST:
            raise ValueError(
                f"{value!r}: ports lie between {LEAST} and {MOST}, and a range goes from the lower one to the higher"
            )
        return cls(first, last)

    @property
    def ends(self) -> tuple[int, ...]:
        """Its first and last port; of a single one, that."""
        return (self.first,) if self.first == self.last else (self.first, self.last)

    @property
    def pair(self) -> tuple[int, int]:
        return self.first, self.last

    def __contains__(self, port: int) -> bool:
        return self.first <= port <= self.last

    def __str__(self) -> str:
        return "-".join(map(str, self.ends))

    def _written(self) -> int | str:
        return self.first if self.first == self.last else str(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls.parse, serialization=core_schema.plain_serializer_function_ser_schema(cls._written)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        one: JsonSchemaValue = {"type": "integer", "minimum": LEAST, "maximum": MOST}
        return {"anyOf": [one, {"type": "string", "pattern": _WRITTEN.pattern}], "examples": [5432, "8000-8010"]}
