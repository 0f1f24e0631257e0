"""What a backend offers the engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from chaoskit.model.record import Record

if TYPE_CHECKING:  # all that can be done to a lab and asked of it is much to read for who only builds one
    from chaoskit.model.capability import Survey
    from chaoskit.model.facts import Query, Reading
    from chaoskit.model.history import Event
    from chaoskit.model.lab import LabPlan, LabSpec
    from chaoskit.model.steps import Performed, Step
    from chaoskit.ports.clock import Clock


class Agent(Protocol):
    """A process of chaoskit's own that the backend placed in a node's network (a probe, a watcher).

    It survives that node's faults, and ends when the lab ends.
    """

    name: str

    def lines(self) -> Sequence[str]:
        """What it wrote to standard output since the last call, complete lines only; never blocks."""

    def tell(self, line: str) -> None:
        """Write one line to its standard input. StepFailed where it has ended."""

    def exit_code(self) -> int | None:
        """None while it runs."""

    def stop(self, timeout_s: float) -> int:
        """Close its standard input (it then finishes and flushes), TERM, KILL; its exit code."""


class Lab(Protocol):
    """A lab that is up."""

    lab_id: str
    plan: LabPlan

    def perform(self, step: Step) -> Performed:
        """Perform one step. StepFailed with evidence where it could not."""

    def read(self, query: Query) -> Reading:
        """Answer a query; changes nothing. StepFailed where the lab is gone."""

    def spawn(self, name: str, node: str | None, argv: Sequence[str], log: Path) -> Agent:
        """Start one of chaoskit's own processes in `node`'s network.

        `node` None: in the lab's own namespaces, with the right to enter every node's network (see `inside`).
        It sees this machine's files at the same paths. Standard error goes to the file `log`.
        """

    def inside(self) -> Path | None:
        """A directory with one file a node, which holds the process number (in the view of every process that was spawned) whose
        namespaces are the node's; empty while the node is off. None where there is no such way in."""

    def events(self) -> Sequence[Event]:
        """What happened by itself since the last call (a service exited, was restarted); never blocks."""

    def down(self) -> None:
        """End the lab and everything in it. Safe to call twice."""


@runtime_checkable
class DeadMan(Protocol):
    """Heals when chaoskit is gone. A lab that offers it performs armed steps itself when nobody disarms or renews in time."""

    def arm(self, debt_id: str, heal: Sequence[Step], deadline_s: float) -> None: ...

    def disarm(self, debt_id: str) -> None: ...


class Leftover(Record):
    """Something a dead run or lab left behind."""

    backend: str
    lab_id: str
    run_id: str
    what: tuple[str, ...]
    """For people: "processes 4711, 4712", "/var/tmp/...", "cgroup ..."."""
    owner_alive: bool
    """Its chaoskit still runs: not ours to sweep."""


class Backend(Protocol):
    """A kind of lab."""

    name: str

    def survey(self, lab: LabSpec) -> Survey:
        """What can be done here for this lab. Starts nothing."""

    def up(self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]) -> Lab:
        """Build the lab and start its services in order; returns once all of them run and each `ready` check holds.

        `detached`: the lab outlives this process (`chaoskit lab up`); otherwise it ends when this process does.
        LabUnavailable with evidence; nothing is left then.
        """

    def attach(self, lab_id: str) -> Lab:
        """A lab that is up already. LabUnavailable where there is none."""

    def leftovers(self) -> Sequence[Leftover]:
        """Labs of this backend on this machine, live ones included."""

    def sweep(self, lab_id: str) -> Sequence[str]:
        """Remove everything of that lab; what could not be removed comes back, with the reason."""


@runtime_checkable
class KeepsTime(Protocol):
    """A backend whose labs live in a time of their own, as simulated ones do: runs on it go by that clock."""

    clock: Clock


Addresses = Mapping[str, str]
"""Node -> address."""
