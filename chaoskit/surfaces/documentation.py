"""Documentation that is in the code: the docstrings under a record's fields, types in words, defaults as written in YAML."""

from __future__ import annotations

import ast
import functools
import inspect
import itertools
import textwrap
import types
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from chaoskit.engine.explaining import written_name
from chaoskit.model.files import HostFile
from chaoskit.model.port_range import PortRange
from chaoskit.model.record import OpenRecord, Record
from chaoskit.model.units import Bound, Drift, Duration, Fraction, Offset, Rate, Size

_WORDS: Mapping[Any, str] = {
    date: "day, such as 2026-03-31", str: "text", int: "whole number", float: "number", bool: "true or false", Any: "any value",
    Duration: "duration, such as 500ms", Size: "size, such as 512MiB", Rate: "rate, such as 100/s",
    Fraction: "percentage, such as 99.9%", Bound: "limit, such as <= 30s",
    Offset: "step of time, such as +1h", Drift: "rate of a clock, such as +500ppm", HostFile: "path of a file",
    PortRange: "port, or range of ports such as 8000-8010",
}  # fmt: skip


@functools.cache
def field_docs(model: type[BaseModel]) -> Mapping[str, str]:
    """Field -> the docstring beneath it, or its description; inherited ones included."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if not (inspect.isclass(base) and issubclass(base, BaseModel)) or base in (BaseModel, Record, OpenRecord):
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        except (OSError, TypeError, SyntaxError):
            continue  # made at run time: there is no source, and its descriptions must do
        body = tree.body[0].body if tree.body and isinstance(tree.body[0], ast.ClassDef) else []
        for statement, following in itertools.pairwise(body):
            if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
                continue
            if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
                found[statement.target.id] = " ".join(str(following.value.value).split())
    for name, info in model.model_fields.items():
        if info.description:
            found[name] = " ".join(info.description.split())
    return found


def type_words(annotation: Any) -> str:
    """A type as people would say it."""
    if get_origin(annotation) is Annotated:
        return type_words(get_args(annotation)[0])
    if annotation in _WORDS:
        return _WORDS[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(type_words(a) for a in arguments if a is not type(None)))
    if origin is Literal:
        return " | ".join(str(a) for a in arguments)
    if origin in (tuple, list, frozenset, set):
        return f"list of {type_words(arguments[0])}" if arguments else "list"
    if origin is dict:
        return f"mapping of names to {type_words(arguments[1])}"
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"mapping with {', '.join(written_name(n, i) for n, i in annotation.model_fields.items())}"
    return getattr(annotation, "__name__", str(annotation))


def default_words(info: FieldInfo) -> str:
    """The default as written in YAML; `required` where there is none."""
    if info.is_required():
        return "required"
    default = info.get_default(call_default_factory=True, validated_data={})
    if default is PydanticUndefined or default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, BaseModel):
        return str(default.model_dump(mode="json", exclude_defaults=True) or "{}")
    if isinstance(default, (tuple, list, dict)):
        return str(list(default) if isinstance(default, tuple) else default)
    return str(default) if str(default) else '""'


def parameters(model: type[BaseModel]) -> tuple[dict[str, str], ...]:
    """Every key of a record: name, type, default, meaning; those of nested records follow as `outer.inner`."""
    return tuple(_parameters(model, ""))


def _parameters(model: type[BaseModel], prefix: str) -> list[dict[str, str]]:
    docs = field_docs(model)
    found: list[dict[str, str]] = []
    for name, info in model.model_fields.items():
        written = prefix + written_name(name, info)
        annotation = info.annotation
        found.append(
            {
                "name": written,
                "type": type_words(annotation),
                "default": default_words(info),
                "meaning": docs.get(name, ""),
            }
        )
        if inspect.isclass(annotation) and issubclass(annotation, BaseModel) and not prefix and annotation not in _WORDS:
            found += _parameters(annotation, f"{written}.")
    return found


def summary(described: Any) -> str:
    """The first line of a docstring."""
    text = inspect.getdoc(described) or ""
    return text.strip().split("\n")[0]
