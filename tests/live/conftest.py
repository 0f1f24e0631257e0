"""Places for live runs; where the namespace backend cannot work here, the tests say why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.model.capability import NODE_POWER
from chaoskit.model.lab import LabSpec, NodeGroup
from tests.live.shop import Place


@pytest.fixture(scope="session")
def possible(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Why no lab can be built here; empty where one can."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CHAOSKIT_STATE", str(tmp_path_factory.mktemp("survey")))
        survey = NamespaceBackend().survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    return "" if survey.has(NODE_POWER) else survey.reason(NODE_POWER)


@pytest.fixture
def place(possible: str, tmp_path: Path) -> Iterator[Place]:
    """A place of the test's own; at the end nothing may be left of what ran there."""
    if possible:
        pytest.skip(possible)
    made = Place(tmp_path)
    yield made
    left = made.traces()
    if left:
        made.clear()
    assert left == []
