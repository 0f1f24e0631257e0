"""The simulated backend, as processes find it that are started from here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chaoskit.surfaces.python.experiment import Options
from tests.simulated import entry_point


class Place:
    """A folder with a lab, and how experiments are run in it."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self._patch = root, patch
        self.environment = entry_point.installed_in(root / "installed")
        for name, value in self.environment.items():
            patch.setenv(name, value)
        patch.syspath_prepend(root / "installed")
        self.said: list[str] = []
        self.options = Options(backend="simulated", reports=root / "reports", say=self.said.append)
        self.lab = root / "lab"
        self.lab.mkdir()
        (self.lab / "lab.yaml").write_text(json.dumps(entry_point.LAB))

    def misbehave(self, **knobs: object) -> None:
        self._patch.setenv(entry_point.KNOBS, json.dumps(knobs))

    def labs(self) -> list[dict[str, object]]:
        return entry_point.told(self.environment)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return Place(tmp_path, monkeypatch)
