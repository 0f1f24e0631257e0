"""From a plan to a report on the simulated lab, and the command line on it: fast, without root, with a clock of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from click.testing import Result as CommandResult

from chaoskit.engine.registry import Registry
from chaoskit.engine.run_directory import RunDirectory
from chaoskit.engine.running import incompleteness, run_plan
from chaoskit.model.errors import ChaoskitError
from chaoskit.model.history import Event
from chaoskit.model.result import Result
from chaoskit.ports.progress import Snapshot
from chaoskit.surfaces.cli import cli
from chaoskit.surfaces.conducting import judged
from chaoskit.surfaces.installed import Installed
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster
from tests.simulated.lab import SimulatedBackend
from tests.simulated.plans import LAB, experiment, plan

RENDERED = ("report.html", "report.md", "junit.xml")
EVERYTHING = ("measures.json", "result.json", *RENDERED)


@dataclass
class NeverAgain(SimulatedCluster):
    """Nobody takes over, and the leader that was off once serves no more, though its node comes back."""

    failover_s: float | None = None
    was_off: bool = False

    def _works(self, node: str) -> bool:
        self.was_off = self.was_off or self.leader in self.off
        return super()._works(node) and not (self.was_off and node == self.leader)


class Silent:
    """Progress that nobody watches; `on_phase` acts when a phase is entered."""

    def __init__(self) -> None:
        self.on_phase: dict[str, Callable[[], None]] = {}
        self._phase = ""

    def event(self, event: Event) -> None: ...

    def snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.phase != self._phase:
            self._phase = snapshot.phase
            self.on_phase.get(snapshot.phase, lambda: None)()

    def message(self, text: str) -> None: ...


@dataclass
class Outcome:
    """A run that was carried out, measured, judged and rendered."""

    directory: Path
    result: Result
    ended_by: ChaoskitError | None

    def bytes(self) -> dict[str, bytes]:
        return {name: (self.directory / name).read_bytes() for name in EVERYTHING}

    def reasons(self) -> str:
        trials = [r for t in self.result.trials for r in (*t.reasons, *(x for o in t.objectives for x in o.reasons))]
        return "\n".join((*self.result.reasons, *trials))

    def is_rendered(self) -> bool:
        page = (self.directory / "report.html").read_text()
        return self.result.experiment.title in page and self.result.verdict in page.lower()


@dataclass
class Simulation:
    """Knobs first, then `carry_out`."""

    path: Path

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.cluster: Callable[[], SimulatedCluster] = SimulatedCluster
        self.backend = SimulatedBackend(self.clock, lambda: self.cluster())  # noqa: PLW0108 - the knob may be turned later
        self.progress = Silent()
        self.registry = Registry()

    def carry_out(self, **changes: Any) -> Outcome:
        """run_plan -> measure_run -> judge_run -> render."""
        made = plan(self.clock, **changes)
        run = RunDirectory.create(self.path)
        ended_by, _ = run_plan(
            made, self.backend, run, "run-0001", self.clock, self.progress, lambda name: self.registry.load("faults", name)
        )
        result, _ = judged(run.path, None if ended_by is None else incompleteness(ended_by))
        run.release()
        return Outcome(run.path, result, ended_by)


class SimulatedRegistry(Registry):
    """What is installed, with the simulated backend in place of the real ones."""

    def __init__(self, backend: SimulatedBackend) -> None:
        super().__init__()
        self._backend = backend

    def names(self, group: str) -> tuple[str, ...]:
        return ("simulated",) if group == "backends" else super().names(group)

    def load(self, group: str, name: str) -> Any:
        return self._backend if group == "backends" else super().load(group, name)


@dataclass
class CommandLine:
    """The commands of the command line, on the simulated backend and the clock of `simulation`."""

    folder: Path
    simulation: Simulation

    def __call__(self, *words: str | Path) -> CommandResult:
        installed = Installed(registry=SimulatedRegistry(self.simulation.backend))
        return CliRunner().invoke(cli, [str(word) for word in words], obj=installed)

    def experiment(self, **changes: Any) -> Path:
        """Written with its lab (JSON is YAML)."""
        lab = self.folder / "lab"
        lab.mkdir(exist_ok=True)
        members = {"db": {"count": 3, "services": ["database"]}, "app": {}}
        spec = LAB | {"nodes": members, "services": {"database": {"command": ["database"]}}}
        (lab / "lab.yaml").write_text(json.dumps(spec))
        file = self.folder / "experiment.yaml"
        file.write_text(json.dumps(experiment(**changes) | {"lab": "lab"}))
        return file
