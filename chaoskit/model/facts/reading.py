"""What comes back for a query, and what it must be to prove something."""

from __future__ import annotations

from typing import Literal

from chaoskit.model.facts.network import ReachQuery
from chaoskit.model.facts.queries import Query
from chaoskit.model.facts.topology import Connection
from chaoskit.model.files import FileState
from chaoskit.model.record import Record
from chaoskit.model.steps import ProcessRef


class ProcessInfo(Record):
    """One process of a node."""

    pid: int
    """As the node itself numbers it."""
    parent: int
    name: str
    command: tuple[str, ...]
    state: str
    """The kernel's letter: R S D T Z ..."""
    start_ticks: int
    user_id: int = 0
    listens: tuple[int, ...] = ()
    """TCP ports it listens on."""
    service: str | None = None
    """The lab's service this process belongs to (itself or an ancestor is the service's main process)."""
    stands_for: str = ""
    """In a plan only: the description of processes that nobody knows before the run, for which this one stands."""

    @property
    def ref(self) -> ProcessRef:
        return ProcessRef(pid=self.pid, start_ticks=self.start_ticks, stands_for=self.stands_for)


class Reading(Record):
    """The answer to a query."""

    value: str | None = None
    number: float | None = None
    processes: tuple[ProcessInfo, ...] = ()
    file: FileState | None = None
    connections: tuple[Connection, ...] = ()
    data: str = ""
    """Bytes as they came, base64."""
    at_ns: int = 0
    """CLOCK_MONOTONIC when it was read."""


class Check(Record):
    """Evidence for one fault: what a query must answer while the fault is in force, and again after it was healed.

    An empty tuple means that this side proves nothing (a killed process stays killed; nothing must hold after heal).
    """

    query: Query
    answer: Literal["value", "number"] = "value"
    """Which part of the reading is compared; a number as its shortest decimal text."""
    in_force: tuple[str, ...] = ()
    """Answers that prove the fault bites."""
    healed: tuple[str, ...] = ()
    """Answers that prove it is gone."""
    asked: float | None = None
    """The dose that was asked for, where there is one; the reading's number is the one that was felt."""
    unit: str = ""
    """Of both."""
    means: str
    """For the reader of a report: "db1 does not answer app"."""

    @classmethod
    def silence(cls, node: str, peer: str, network: str | None = None) -> Check:
        """Evidence that frames between two nodes are lost: `peer` asks `node`, and no reply comes back."""
        return cls(
            query=ReachQuery(source=peer, destination=node, network=network),
            in_force=("silent", "unreachable"),
            healed=("answered",),
            means=f"{node} and {peer} do not hear each other",
        )

    def nodes(self) -> frozenset[str]:
        """The nodes it asks about."""
        said = self.query.model_dump(include={"node", "source", "destination", "peer", "server"})
        return frozenset(str(name) for name in said.values() if name is not None)

    def seen(self, reading: Reading) -> str:
        """The part of a reading that this check compares."""
        if self.answer == "value":
            return "" if reading.value is None else reading.value
        return "" if reading.number is None else f"{reading.number:g}"
