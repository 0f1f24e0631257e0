"""A lab file -> the lab, read, checked and rendered. Starts nothing; all problems come at once.

It reads no experiment, and nothing that checks one: `chaoskit lab up` does not wait for that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from chaoskit.engine.checking_endpoints import endpoint_problems
from chaoskit.engine.checking_radius import radius_problems
from chaoskit.engine.labfile import LabFile, read_lab
from chaoskit.engine.predicting import detector_period_s, predicted_rto_s
from chaoskit.engine.registry import DEFAULT_BACKEND, Registry
from chaoskit.engine.rendering import RenderedLab, render_lab
from chaoskit.model.errors import InputError, Problem

Result = TypeVar("Result")


@dataclass(frozen=True)
class LoadedLab:
    """A lab, read, checked and rendered."""

    file: LabFile
    rendered: RenderedLab
    predicted_rto_s: tuple[float, float] | None
    detector_period_s: float | None = None


class Findings:
    """Collects what several readers find, so that all of it is said at once."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self._settled: set[str] = set()
        self._places: set[tuple[str, int | None, int | None, str, str]] = set()

    def add(self, problems: Iterable[Problem]) -> None:
        """Each once for each place; none of a place that is settled."""
        for problem in problems:
            place = (problem.file, problem.line, problem.column, problem.path, problem.message)
            if place not in self._places and problem.path not in self._settled:
                self._places.add(place)
                self.found.append(problem)

    def settle(self, problems: Iterable[Problem]) -> None:
        """Like `add`; what is said of these places later is only a consequence."""
        said = list(problems)
        self.add(said)
        self._settled |= {p.path for p in said if p.path}

    def attempt(self, read: Callable[[], Result]) -> Result | None:
        """What `read` returns; None where it found problems, which are then collected."""
        try:
            return read()
        except InputError as error:
            self.add(error.problems)
            return None

    def raise_any(self) -> None:
        """InputError with all that was found, in the order of the files."""
        if self.found:
            files = list(dict.fromkeys(p.file for p in self.found))
            raise InputError(sorted(self.found, key=lambda p: (files.index(p.file), p.line or 0, p.column or 0)))


def load_lab(
    path: Path,
    variant: str | None = None,
    settings: dict[str, Any] | None = None,
    registry: Registry | None = None,
    backend: str | None = None,
) -> LoadedLab:
    """A lab by itself, as `chaoskit lab up` takes it. InputError with every problem."""
    problems = Findings()
    loaded = checked_lab(read_lab(path, variant, settings), backend, registry or Registry(), problems)
    problems.raise_any()
    if loaded is None:
        raise AssertionError("the lab could not be rendered, and nothing said why")
    return loaded


def checked_lab(lab: LabFile, backend: str | None, registry: Registry, problems: Findings) -> LoadedLab | None:
    """A lab that was read, checked and rendered for a backend; None where `problems` says why not."""
    problems.add(endpoint_problems(lab.spec, lab.document, registry))
    problems.add(radius_problems(lab.spec.blast_radius, lab.document, lab.spec))
    rendered = problems.attempt(lambda: render_lab(lab, backend or lab.spec.backend or DEFAULT_BACKEND))
    before = len(problems.found)
    predicted = problems.attempt(lambda: predicted_rto_s(lab.spec, lab.document))
    period_s = problems.attempt(lambda: detector_period_s(lab.spec, lab.document))
    if rendered is None or len(problems.found) > before:
        return None
    return LoadedLab(file=lab, rendered=rendered, predicted_rto_s=predicted, detector_period_s=period_s)
