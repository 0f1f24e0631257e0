"""A YAML document as read: plain data, and where each part of it stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from chaoskit.model.errors import Problem

Keys = tuple[str | int, ...]
"""A place in a document: mapping keys and list indexes from the top."""


@dataclass(frozen=True)
class Place:
    """Where something was written. Line and column are 1-based; None where it has none (`--set`)."""

    file: str
    line: int | None = None
    column: int | None = None
    block: bool = False
    """A block scalar (| or >): its text begins on the next line."""


def dotted(keys: Keys) -> str:
    """`clients.orders.rate`, `method[0].at`."""
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else key
    return text


def shown(value: Any, limit: int = 80) -> str:
    """A value as it may stand in a message: one line, cut short."""
    text = value if isinstance(value, str) else repr(value)
    text = " ".join(text.split()) or repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"


@dataclass
class Document:
    """One YAML file (or several laid over each other): data, and where each part stands."""

    file: str
    data: Any
    keys: dict[Keys, Place] = field(default_factory=dict)
    values: dict[Keys, Place] = field(default_factory=dict)
    sha256: str = ""
    text: str = ""
    moved: dict[Keys, Callable[[Keys], Keys]] = field(default_factory=dict)
    """Parts of the data that were made of others -> where what lies below such a part was written."""

    def as_written(self, keys: Keys) -> Keys:
        """Where people look for `keys`, which may be in a part that was made of others."""
        for end in range(len(keys), 0, -1):
            if keys[:end] in self.moved:
                return self.moved[keys[:end]](keys[end:])
        return keys

    def place(self, keys: Keys, *, of_key: bool = False) -> Place:
        """The place of a value (or of its key); of the nearest enclosing one where that is not in the document."""
        keys = self.as_written(keys)
        if of_key and keys in self.keys:
            return self.keys[keys]
        for end in range(len(keys), -1, -1):
            if keys[:end] in self.values:
                return self.values[keys[:end]]
        return Place(self.file, 1, 1)

    def problem(self, keys: Keys, message: str, *, of_key: bool = False, **more: Any) -> Problem:
        """A problem at `keys`; `value` is taken from the data unless given."""
        where = self.place(keys, of_key=of_key)
        if "value" not in more:
            found, value = self.lookup(keys)
            more["value"] = shown(value) if found and not isinstance(value, (dict, list)) else ""
        return Problem(
            message=message, file=where.file, line=where.line, column=where.column, path=dotted(self.as_written(keys)), **more
        )

    def lookup(self, keys: Keys) -> tuple[bool, Any]:
        """(is there anything, what)."""
        value = self.data
        for key in keys:
            if isinstance(value, list) and not (isinstance(key, int) and 0 <= key < len(value)):
                return False, None
            if not isinstance(value, (dict, list)) or (isinstance(value, dict) and key not in value):
                return False, None
            value = value[key]  # type: ignore[index]
        return True, value

    def lay(self, keys: Keys, value: Any, places: Document, source: Keys) -> None:
        """Lay `value`, which stands at `source` in `places`, over this document at `keys`.

        Mappings merge deeply; everything else replaces. Positions come along.
        """
        found, old = self.lookup(keys)
        if isinstance(value, dict) and found and isinstance(old, dict):
            for key, inner in value.items():
                self.lay((*keys, key), inner, places, (*source, key))
            return
        for table in (self.keys, self.values):
            for stale in [k for k in table if k[: len(keys)] == keys]:
                del table[stale]
        for table, theirs in ((self.keys, places.keys), (self.values, places.values)):
            for where, place in list(theirs.items()):
                if where[: len(source)] == source:
                    table[keys + where[len(source) :]] = place
        self.put(keys, value)

    def put(self, keys: Keys, value: Any, place: Place | None = None) -> None:
        """Set one value, making the mappings on the way where there are none. KeyError where a scalar or list is in the way."""
        if place is not None:
            self.keys[keys] = self.values[keys] = place
        if not keys:
            self.data = value
            return
        inner = self.data
        for i, key in enumerate(keys[:-1]):
            if isinstance(inner, list):
                if not isinstance(key, int) or not 0 <= key < len(inner):
                    raise KeyError(dotted(keys[: i + 1]))
                inner = inner[key]
                continue
            if not isinstance(inner, dict):
                raise KeyError(dotted(keys[:i]))
            if inner.get(key) is None:
                inner[key] = {}
                if place is not None:
                    self.keys[keys[: i + 1]] = self.values[keys[: i + 1]] = place
            inner = inner[key]
        last = keys[-1]
        if isinstance(inner, list) and not (isinstance(last, int) and 0 <= last < len(inner)):
            raise KeyError(dotted(keys))
        if not isinstance(inner, (dict, list)):
            raise KeyError(dotted(keys[:-1]))
        inner[last] = value  # type: ignore[index]
