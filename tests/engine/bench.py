"""One run on the simulated lab, with a clock of its own, and what it left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chaoskit.engine.registry import Registry
from chaoskit.engine.run_directory import RunDirectory
from chaoskit.engine.running import run_plan
from chaoskit.engine.undo import journal_lines, undo_summary
from chaoskit.model.errors import ChaoskitError
from chaoskit.model.history import Event
from chaoskit.ports.progress import Snapshot
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.lab import SimulatedBackend
from tests.simulated.plans import plan

REGISTRY = Registry()


class Quiet:
    """Keeps what a person would have been shown."""

    def __init__(self) -> None:
        self.phases: list[str] = []
        self.on_phase: dict[str, Any] = {}

    def event(self, event: Event) -> None: ...

    def snapshot(self, snapshot: Snapshot) -> None:
        if not self.phases or self.phases[-1] != snapshot.phase:
            self.phases.append(snapshot.phase)
            if act := self.on_phase.get(snapshot.phase):
                act()

    def message(self, text: str) -> None: ...


class Bench:
    """One simulated run and what it left."""

    def __init__(self, path: Path, cluster: Any = SimulatedCluster) -> None:
        self.clock = FakeClock()
        self.backend = SimulatedBackend(self.clock, cluster)
        self.progress = Quiet()
        self.run = RunDirectory.create(path)
        self.ended_by: ChaoskitError | None = None

    def go(self, **changes: Any) -> list[dict[str, Any]]:
        made = plan(self.clock, **changes)
        self.ended_by, _ = run_plan(
            made, self.backend, self.run, "run-0001", self.clock, self.progress, lambda name: REGISTRY.load("faults", name)
        )
        return self.events()

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.run.events_file.read_text().splitlines()]

    def undo(self) -> Any:
        return undo_summary(journal_lines(self.run.undo_file))
