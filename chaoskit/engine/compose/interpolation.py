"""Variables in a Compose file and in its env files: `$NAME`, `${NAME:-default}` and their kin, and what an env file says."""

from __future__ import annotations

import re
from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*(?:[=:]\s*(.*))?$")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$$"}
FORMS = (
    "$NAME",
    "${NAME}",
    "${NAME:-default}",
    "${NAME-default}",
    "${NAME:?why}",
    "${NAME?why}",
    "${NAME:+instead}",
    "${NAME+instead}",
)


class BadVariable(Exception):
    """A variable that is not set, or a form that is not understood."""


def substituted(text: str, variables: Mapping[str, str]) -> str:
    """The text with its variables replaced; `$$` is a dollar sign. BadVariable with the reason."""
    made: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0:
        made.append(text[at:dollar])
        value, at = _replaced(text, dollar + 1, variables)
        made.append(value)
    return "".join(made) + text[at:]


def _replaced(text: str, at: int, variables: Mapping[str, str]) -> tuple[str, int]:
    """(the value of what follows a dollar sign, where the text goes on)."""
    if text[at : at + 1] == "$":
        return "$", at + 1
    if text[at : at + 1] == "{":
        end = _closing(text, at)
        return _braced(text[at + 1 : end], variables), end + 1
    found = _NAME.match(text, at)
    if found is None:
        raise BadVariable(f"what follows the $ is no variable; write $$ for a dollar sign, or one of: {', '.join(FORMS)}")
    return _value(found.group(), variables), found.end()


def _closing(text: str, opened: int) -> int:
    depth = 0
    for at in range(opened, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    raise BadVariable("a ${ is never closed")


def _braced(inner: str, variables: Mapping[str, str]) -> str:
    found = _NAME.match(inner)
    if found is None:
        raise BadVariable(f"${{{inner}}} names no variable; write one of: {', '.join(FORMS)}")
    name, rest = found.group(), inner[found.end() :]
    if not rest:
        return _value(name, variables)
    operator = re.match(r":?[-?+]", rest)
    if operator is None:
        raise BadVariable(f"${{{inner}}} is not understood; write one of: {', '.join(FORMS)}")
    other = rest[operator.end() :]
    is_there = bool(variables.get(name)) if operator.group()[0] == ":" else name in variables
    match operator.group()[-1]:
        case "-":
            return variables[name] if is_there else substituted(other, variables)
        case "+":
            return substituted(other, variables) if is_there else ""
        case _:
            if not is_there:
                raise BadVariable(f"the variable {name} is not set: {substituted(other, variables)}".rstrip(": "))
            return variables[name]


def _value(name: str, variables: Mapping[str, str]) -> str:
    if name not in variables:
        raise BadVariable(f"the variable {name} is not set: set it in the environment or in .env, or write ${{{name}:-default}}")
    return variables[name]


def env_file(text: str, variables: Mapping[str, str]) -> dict[str, str | None]:
    """What an env file sets, line by line; None for a bare name, which takes its value from the environment.

    Values are as they are within '...'; within "..." and without quotes, variables are replaced, those of lines above too.
    BadVariable with the number of the line.
    """
    found: dict[str, str | None] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        parts = _LINE.match(line)
        if parts is None:
            raise BadVariable(f"line {number}: write NAME=VALUE, not {line.strip()[:40]!r}")
        name, value = parts.group(1), parts.group(2)
        known = {**{k: v for k, v in found.items() if v is not None}, **variables}
        try:
            found[name] = None if value is None else _unquoted(value.strip(), known)
        except BadVariable as error:
            raise BadVariable(f"line {number}: {error}") from None
    return found


def _unquoted(value: str, variables: Mapping[str, str]) -> str:
    if value[:1] in ("'", '"'):
        quote = value[0]
        end = re.match(r"'[^']*'" if quote == "'" else r'"(?:[^"\\]|\\.)*"', value)
        if end is None:
            raise BadVariable(f"the quote {quote} is never closed")
        inner = end.group()[1:-1]
        if quote == "'":
            return inner
        return substituted(re.sub(r"\\(.)", lambda m: _ESCAPES.get(m.group(1), m.group()), inner), variables)
    return substituted(re.sub(r"\s+#.*$", "", value), variables)
