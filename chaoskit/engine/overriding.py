"""What is laid over an experiment file before it is understood: `--set`, and `${name}` from its `configuration`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit.engine.document import Document, Keys, Place, dotted, shown
from chaoskit.engine.explaining import written_names
from chaoskit.engine.spelling import nearest
from chaoskit.engine.yaml_source import any_document
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.experiment import Experiment

_NAME = re.compile(r"\$(\$)?\{([^{}]*)\}")
_MAX_TEXT = 1024 * 1024


def lay_overrides(document: Document, overrides: Sequence[str]) -> tuple[dict[str, Any], list[Problem]]:
    """Lay `name=value` entries over the document: a name of `configuration`, or a dotted place such as `lab.settings.ttl`.

    Values are read as YAML, so that `3` is a number and `20s` a text. Returns (place -> value as laid, problems). Whether the
    place may have that value is for validation to say; it names the override.
    """
    laid: dict[str, Any] = {}
    problems: list[Problem] = []
    for text in overrides:
        name, equals, raw = text.partition("=")
        name = name.strip()
        place = Place(f"--set {shown(text, 60)}")
        if not equals or not name:
            problems.append(Problem(message="write it as name=value", file=place.file, value=text))
            continue
        keys = _keys(document, name)
        known = _known_names(document)
        if keys is None:
            first = re.split(r"[.\[]", name)[0]
            problems.append(
                Problem(
                    message=f"nothing in this experiment is named {name!r}", file=place.file, value=name, allowed=known,
                    nearest=nearest(name, known) or nearest(first, known),
                )
            )  # fmt: skip
            continue
        value = _value(raw)
        if keys[0] == "lab" and len(keys) > 1 and isinstance(document.data.get("lab"), str):
            path = document.data["lab"]
            there = document.values.get(("lab",))
            document.put(("lab",), {})
            document.put(("lab", "path"), path, there)
        try:
            document.put(keys, value, place)
        except KeyError as error:
            message = f"there is no such place: {error.args[0]!r} holds no further keys" if error.args[0] else "no such place"
            problems.append(Problem(message=message, file=place.file, value=name))
            continue
        laid[dotted(keys)] = value
    return laid, problems


def _known_names(document: Document) -> tuple[str, ...]:
    configuration = document.data.get("configuration")
    names = tuple(configuration) if isinstance(configuration, dict) else ()
    return (*names, *written_names(Experiment))


def _keys(document: Document, name: str) -> Keys | None:
    """The place that `name` stands for; None where there is none."""
    configuration = document.data.get("configuration")
    if isinstance(configuration, dict) and name in configuration:
        return ("configuration", name)
    parts = [p for p in re.split(r"\.|\[(\d+)\]", name) if p]
    if not parts or parts[0] not in written_names(Experiment):
        return None
    keys: list[str | int] = []
    for part in parts:
        found, value = document.lookup(tuple(keys))
        keys.append(int(part) if found and isinstance(value, list) and part.isdecimal() else part)
    return tuple(keys)


def _value(raw: str) -> Any:
    """The value as YAML has it; the text itself where it is no YAML (`>= 99%` starts a block scalar)."""
    try:
        return any_document(raw, "--set").data if raw.strip() else ""
    except InputError:
        return raw


def fill_in_configuration(document: Document) -> list[Problem]:
    """Replace `${name}` by the value of `configuration`, everywhere else in the document. `$${` stays a literal `${`.

    A text that is nothing but `${name}` becomes the value itself, a number say. Names of `secrets` are left as they are
    where a client may use them: their values appear in no plan and no report.
    """
    configuration = document.data.get("configuration")
    secrets = document.data.get("secrets")
    filler = _Filler(
        document,
        configuration if isinstance(configuration, dict) else {},
        tuple(secrets) if isinstance(secrets, dict) else (),
    )
    for key in list(document.data):
        if key not in ("configuration", "secrets"):
            document.data[key] = filler.filled(document.data[key], (key,))
    for name, value in filler.configuration.items():
        if isinstance(value, (dict, list)):
            message = "a configuration value is a text, number, true or false (only secrets are read from the environment)"
            filler.problems.append(document.problem(("configuration", name), message))
    return filler.problems


class _Filler:
    def __init__(self, document: Document, configuration: Mapping[str, Any], secrets: tuple[str, ...]) -> None:
        self.document = document
        self.configuration = configuration
        self.secrets = secrets
        self.problems: list[Problem] = []
        self._length = 0

    def filled(self, value: Any, keys: Keys) -> Any:
        if isinstance(value, dict):
            return {key: self.filled(inner, (*keys, key)) for key, inner in value.items()}
        if isinstance(value, list):
            return [self.filled(inner, (*keys, i)) for i, inner in enumerate(value)]
        return self._text(value, keys) if isinstance(value, str) and "${" in value else value

    def _text(self, text: str, keys: Keys) -> Any:
        whole = _NAME.fullmatch(text)
        if whole and not whole.group(1) and whole.group(2) in self.configuration:
            value = self.configuration[whole.group(2)]
            return value if not isinstance(value, (dict, list)) else text
        return _NAME.sub(lambda match: self._replacement(match, keys), text)

    def _replacement(self, match: re.Match[str], keys: Keys) -> str:
        escaped, name = match.groups()
        if escaped:
            return "${" + name + "}"
        if name in self.configuration:
            value = self.configuration[name]
            said = str(value).lower() if isinstance(value, bool) else str(value)
            self._length += len(said)
            if self._length > _MAX_TEXT:
                message = f"the ${{name}}s of this file expand to more than {_MAX_TEXT} characters"
                raise InputError([self.document.problem(keys, message, value="")])
            return said
        if name in self.secrets:
            if keys[0] != "clients":
                message = (
                    f"the secret {name!r} may only stand in a client's keys: all else is written to plan, journal and report"
                )
                self.problems.append(self.document.problem(keys, message, value=match.group(0)))
            return match.group(0)
        known = (*self.configuration, *self.secrets)
        message = f"nothing in configuration or secrets is named {name!r} (write $${{ for a literal ${{)"
        problem = self.document.problem(keys, message, value=match.group(0), allowed=known, nearest=nearest(name, known))
        self.problems.append(problem)
        return match.group(0)
