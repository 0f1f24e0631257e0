"""Secrets of an experiment: named in the file, read from the environment or a file when a run needs them, never written.

    secrets:
      db_password: {type: env, key: PGPASSWORD}
      api_token: {type: file, path: token.txt}      # relative to the experiment; without the newline at its end

A client's key that says `${db_password}` keeps saying so in plan.json; `revealed` puts the value in where the client starts.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from chaoskit.engine.document import Document
from chaoskit.engine.explaining import validated
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.experiment import Experiment
from chaoskit.model.record import Record

_MAX_SECRET_BYTES = 64 * 1024
_REFERENCE = re.compile(r"\$\{([^{}]*)\}")


class EnvironmentSecret(Record):
    """A secret in an environment variable."""

    type: Literal["env"]
    key: str


class FileSecret(Record):
    """A secret in a file."""

    type: Literal["file"]
    path: str


_KINDS: Mapping[str, type[EnvironmentSecret] | type[FileSecret]] = {"env": EnvironmentSecret, "file": FileSecret}


def secret_problems(document: Document) -> Iterable[Problem]:
    """What is wrong with how `secrets` are written; says nothing about whether they are there."""
    written = document.data.get("secrets")
    if not isinstance(written, dict):
        return
    for name, source in written.items():
        keys = ("secrets", name)
        if not isinstance(source, dict):
            message = "a secret says where it is read from: {type: env, key: NAME} or {type: file, path: ...}; never its value"
            yield document.problem(keys, message, value="")
        elif source.get("type") not in _KINDS:
            kind = str(source.get("type"))
            yield document.problem(
                (*keys, "type"), "not a kind of secret", value=kind, allowed=tuple(_KINDS), nearest=nearest(kind, _KINDS)
            )
        else:
            try:
                validated(_KINDS[source["type"]], document, keys)
            except InputError as error:
                yield from error.problems


def secret_values(experiment: Experiment, folder: Path, environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Name -> value of every secret. InputError naming each that cannot be read. `folder`: the experiment file's own."""
    variables = os.environ if environment is None else environment
    values: dict[str, str] = {}
    problems: list[Problem] = []
    for name, source in experiment.secrets.items():
        secret = _KINDS[source["type"]].model_validate(source)
        if isinstance(secret, EnvironmentSecret):
            if secret.key in variables:
                values[name] = variables[secret.key]
            else:
                message = f"the environment variable {secret.key} is not set"
                problems.append(Problem(message=message, path=f"secrets.{name}"))
            continue
        path = folder / secret.path
        try:
            with path.open("rb") as file:
                raw = file.read(_MAX_SECRET_BYTES + 1)
            if len(raw) > _MAX_SECRET_BYTES:
                raise ValueError("larger than 64 KiB")
            values[name] = raw.decode("utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            problems.append(Problem(message=f"cannot read the secret's file {path}: {error}", path=f"secrets.{name}"))
    if problems:
        raise InputError(problems)
    return values


def revealed(value: Any, secrets: Mapping[str, str]) -> Any:
    """`value` with every `${name}` of a secret replaced. For a client that is about to start, nothing else."""
    if isinstance(value, str):
        return _REFERENCE.sub(lambda m: secrets.get(m.group(1), m.group(0)), value)
    if isinstance(value, Mapping):
        return {key: revealed(inner, secrets) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [revealed(inner, secrets) for inner in value]
    return value
