"""A Compose file and the lab file beside it -> one lab document, in which each part knows the file it was written in."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from chaoskit.engine.compose.interpolation import BadVariable, env_file, substituted
from chaoskit.engine.compose.translating import Translator
from chaoskit.engine.document import Document, Keys, shown
from chaoskit.engine.yaml_source import read_document
from chaoskit.model.errors import InputError, Problem

KEY = "compose"
_OPTIONS = ("file", "env-file", "profiles")


def composed(lab: Document, folder: Path, environment: Mapping[str, str] = os.environ) -> Document:
    """The lab that a document describes whose key `compose` names a Compose file: that file as a lab, and over it whatever else
    the document says. InputError with every problem of the Compose file."""
    path, env_path, profiles = _chosen(lab, folder)
    document = read_document(path)
    variables = {**_env_file(lab, env_path, environment), **environment}
    problems = _interpolate(document, (), variables)
    if problems:
        raise InputError(problems)
    chosen = profiles or [p for p in environment.get("COMPOSE_PROFILES", "").split(",") if p]
    translator = Translator(document, path.parent, variables, tuple(chosen), reserved=_groups(lab), placed="clients" in lab.data)
    made = translator.lab(default_name=_name(document, path, folder))
    if translator.problems:
        raise InputError(translator.problems)
    for key, value in lab.data.items():
        if key != KEY:
            made.lay((key,), value, lab, (key,))
    made.file, made.sha256, made.text = lab.file, lab.sha256, lab.text
    made.values[()] = lab.place(())
    return made


def _groups(lab: Document) -> tuple[str, ...]:
    nodes = lab.data.get("nodes")
    return tuple(nodes) if isinstance(nodes, dict) else ()


def _name(document: Document, path: Path, folder: Path) -> str:
    """What the file calls itself, else its folder, as Compose names a project."""
    given = document.data.get("name") or path.resolve().parent.name or folder.name
    return re.sub(r"^[^a-z]+", "", re.sub(r"[^a-z0-9_-]", "", str(given).lower()))[:31] or "compose"


def _chosen(lab: Document, folder: Path) -> tuple[Path, Path, list[str]]:
    """(Compose file, env file, profiles that are on)."""
    given: Any = lab.data[KEY]
    options = {"file": given} if isinstance(given, str) else given
    if not isinstance(options, dict) or not isinstance(options.get("file"), str):
        message = "names a Compose file, or says {file: compose.yaml, env-file: .env, profiles: [...]}"
        raise InputError([lab.problem((KEY,), message)])
    for name in options:
        if name not in _OPTIONS:
            raise InputError([lab.problem((KEY, name), "not understood here", of_key=True, value=name, allowed=_OPTIONS)])
    path = folder / options["file"]
    if not path.is_file():
        beside = tuple(sorted(p.name for p in folder.glob("*.y*ml")))[:20]
        raise InputError([lab.problem((KEY,), f"there is no such Compose file: {path}", value=options["file"], allowed=beside)])
    env = options.get("env-file")
    env_path = path.parent / ".env" if env is None else folder / str(env)
    if env is not None and not env_path.is_file():
        raise InputError([lab.problem((KEY, "env-file"), f"there is no such file: {env_path}")])
    profiles = options.get("profiles") or []
    return path, env_path, [profiles] if isinstance(profiles, str) else list(profiles)


def _env_file(lab: Document, path: Path, environment: Mapping[str, str]) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        found = env_file(path.read_text(encoding="utf-8"), environment)
    except (BadVariable, OSError, UnicodeDecodeError) as error:
        raise InputError([Problem(message=str(error), file=str(path))]) from error
    return {name: value for name, value in found.items() if value is not None}


def _interpolate(document: Document, keys: Keys, variables: Mapping[str, str]) -> list[Problem]:
    """Replace the variables of every text in the document; what is wrong with them."""
    value = document.lookup(keys)[1]
    if isinstance(value, (dict, list)):
        inner = list(value) if isinstance(value, dict) else range(len(value))
        return [problem for key in inner for problem in _interpolate(document, (*keys, key), variables)]
    if isinstance(value, str) and "$" in value:
        try:
            document.put(keys, substituted(value, variables))
        except BadVariable as error:
            return [document.problem(keys, str(error), value=shown(value))]
    return []
