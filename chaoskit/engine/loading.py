"""experiment.yaml and the lab it names -> everything that was asked, understood and checked. Starts nothing.

All problems of both files come at once, each with file, line, column, value, what is allowed and the nearest spelling.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.engine.checking import Checker
from chaoskit.engine.checking_order import action_names
from chaoskit.engine.document import Document, Keys
from chaoskit.engine.explaining import problems_of
from chaoskit.engine.host_files import read_host_files
from chaoskit.engine.lab_loading import Findings, LoadedLab, checked_lab
from chaoskit.engine.labfile import LabFile, Override, lab_path, read_lab, understood
from chaoskit.engine.overriding import fill_in_configuration, lay_overrides
from chaoskit.engine.policies import lay_out_policies
from chaoskit.engine.registry import Registry
from chaoskit.engine.secrets import secret_problems
from chaoskit.engine.yaml_source import parsed_document, read_document
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.experiment import INLINE_LABS, Experiment
from chaoskit.model.source import SourceFile
from chaoskit.ports.client import ClientType
from chaoskit.ports.fault import Fault

_ROUNDS = 30
"""How often what is invalid is set aside to look at the rest."""


@dataclass(frozen=True)
class Loaded:
    """An experiment and its lab, read and checked: what `planning.plan` works from."""

    experiment: Experiment
    source: SourceFile
    folder: Path
    """The experiment file's own; relative paths in it start here."""
    lab: LoadedLab
    faults: tuple[Fault, ...]
    """One for each action of `method`."""
    actions: tuple[str, ...]
    """The name of each action of `method`."""
    overrides: dict[str, Any] = field(default_factory=dict)
    document: Document | None = None
    client_types: dict[str, type[ClientType]] = field(default_factory=dict)
    """Client -> its type."""


def load(
    path: Path,
    overrides: Sequence[str] = (),
    registry: Registry | None = None,
    text: str | None = None,
    backend: str | None = None,
) -> Loaded:
    """The experiment in a file, with `name=value` overrides, and its lab for a backend. InputError with all problems of both.

    `text`: the experiment itself, for one that stands in no file; `path` then names it, and relative paths start in its folder.
    """
    installed = registry or Registry()
    document = read_document(path) if text is None else parsed_document(text, str(path))
    problems = Findings()
    laid, wrong = lay_overrides(document, overrides)
    problems.add(wrong)
    problems.settle(fill_in_configuration(document))
    problems.add(secret_problems(document))
    problems.settle(read_host_files(document, installed, path.parent))
    problems.add(lay_out_policies(document))
    experiment, indexes = _what_is_valid(document, problems)
    lab = problems.attempt(lambda: _named_lab(document, path.parent))
    loaded_lab = None
    if lab is not None:
        loaded_lab = checked_lab(lab, backend, installed, problems)
    checker = None
    if experiment is not None:
        checker = Checker(experiment, document, installed, lab.spec if lab else None, indexes)
        problems.add(checker.problems())
    problems.raise_any()
    if experiment is None or loaded_lab is None or checker is None:  # each of them comes with a problem
        raise AssertionError("the experiment could not be read, and nothing said why")
    return Loaded(
        experiment=experiment,
        source=SourceFile(path=str(path), sha256=document.sha256),
        folder=path.parent,
        lab=loaded_lab,
        faults=tuple(checker.faults["method", i] for i in range(len(experiment.method))),
        actions=action_names(experiment.method),
        overrides=laid,
        document=document,
        client_types={name: installed.load("clients", spec.type) for name, spec in experiment.clients.items()},
    )


def _named_lab(document: Document, folder: Path) -> LabFile | None:
    """The lab that the experiment names; None where `lab` is no name (validation says so)."""
    choice = document.data.get("lab")
    if isinstance(choice, dict) and any(name in choice for name in INLINE_LABS) and "path" not in choice:
        return understood(_inline_lab(document, choice), folder, None)
    keys: Keys = ("lab",)
    variant: Any = None
    settings: Any = {}
    if isinstance(choice, dict):
        variant, settings = choice.get("variant"), choice.get("settings") or {}
        choice, keys = choice.get("path"), ("lab", "path")
    if not isinstance(choice, str) or not isinstance(variant, (str, type(None))) or not isinstance(settings, dict):
        return None
    if not choice.strip() or "\0" in choice:
        raise InputError([document.problem(keys, "names no lab file or folder")])
    try:
        file = lab_path(_plainly(folder / choice))
    except InputError as error:
        found = error.problems[0]
        message = f"{found.message}: {found.file}" if found.file not in found.message else found.message
        problem = document.problem(keys, message, value=choice, allowed=found.allowed, nearest=found.nearest)
        raise InputError([problem]) from error
    except OSError as error:
        raise InputError([document.problem(keys, f"cannot be read: {error.strerror}", value=choice)]) from error
    try:
        return read_lab(file, variant, settings, Override(document, ("lab", "settings")))
    except InputError as error:
        raise InputError([_where_chosen(p, document, file) for p in error.problems]) from error


def _inline_lab(document: Document, choice: dict[str, Any]) -> Document:
    """The lab that stands in the experiment itself, as a document of its own."""
    inline = Document(file=document.file, data={}, sha256=document.sha256, text=document.text)
    for key, value in choice.items():
        inline.lay((key,), copy.deepcopy(value), document, ("lab", key))
    inline.values[()] = document.place(("lab",))
    return inline


def _plainly(path: Path) -> Path:
    """Without `..` where that is the same place: easier to read in messages."""
    plain = Path(os.path.normpath(path))
    return plain if plain.exists() and path.exists() and plain.samefile(path) else path


def _where_chosen(problem: Problem, document: Document, file: Path) -> Problem:
    """An unknown variant is a mistake of the experiment, not of the lab file."""
    if not problem.message.startswith("this lab has no variant"):
        return problem
    message = f"{problem.message} ({file})"
    return document.problem(("lab", "variant"), message, value=problem.value, allowed=problem.allowed, nearest=problem.nearest)


def _what_is_valid(document: Document, problems: Findings) -> tuple[Experiment | None, dict[str, list[int]]]:
    """The experiment; where parts are wrong, what remains without them, so that the rest can be checked as well.

    Returns also, for each list of actions, the index in the file of those that are left.
    """
    data = copy.deepcopy(document.data)
    indexes = {s: list(range(len(data[s]))) for s in ("method", "rollbacks") if isinstance(data.get(s), list)}
    for round_number in range(_ROUNDS):
        try:
            return Experiment.model_validate(data), indexes
        except ValidationError as error:
            if round_number == 0:
                problems.add(problems_of(error, Experiment, document, (), data))
            if not _set_aside(data, error, indexes):
                return None, indexes
    return None, indexes


_STAND_INS: dict[str, Any] = {"title": "-", "lab": "-", "method": [{"inject": "-", "target": {"all": True}}], "rate": "1/s"}


def _set_aside(data: dict[str, Any], error: ValidationError, indexes: dict[str, list[int]]) -> bool:
    """Remove the smallest part of `data` that holds the first error. False where that is not possible."""
    entry = error.errors(include_url=False, include_input=False)[0]
    keys: list[str | int] = []
    inner: Any = data
    element: Any
    for element in entry["loc"]:
        if (isinstance(inner, dict) and element in inner) or (isinstance(inner, list) and isinstance(element, int)):
            keys.append(element)
            inner = inner[element]
    if not keys or keys in (["method"], ["title"], ["lab"]):
        name = str(entry["loc"][0]) if entry["loc"] else ""
        if name not in ("title", "lab", "method") or data.get(name) == _STAND_INS[name]:
            return False
        data[name] = copy.deepcopy(_STAND_INS[name])
        if name in indexes or name == "method":
            indexes[name] = []
        return True
    if entry["type"] == "missing" and entry["loc"][-1] in _STAND_INS:
        missing = str(entry["loc"][-1])
        _at(data, keys)[missing] = _STAND_INS[missing]
        return True
    last: Any = keys[-1]
    del _at(data, keys[:-1])[last]
    if len(keys) == 2 and keys[0] in indexes and isinstance(last, int):
        del indexes[str(keys[0])][last]
    return True


def _at(data: Any, keys: Iterable[str | int]) -> Any:
    for key in keys:
        data = data[key]
    return data
