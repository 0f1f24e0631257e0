"""Test projects that use the plugin with the simulated backend."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.simulated import entry_point
from tests.simulated.plans import experiment


class Project:
    """A project with a simulated lab, experiments and tests; its tests run in this process or another one."""

    def __init__(self, pytester: pytest.Pytester, patch: pytest.MonkeyPatch, installed: Path) -> None:
        self.pytester, self._patch, self.root = pytester, patch, pytester.path
        self.environment = entry_point.installed_in(installed)
        for name, value in self.environment.items():
            patch.setenv(name, value)
        patch.syspath_prepend(installed)
        lab = self.root / "lab"
        lab.mkdir()
        (lab / "lab.yaml").write_text(json.dumps(entry_point.LAB))
        self.configure()

    def configure(self, *lines: str) -> None:
        """What stands in pytest.ini."""
        # this project's own plugins stay out: they would be asked about everything, and add nothing here
        own = {"addopts": "-p no:hypothesispytest -p no:cacheprovider", "chaos_backend": "simulated"}
        given = {name: value for name, _, value in (line.partition(" = ") for line in lines)}
        self.pytester.makeini("\n".join(["[pytest]", *(f"{name} = {value}" for name, value in (own | given).items())]))

    def misbehave(self, **knobs: Any) -> None:
        """How the simulated lab is to be."""
        self._patch.setenv(entry_point.KNOBS, json.dumps(knobs))

    def experiment(self, name: str = "power.chaos.yaml", **changes: Any) -> Path:
        file = self.root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        lab = os.path.relpath(self.root / "lab", file.parent)
        file.write_text(json.dumps(experiment(baseline="5s", **changes) | {"lab": lab}))
        return file

    def tests(self, text: str, name: str = "test_project") -> None:
        self.pytester.makepyfile(**{name: text})

    def run(self, *words: str | Path) -> pytest.RunResult:
        """In this process; experiments are carried out in others."""
        return self.pytester.runpytest_inprocess(*words)

    def process(self, *words: str | Path) -> pytest.RunResult:
        return self.pytester.runpytest_subprocess(*words)

    def labs(self) -> list[dict[str, Any]]:
        """What was told of labs."""
        return entry_point.told(self.environment)

    def results(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in sorted(self.root.glob("reports/*/result.json"))]

    def all_are_down(self) -> bool:
        """Every lab that was built was ended, with nothing broken in it."""
        ended = {told["down"]: told["off"] + told["frozen"] for told in self.labs() if "down" in told}
        return bool(ended) and {told["up"] for told in self.labs() if "up" in told} == ended.keys() and not any(ended.values())


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(pytester, monkeypatch, tmp_path_factory.mktemp("installed"))


Make = Callable[..., Path]
