"""Queries: what may be asked of a lab without changing it, and the readings that come back. All survive JSON."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from chaoskit.model.files import FileState
from chaoskit.model.record import Record
from chaoskit.model.steps import ProcessRef


class NodeStateQuery(Record):
    """-> reading value: "up" | "frozen" | "off"."""

    kind: Literal["node_state"] = "node_state"
    node: str


class ProcessesQuery(Record):
    """-> reading processes: every process of the node (empty where it is off), whether or not it is frozen."""

    kind: Literal["processes"] = "processes"
    node: str


class ProcessStateQuery(Record):
    """-> reading value: "running" | "stopped" | "gone" for exactly this process."""

    kind: Literal["process_state"] = "process_state"
    node: str
    process: ProcessRef


class ServiceQuery(Record):
    """-> reading value: "running" | "exited" | "never_started" for a service of the lab on a node."""

    kind: Literal["service"] = "service"
    node: str
    service: str


class ReachQuery(Record):
    """Send a fresh probe from one node's network to another's address, or a fresh TCP connection to one of its ports.

    -> reading value: "answered" (any reply; on a port, a connection) | "refused" (by a port) | "silent" (none within the
    time) | "unreachable" (the sender's own kernel knows no way) | "source_off" (there is no sender).
    """

    kind: Literal["reach"] = "reach"
    source: str
    destination: str
    network: str | None = None
    tcp_port: int | None = None
    timeout_s: float = 0.3


class CarrierQuery(Record):
    """-> reading value: "up" | "no_carrier" | "down" (by the node's own command) | "partly" (several, not alike) | "off"."""

    kind: Literal["carrier"] = "carrier"
    node: str
    network: str | None = None
    """One network of the lab, or None for all that the node is on."""


class LossQuery(Record):
    """Send many probes over a network that both nodes share, and count the answers.

    -> reading number: lost of a hundred; value: "none" | "as_asked" (within four standard deviations of what is expected of so
    many probes) | "other" | "source_off".
    """

    kind: Literal["loss"] = "loss"
    source: str
    destination: str
    network: str | None = None
    expected_percent: float
    """Of questions and answers together."""
    probes: int = 1000

    def judged(self, lost: int) -> str:
        if not lost:
            return "none"
        share = self.expected_percent / 100
        deviation = (self.probes * share * (1 - share)) ** 0.5
        return "as_asked" if abs(lost - self.probes * share) <= 4 * deviation else "other"


class DroppedQuery(Record):
    """-> reading number: frames dropped so far by the cut of this tag; 0 where there is no such cut."""

    kind: Literal["dropped"] = "dropped"
    tag: str


class PidFileQuery(Record):
    """-> reading number: the first integer of a file in the node, None where it cannot be read."""

    kind: Literal["pid_file"] = "pid_file"
    node: str
    path: str


class ExecQuery(Record):
    """Run a command that only reads. -> reading number: its exit code; value: its output, cut at 4 KiB."""

    kind: Literal["exec"] = "exec"
    node: str
    argv: tuple[str, ...] = Field(min_length=1)
    user: str = "root"
    timeout_s: float = 10.0


class FileQuery(Record):
    """-> reading file and value, its fingerprint; or only value: "absent" | "a directory" | whatever else it is."""

    kind: Literal["file"] = "file"
    node: str
    path: str
    """Absolute; symbolic links are followed."""


class VolumeQuery(Record):
    """Write to a volume from inside its node, and flush.

    -> reading value: "works" | "eio" | "hangs" (not done in time) | "read_only" | "full" | "off"; number: bytes free.
    """

    kind: Literal["volume"] = "volume"
    node: str
    volume: str
    write_bytes: int = Field(default=4096, ge=1)
    timeout_s: float = Field(default=2.0, le=8)


Query = Annotated[
    NodeStateQuery
    | ProcessesQuery
    | ProcessStateQuery
    | ServiceQuery
    | ReachQuery
    | DroppedQuery
    | PidFileQuery
    | ExecQuery
    | FileQuery
    | VolumeQuery
    | CarrierQuery
    | LossQuery,
    Field(discriminator="kind"),
]
QUERY: TypeAdapter[Query] = TypeAdapter(Query)


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

    @property
    def ref(self) -> ProcessRef:
        return ProcessRef(pid=self.pid, start_ticks=self.start_ticks)


class Reading(Record):
    """The answer to a query."""

    value: str | None = None
    number: float | None = None
    processes: tuple[ProcessInfo, ...] = ()
    file: FileState | None = None
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
        said = self.query.model_dump(include={"node", "source", "destination"})
        return frozenset(str(name) for name in said.values())

    def seen(self, reading: Reading) -> str:
        """The part of a reading that this check compares."""
        if self.answer == "value":
            return "" if reading.value is None else reading.value
        return "" if reading.number is None else f"{reading.number:g}"
