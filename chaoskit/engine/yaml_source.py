"""YAML with positions: plain data, and for every part of it the file, line and column it came from.

Reads YAML 1.2 by way of the parser's events, so that size, depth and alias expansion are bounded while reading, nothing but
plain scalars, lists and mappings is ever constructed, and every problem names its place.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

from chaoskit.engine.document import Document, Keys, Place, dotted, shown
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem

MAX_BYTES = 1024 * 1024
MAX_DEPTH = 40
MAX_NODES = 50_000
"""After aliases are expanded: more than any experiment needs, less than an alias bomb."""

_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp")}
_AS_TEXT = {"tag:yaml.org,2002:str", "tag:yaml.org,2002:timestamp"}
_MERGE = "tag:yaml.org,2002:merge"


def read_document(path: Path, shown_as: str | None = None) -> Document:
    """The one YAML mapping in a file. InputError with every problem found; nothing but plain data is made."""
    name = shown_as or str(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            inside = tuple(_yaml_files_beside(path / "any")) if stat.S_ISDIR(status.st_mode) else ()
            raise InputError([Problem(message=f"this is {kind}, where a YAML file was expected", file=name, allowed=inside)])
        if status.st_size > MAX_BYTES:
            message = f"the file has {status.st_size} bytes; at most {MAX_BYTES} (1 MiB) are read"
            raise InputError([Problem(message=message, file=name)])
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        beside = _yaml_files_beside(path)
        close = nearest(path.name, beside)
        raise InputError(
            [
                Problem(
                    message=f"cannot read this file: {reason}",
                    file=name,
                    allowed=tuple(beside),
                    nearest=close,
                )
            ]
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        column = error.start - (raw.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"byte {raw[error.start]:#04x} is not UTF-8 text; save the file as UTF-8"
        raise InputError([Problem(message=message, file=name, line=line, column=column)]) from error
    document = parsed_document(text, name)
    document.sha256 = hashlib.sha256(raw).hexdigest()
    return document


def _yaml_files_beside(path: Path) -> list[str]:
    """Names of the YAML files in the same folder, for a path that cannot be read."""
    try:
        return sorted(p.name for p in path.parent.iterdir() if p.suffix in (".yaml", ".yml"))[:20]
    except (OSError, ValueError):
        return []


def parsed_document(text: str, name: str) -> Document:
    """Like `read_document`, for text at hand."""
    document = any_document(text, name)
    document.sha256 = hashlib.sha256(text.encode()).hexdigest()
    if document.data is None:
        raise InputError([document.problem((), "the file is empty, where a mapping (key: value) was expected")])
    if not isinstance(document.data, dict):
        found = "a list" if isinstance(document.data, list) else "a single value"
        message = f"the file holds {found}, where a mapping (key: value) was expected"
        raise InputError([document.problem((), message, value=shown(document.data))])
    return document


def any_document(text: str, name: str) -> Document:
    """Like `parsed_document`, but any value may be at the top; None where there is nothing."""
    document = Document(file=name, data=None, text=text)
    reader = _Reader(name)
    try:
        root = reader.root(text)
        if root is not None:
            expander = _Expander(document, reader.problems)
            document.data = expander.expanded(root, ())
    except ReaderError as error:
        before = text[: error.position]
        place = Place(name, before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
        message = f"the character {_named(error.character)} may not stand in YAML text"
        raise InputError([*reader.problems, _problem(place, message)]) from error
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark else Place(name)
        raise InputError([*reader.problems, _problem(place, _syntax_message(error))]) from error
    except YAMLError as error:
        raise InputError([*reader.problems, Problem(message=f"not valid YAML: {error}", file=name)]) from error
    except _TooMuch as error:
        raise InputError([*reader.problems, error.problem]) from error
    if reader.problems:
        raise InputError(reader.problems)
    return document


def _named(character: object) -> str:
    code = character if isinstance(character, int) else ord(str(character)[0])
    return f"U+{code:04X}"


def _problem(place: Place, message: str, **more: Any) -> Problem:
    return Problem(message=message, file=place.file, line=place.line, column=place.column, **more)


def _syntax_message(error: MarkedYAMLError) -> str:
    """The parser's words, with what people usually meant."""
    problem = str(error.problem or error.context or "cannot be read")
    if "'\\t'" in problem:
        return "not valid YAML: a tab cannot indent or separate here; use spaces"
    if "mapping values are not allowed" in problem:
        return "not valid YAML: a second ': ' in one line; put the value in quotes, or check the indentation of this line"
    if "stream end" in problem or "end of stream" in problem:
        mark = error.context_mark
        opened = f" (opened in line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        return f"not valid YAML: the file ends before a bracket or quote is closed{opened}"
    if error.context:
        opened = f" (begun in line {error.context_mark.line + 1})" if error.context_mark else ""
        return f"not valid YAML: {error.context}{opened}: {problem}"
    return f"not valid YAML: {problem}"


class _TooMuch(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        super().__init__(problem.message)


@dataclass
class _Node:
    place: Place
    value: Any
    """A scalar, a list of _Node, or a list of (_Node, _Node) pairs."""
    kind: str
    merge: bool = False

    def shown(self) -> str:
        return shown(self.value, 40) if self.kind == "scalar" else f"a {'list' if self.kind == 'list' else 'mapping'}"


class _Reader:
    """Events -> nodes, bounded."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.problems: list[Problem] = []
        self._yaml = YAML(typ="safe", pure=True)
        self._anchors: dict[str, _Node] = {}
        self._count = 0

    def root(self, text: str) -> _Node | None:
        events: Iterator[Event] = iter(self._yaml.parse(text))
        root: _Node | None = None
        for event in events:
            if not isinstance(event, DocumentStartEvent):
                continue
            if root is not None:
                self.problems.append(_problem(self._place(event), "a second YAML document starts here; write one per file"))
                break
            root = self._node(next(events), events, 0)
        return root

    def _place(self, event: Event) -> Place:
        mark = event.start_mark
        return Place(self.name, mark.line + 1, mark.column + 1, getattr(event, "style", None) in ("|", ">"))

    def _node(self, event: Event, events: Iterator[Event], depth: int) -> _Node:
        place = self._place(event)
        self._count += 1
        if self._count > MAX_NODES:
            raise _TooMuch(_problem(place, f"more than {MAX_NODES} values in one file"))
        if depth > MAX_DEPTH:
            raise _TooMuch(_problem(place, f"nested more than {MAX_DEPTH} levels deep"))
        if isinstance(event, AliasEvent):
            if event.anchor not in self._anchors:
                message = f"*{event.anchor} refers to no anchor above it (an alias may not stand inside its own anchor)"
                raise _TooMuch(_problem(place, message, value=f"*{event.anchor}", allowed=_some(self._anchors)))
            return self._anchors[event.anchor]
        if isinstance(event, ScalarEvent):
            node = self._scalar(event, place)
        elif isinstance(event, SequenceStartEvent):
            self._check_tag(event, place, "seq")
            node = _Node(place, [], "list")
            while not isinstance(item := next(events), SequenceEndEvent):
                node.value.append(self._node(item, events, depth + 1))
        elif isinstance(event, MappingStartEvent):
            self._check_tag(event, place, "map")
            node = _Node(place, [], "map")
            while not isinstance(item := next(events), MappingEndEvent):
                key = self._node(item, events, depth + 1)
                node.value.append((key, self._node(next(events), events, depth + 1)))
        else:
            raise _TooMuch(_problem(place, f"unexpected {type(event).__name__}"))
        if event.anchor:
            self._anchors[event.anchor] = node
        return node

    def _check_tag(self, event: Any, place: Place, plain: str) -> None:
        if event.tag is not None and str(event.tag) not in (f"tag:yaml.org,2002:{plain}", "!"):
            self._refuse_tag(str(event.tag), place)

    def _refuse_tag(self, tag: str, place: Place) -> None:
        short = tag.replace("tag:yaml.org,2002:", "!!")
        self.problems.append(_problem(place, "YAML tags are not allowed here; write plain values", value=short))

    def _scalar(self, event: ScalarEvent, place: Place) -> _Node:
        if event.tag is not None and str(event.tag) != "!":
            tag = str(event.tag)
        else:
            tag = str(self._yaml.resolver.resolve(ScalarNode, event.value, event.implicit))
        if tag == _MERGE:
            return _Node(place, event.value, "scalar", merge=True)
        if tag not in _PLAIN:
            self._refuse_tag(tag, place)
            return _Node(place, event.value, "scalar")
        if tag in _AS_TEXT:
            return _Node(place, event.value, "scalar")
        try:
            value = self._yaml.constructor.construct_object(ScalarNode(tag, event.value, event.start_mark, event.end_mark))
        except (ValueError, KeyError, OverflowError):
            self.problems.append(_problem(place, f"cannot be read as a YAML {tag.rpartition(':')[2]}", value=shown(event.value)))
            return _Node(place, None, "scalar")
        if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
            self.problems.append(_problem(place, "a number must be finite", value=shown(event.value)))
        elif isinstance(value, int) and abs(value) > 2**63:
            self.problems.append(_problem(place, "a whole number must fit in 64 bits", value=shown(event.value)))
            value = 0
        return _Node(place, value, "scalar")


def _some(names: Any, limit: int = 20) -> tuple[str, ...]:
    return tuple(str(n) for n in list(names)[:limit])


class _Expander:
    """Nodes -> data and places, with aliases and merge keys expanded within a budget."""

    def __init__(self, document: Document, problems: list[Problem]) -> None:
        self._document = document
        self._problems = problems
        self._left = MAX_NODES

    def expanded(self, node: _Node, keys: Keys) -> Any:
        self._left -= 1
        if self._left < 0:
            message = f"the aliases of this file expand to more than {MAX_NODES} values"
            raise _TooMuch(_problem(node.place, message))
        if len(keys) > 2 * MAX_DEPTH:
            raise _TooMuch(_problem(node.place, f"nested more than {2 * MAX_DEPTH} levels deep"))
        self._document.values[keys] = node.place
        if node.kind == "list":
            return [self.expanded(item, (*keys, i)) for i, item in enumerate(node.value)]
        if node.kind == "map":
            return self._mapping(node, keys)
        return node.value

    def _mapping(self, node: _Node, keys: Keys) -> dict[str, Any]:
        data: dict[str, Any] = {}
        merged: list[_Node] = []
        seen: dict[str, Place] = {}
        for key_node, value_node in node.value:
            if key_node.merge:
                merged += value_node.value if value_node.kind == "list" else [value_node]
                continue
            key = key_node.value
            if key_node.kind != "scalar" or not isinstance(key, str):
                message = "a key must be text; put it in quotes" if key_node.kind == "scalar" else "a key must be plain text"
                self._problems.append(_problem(key_node.place, message, path=dotted(keys), value=key_node.shown()))
                continue
            if key in seen:
                first = seen[key]
                message = f"the key {key!r} stands here twice (first in line {first.line})"
                self._problems.append(_problem(key_node.place, message, path=dotted((*keys, key)), value=key))
                continue
            seen[key] = key_node.place
            self._document.keys[*keys, key] = key_node.place
            data[key] = self.expanded(value_node, (*keys, key))
        for other in merged:
            if other.kind != "map":
                self._problems.append(_problem(other.place, "<< merges mappings only", path=dotted(keys)))
                continue
            for key_node, value_node in other.value:
                if isinstance(key_node.value, str) and not key_node.merge and key_node.value not in data:
                    self._document.keys[*keys, key_node.value] = key_node.place
                    data[key_node.value] = self.expanded(value_node, (*keys, key_node.value))
        return data
