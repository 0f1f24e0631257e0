"""A lab that a Python program holds: built from its file, asked, and ended whatever happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaoskit.engine.clock import clock_of
from chaoskit.engine.lab_loading import load_lab
from chaoskit.engine.lab_needs import check_lab
from chaoskit.engine.run_directory import new_run_id
from chaoskit.model.errors import InputError, Problem, StepFailed
from chaoskit.model.facts import ExecQuery, NodeStateQuery
from chaoskit.model.units import Duration
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Backend
from chaoskit.ports.lab import Lab as BackendLab
from chaoskit.surfaces.installed import Installed
from chaoskit.surfaces.python.conductor import Say, say_to_stderr
from chaoskit.surfaces.standing import Roles, raised_lab, roles_once

ROLES_WITHIN_S = 10.0


@dataclass(frozen=True)
class Ran:
    """A command that was run in a node."""

    exit_code: int
    output: str
    """Standard output and error, at most 4096 characters."""


@dataclass(frozen=True)
class Lab:
    """A lab that is up. Experiments that are given it use it, and leave it up."""

    id: str
    path: Path
    """Its file or folder."""
    backend: str
    variant: str | None
    settings: Mapping[str, Any]
    logs: Path
    _lab: BackendLab = field(repr=False)
    _clock: Clock = field(repr=False)

    @property
    def nodes(self) -> tuple[str, ...]:
        """Names of its nodes."""
        return tuple(node.name for node in self._lab.plan.nodes)

    @property
    def addresses(self) -> Mapping[str, str]:
        """Node -> its address in the lab."""
        return self._lab.plan.addresses()

    def roles(self) -> Roles:
        """Role -> who holds it now, as the nodes themselves say."""
        return roles_once(self._lab, self._clock, {}, ROLES_WITHIN_S, lambda: None)

    def state(self, node: str) -> str:
        """up, frozen or off."""
        self._check(node)
        return self._lab.read(NodeStateQuery(node=node)).value or "unknown"

    def run(self, node: str, command: Sequence[str], *, user: str = "root", timeout: float | str = 60.0) -> Ran:
        """Run a command in a node, without a shell. StepFailed where it could not be run, or was not done in time."""
        self._check(node)
        limit_s = float(Duration.parse(timeout)) if isinstance(timeout, str) else float(timeout)
        reading = self._lab.read(ExecQuery(node=node, argv=tuple(command), user=user, timeout_s=limit_s))
        if reading.number is None:
            raise StepFailed(f"{' '.join(command)!r} on {node} gave no exit code within {limit_s:g} s", reading.value or "")
        return Ran(int(reading.number), reading.value or "")

    def _check(self, node: str) -> None:
        if node not in self.nodes:
            raise InputError([Problem(message=f"the lab {self.id} has no such node", value=node, allowed=self.nodes)])


@contextmanager
def lab(
    path: str | Path,
    *,
    variant: str | None = None,
    settings: Mapping[str, Any] | None = None,
    backend: str | None = None,
    reports: str | Path = "reports",
    keep: bool = False,
    say: Say = say_to_stderr,
) -> Iterator[Lab]:
    """Build a lab, wait until it is ready, and end it when the block ends in whatever way.

    It belongs to this process: where the process dies, the lab ends by itself. `keep`: it stays up, and `chaoskit lab down`
    ends it. `path` is a folder with lab.yaml, or such a file. Its logs go to a folder in `reports`.

    InputError with every problem of the file; CapabilityMissing where this machine cannot build it; LabUnavailable; Interrupted.
    """
    installed = Installed()
    loaded = load_lab(Path(path), variant, dict(settings or {}), installed.registry, backend)
    chosen: Backend = installed.backend(backend or loaded.file.spec.backend)
    check_lab(loaded, chosen.survey(loaded.file.spec))
    clock = clock_of(chosen)
    run_id = new_run_id(f"lab {loaded.file.spec.name}", clock.wall_ns())
    lab_id = f"{loaded.file.spec.name[:30]}-{run_id[4:15]}-{run_id[-4:]}"
    logs = (Path(reports) / run_id).absolute() / "logs"
    made, _ = raised_lab(loaded, chosen, lab_id, run_id, logs, say, detached=keep)
    try:
        yield Lab(lab_id, Path(path).absolute(), chosen.name, variant, dict(settings or {}), logs, made, clock)
    finally:
        if not keep:
            made.down()
