"""Live labs in a state directory of each test's own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.capability import COMMAND_EXEC, Survey
from chaoskit.model.lab import LabPlan, LabSpec, NodeGroup

_numbers = itertools.count()

Up = Callable[..., NamespaceLab]


@pytest.fixture(scope="session")
def survey(tmp_path_factory: pytest.TempPathFactory) -> Survey:
    before = os.environ.get("CHAOSKIT_STATE")
    os.environ["CHAOSKIT_STATE"] = str(tmp_path_factory.mktemp("survey"))
    try:
        return NamespaceBackend().survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    finally:
        os.environ.pop("CHAOSKIT_STATE")
        if before is not None:
            os.environ["CHAOSKIT_STATE"] = before


@pytest.fixture
def backend(survey: Survey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NamespaceBackend:
    if not survey.has(COMMAND_EXEC):
        pytest.skip(survey.reason(COMMAND_EXEC))
    monkeypatch.setenv("CHAOSKIT_STATE", str(tmp_path / "state"))
    return NamespaceBackend()


@pytest.fixture
def up(backend: NamespaceBackend, tmp_path: Path) -> Iterator[Up]:
    """Builds labs that end with the test."""
    labs: list[str] = []

    def build(plan: LabPlan, *, detached: bool = False) -> NamespaceLab:
        labs.append(f"test-{os.getpid()}-{next(_numbers)}")
        return backend.up(plan, labs[-1], "run", tmp_path / "logs", detached=detached, progress=lambda _: None)

    yield build
    for lab_id in labs:
        assert not backend.sweep(lab_id)
