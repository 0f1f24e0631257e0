"""From a validation error to problems a person can act on: the place in the file, what is allowed, the nearest spelling."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ValidationError
from pydantic.fields import FieldInfo

from chaoskit.engine.document import Document, Keys, shown
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem

Model = TypeVar("Model", bound=BaseModel)

_KINDS = {
    "string": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "dict": "a mapping (key: value)",
    "model": "a mapping (key: value)", "tuple": "a list", "list": "a list", "mapping": "a mapping (key: value)",
}  # fmt: skip
_PATTERNS = {
    r"^[a-z][a-z0-9_-]{0,30}$": (
        "a name starts with a lower-case letter and has at most 31 lower-case letters, digits, - and _"
    ),
    r"^0?[0-7]{3}$": 'a file mode is three octal digits in quotes, such as "0640"',
}  # fmt: skip


def written_name(name: str, info: FieldInfo) -> str:
    """A field as people write it in YAML."""
    alias: Any = info.validation_alias or info.alias
    if isinstance(alias, AliasChoices):
        alias = alias.choices[0]
    return alias if isinstance(alias, str) else name


def accepted_names(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Every way to write each field -> the field; the preferred way first."""
    names: dict[str, FieldInfo] = {}
    for name, info in model.model_fields.items():
        names[written_name(name, info)] = info
        alias = info.validation_alias
        for other in alias.choices if isinstance(alias, AliasChoices) else ():
            if isinstance(other, str):
                names.setdefault(other, info)
        names.setdefault(name, info)
    return names


def written_names(model: type[BaseModel]) -> tuple[str, ...]:
    return tuple(written_name(name, info) for name, info in model.model_fields.items())


def validated(model: type[Model], document: Document, keys: Keys = (), data: Any = None) -> Model:
    """The part of a document at `keys` (or `data` that stands there) as `model`. InputError with every problem."""
    value = document.lookup(keys)[1] if data is None else data
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise InputError(problems_of(error, model, document, keys, value)) from error


def problems_of(error: ValidationError, model: type[BaseModel], document: Document, keys: Keys, data: Any) -> list[Problem]:
    """One problem for each thing wrong; the branches of a union that were not meant are left out."""
    told = [dict(e) for e in error.errors(include_url=False, include_context=True) if not _too_short_by_its_own_faults(dict(e))]
    found = [_Finding(e, model, data) for e in told]
    problems: list[Problem] = []
    for finding in _meant(found):
        problem = finding.problem(document, keys)
        if problem not in problems:
            problems.append(problem)
    return problems


def _too_short_by_its_own_faults(error: dict[str, Any]) -> bool:
    """pydantic counts those members only that fit; the others are problems already, and the list is as long as it should be."""
    given, least = error["input"], error.get("ctx", {}).get("min_length")
    return error["type"] == "too_short" and isinstance(given, (list, tuple, dict)) and len(given) >= least


class _Finding:
    """One entry of pydantic's list, with its location translated to keys of the document."""

    def __init__(self, error: dict[str, Any], model: type[BaseModel], data: Any) -> None:
        self.error = error
        self.kind: str = error["type"]
        self.of_key = False
        self.branches: tuple[tuple[Keys, str], ...] = ()
        """(place of the union, which member) for each union passed on the way."""
        self.keys: Keys = ()
        self.owner: Any = model
        self._walk(tuple(error["loc"]), model, data)

    def _walk(self, loc: tuple[Any, ...], annotation: Any, data: Any) -> None:
        keys: list[str | int] = []
        branches: list[tuple[Keys, str]] = []
        for position, element in enumerate(loc):
            last = position == len(loc) - 1
            if element == "[key]":
                self.of_key = True
                continue
            members = _members(annotation)
            named = [m for m in members if _tag_matches(m, str(element))]
            if len(members) > 1 and not _holds(data, element) and (named or not last):
                branches.append((tuple(keys), str(element)))
                annotation = named[0] if named else annotation
                continue
            if not _holds(data, element) and self.kind not in ("missing", "extra_forbidden"):
                continue  # a validator's own name, such as function-before[...]
            if last and self.kind in ("missing", "extra_forbidden"):
                self.owner = annotation
            annotation = _inner(annotation, element)
            data = data[element] if _holds(data, element) else None
            keys.append(element)
        self.keys, self.branches = tuple(keys), tuple(branches)
        self.annotation = annotation

    def problem(self, document: Document, base: Keys) -> Problem:
        keys = (*base, *self.keys)
        context: Mapping[str, Any] = self.error.get("ctx") or {}
        if self.kind == "missing":
            name = _preferred(self.owner, str(self.keys[-1])) if self.keys else ""
            typo = self._typo_of(name, document.lookup(keys[:-1])[1])
            if typo:
                allowed = tuple(n for m in _models(self.owner) for n in written_names(m))
                where = (*keys[:-1], typo)
                return document.problem(where, "unknown key", of_key=True, value=typo, allowed=allowed, nearest=name)
            return document.problem(keys[:-1], f"the key {name!r} is missing", value="", of_key=True, allowed=())
        if self.kind == "extra_forbidden":
            allowed = tuple(n for m in _models(self.owner) for n in written_names(m))
            name = str(self.keys[-1])
            close = nearest(name, allowed)
            return document.problem(keys, "unknown key", of_key=True, value=name, allowed=allowed, nearest=close)
        if self.kind in ("literal_error", "enum"):
            options = tuple(str(v) for m in _members(self.annotation) if get_origin(m) is Literal for v in get_args(m))
            value = str(self.error.get("input"))
            return document.problem(keys, "not one of the allowed words", allowed=options, nearest=nearest(value, options))
        return document.problem(keys, self._message(context), of_key=self.of_key, **self._value())

    def _typo_of(self, name: str, holder: Any) -> str:
        """The key that was meant to be `name`, where the record takes any key and so does not complain about it."""
        known = {n for m in _models(self.owner) for n in accepted_names(m)}
        others = [str(k) for k in holder if k not in known] if isinstance(holder, dict) else []
        takes_any = any(m.model_config.get("extra") == "allow" for m in _models(self.owner))
        return nearest(name, others) if takes_any else ""

    def _value(self) -> dict[str, str]:
        given = self.error.get("input")
        if self.of_key:
            return {"value": str(self.keys[-1]) if self.keys else ""}
        return {"value": shown(given) if not isinstance(given, (dict, list, tuple)) else ""}

    def _message(self, context: Mapping[str, Any]) -> str:
        kind = self.kind
        if kind == "value_error":
            return str(context.get("error") or self.error["msg"].removeprefix("Value error, "))
        if kind == "string_pattern_mismatch":
            pattern = str(context.get("pattern"))
            return _PATTERNS.get(pattern, f"does not match {pattern}")
        stem, _, suffix = kind.rpartition("_")
        if suffix in ("type", "parsing") and stem in _KINDS:
            hint = "; put it in quotes" if stem == "string" and isinstance(self.error.get("input"), (int, float)) else ""
            return f"this must be {_KINDS[stem]}, not {_said(self.error.get('input'))}{hint}"
        limits = {
            "greater_than_equal": ("ge", "must be at least"), "less_than_equal": ("le", "must be at most"),
            "greater_than": ("gt", "must be more than"), "less_than": ("lt", "must be less than"),
        }  # fmt: skip
        if kind in limits:
            key, words = limits[kind]
            return f"{words} {context.get(key)}"
        if kind in ("too_short", "string_too_short"):
            return f"needs at least {context.get('min_length')} of {'these' if kind == 'too_short' else 'them (characters)'}"
        message = str(self.error["msg"])
        return message[:1].lower() + message[1:]


def _said(value: Any) -> str:
    if value is None:
        return "empty"
    for kinds, words in (
        (bool, "true or false"), (int, "a whole number"), (float, "a number"), (str, "text"),
        (dict, "a mapping"), ((list, tuple), "a list"),
    ):  # fmt: skip
        if isinstance(value, kinds):
            return words
    return type(value).__name__


def _strip(annotation: Any) -> Any:
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def _members(annotation: Any) -> list[Any]:
    """The alternatives of a union, None left out; one alternative where it is no union."""
    annotation = _strip(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [m for arg in get_args(annotation) for m in _members(arg) if m is not type(None)]
    return [annotation]


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [m for m in _members(annotation) if isinstance(m, type) and issubclass(m, BaseModel)]


def _tag_matches(member: Any, element: str) -> bool:
    name = getattr(member, "__name__", str(member))
    return element == name or element.startswith(f"{name}[") or f"[{name}]" in element or (name == "str" and "str" in element)


def _holds(data: Any, element: Any) -> bool:
    if isinstance(data, Mapping):
        return element in data
    return isinstance(data, Sequence) and not isinstance(data, str) and isinstance(element, int) and 0 <= element < len(data)


def _preferred(annotation: Any, name: str) -> str:
    for model in _models(annotation):
        info = accepted_names(model).get(name)
        for field, candidate in model.model_fields.items():
            if candidate is info:
                return written_name(field, candidate)
    return name


def _inner(annotation: Any, element: Any) -> Any:
    """The annotation of what stands at `element` within something of `annotation`."""
    for member in _members(annotation):
        if isinstance(member, type) and issubclass(member, BaseModel):
            info = accepted_names(member).get(str(element))
            if info is not None:
                return info.annotation
            continue
        origin, arguments = get_origin(member), get_args(member)
        if origin is dict and len(arguments) == 2:
            return arguments[1]
        if origin in (list, tuple) and arguments:
            fixed = origin is tuple and Ellipsis not in arguments and isinstance(element, int) and element < len(arguments)
            return arguments[element] if fixed else arguments[0]
    return Any


def _meant(findings: list[_Finding]) -> Iterator[_Finding]:
    """Leave out the union members that were not meant, and a missing key that only is misspelt."""
    kept = list(findings)
    for place in sorted({where for f in findings for where, _ in f.branches}, key=len):
        groups: dict[str, list[_Finding]] = {}
        for finding in kept:
            tags = [tag for where, tag in finding.branches if where == place]
            if tags:
                groups.setdefault(tags[0], []).append(finding)
        if len(groups) > 1:
            best = min(groups.values(), key=lambda g: _unlikeness(g, place))
            dropped = {id(f) for group in groups.values() if group is not best for f in group}
            kept = [f for f in kept if id(f) not in dropped]
    unknown = [f for f in kept if f.kind == "extra_forbidden"]
    for finding in kept:
        misspelt = finding.kind == "missing" and any(
            other.keys[:-1] == finding.keys[:-1]
            and nearest(str(other.keys[-1]), [_preferred(finding.owner, str(finding.keys[-1]))])
            for other in unknown
        )
        if not misspelt:
            yield finding


def _unlikeness(group: list[_Finding], place: Keys) -> tuple[bool, float]:
    """How little this member of a union resembles what was written: (another kind of value altogether, distance)."""
    wrong_kind = any(f.keys == place and f.kind.endswith("_type") for f in group)
    distance = 0.0
    for finding in group:
        if finding.kind == "extra_forbidden":
            names = [n for m in _models(finding.owner) for n in written_names(m)]
            ratios = [difflib.SequenceMatcher(None, str(finding.keys[-1]), n).ratio() for n in names]
            distance += 2 - max(ratios, default=0.0)
        else:
            distance += 0.9 if finding.kind == "missing" else 0.5
    return wrong_kind, distance
