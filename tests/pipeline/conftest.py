"""A simulation and a command line of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.pipeline.simulation import CommandLine, Simulation


@pytest.fixture
def simulation(tmp_path: Path) -> Simulation:
    return Simulation(tmp_path / "run")


@pytest.fixture
def command(simulation: Simulation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setattr("chaoskit.surfaces.running.SystemClock", lambda: simulation.clock)  # `recover` has no backend's clock
    monkeypatch.setenv("CHAOSKIT_REPORTS", str(tmp_path / "reports"))
    return CommandLine(tmp_path, simulation)
