"""Steps: the small acts a lab can perform, as data that survives JSON.

A fault returns them, a backend performs them, the undo journal keeps them literally. The set is closed: a new kind is a
change to every backend, so prefer a combination of these.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from chaoskit.model.files import FileState
from chaoskit.model.record import Record


class ProcessRef(Record):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    """As the node itself numbers it."""
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks since boot at which it started."""


class Link(Record):
    """One direction between two nodes."""

    source: str
    destination: str


class Exec(Record):
    """Run a command in a node and wait for it."""

    kind: Literal["exec"] = "exec"
    node: str
    argv: tuple[str, ...] = Field(min_length=1)
    user: str = "root"
    timeout_s: float = 10.0
    ok_codes: tuple[int, ...] = (0,)
    env: dict[str, str] = {}


class Signal(Record):
    """Send a signal to exact processes. One that is gone already, or whose number was reused, is left alone."""

    kind: Literal["signal"] = "signal"
    node: str
    processes: tuple[ProcessRef, ...]
    signal: str
    """Name without SIG, such as KILL, STOP, CONT."""


class CutLinks(Record):
    """Drop every frame on these directed links, all in one atomic act, on the lab's switches."""

    kind: Literal["cut_links"] = "cut_links"
    tag: str
    """Names this cut; `JoinLinks` with the same tag undoes exactly it."""
    links: tuple[Link, ...]
    network: str | None = None
    """One network of the lab, or None for all that the two nodes share."""
    share_percent: float = 100.0
    """Drop each frame with this probability. Less than 100 needs the capability `network.loss`."""


class JoinLinks(Record):
    """Undo the cut or block of this tag. Nothing happens where there is none."""

    kind: Literal["join_links"] = "join_links"
    tag: str


class BlockPorts(Record):
    """Drop or reject packets to these TCP and UDP ports on these directed links, in one atomic act, on the lab's switches.

    Established connections are hit as well; the answers that come from the ports are not.
    """

    kind: Literal["block_ports"] = "block_ports"
    tag: str
    """Names this block; `JoinLinks` with the same tag undoes exactly it."""
    links: tuple[Link, ...]
    tcp: tuple[int, ...] = ()
    udp: tuple[int, ...] = ()
    reject: bool = False
    """True: the sender is told at once (TCP reset, ICMP port unreachable). Needs the capability `network.reject`."""
    network: str | None = None
    """One network of the lab, or None for all that the two nodes share."""


class SetLink(Record):
    """Take away or give back a node's carrier: the switch's end of its cable goes administratively down or up.

    The node sees NO-CARRIER, as with a pulled cable, and keeps addresses and routes. Giving back what is there, or to a node
    that is off, does nothing.
    """

    kind: Literal["set_link"] = "set_link"
    node: str
    network: str | None = None
    """One network of the lab, or None for all that the node is on."""
    up: bool


class PowerOff(Record):
    """End a node at once: every process, its kernel network state, its memory."""

    kind: Literal["power_off"] = "power_off"
    node: str
    silent: bool = True
    """True: its links fall silent first, so peers see no FIN or RST (power loss).
    False: peers see the connections close (crash)."""
    lose_unsynced: bool = True
    """Data not yet flushed to the node's volumes is lost. Needs the capability `volume.lose_unsynced`."""


class PowerOn(Record):
    """Boot a node that is off: volumes mounted, same addresses, its services started unless `restart: never`.

    Nothing where it is up."""

    kind: Literal["power_on"] = "power_on"
    node: str


class Freeze(Record):
    """Stop every process of a node where it stands. The kernel still answers ping and completes TCP connects."""

    kind: Literal["freeze"] = "freeze"
    node: str


class Thaw(Record):
    """Let a frozen node go on. Nothing where it is not frozen."""

    kind: Literal["thaw"] = "thaw"
    node: str


class StartService(Record):
    """Start a service of the lab on a node that is up. Nothing where it runs already."""

    kind: Literal["start_service"] = "start_service"
    node: str
    service: str


class StopService(Record):
    """Stop a service of the lab: TERM to its main process, KILL to all of it once that ended or the time is over.

    It stays down, whatever its `restart` says, until `StartService` or until its node boots. Nothing where it does not run."""

    kind: Literal["stop_service"] = "stop_service"
    node: str
    service: str
    grace_s: float = Field(default=10.0, ge=0, le=20)


class WriteFile(Record):
    """Make a file of a node what it shall be, in one act, whether or not it is there; its directory must be. Nothing where it
    is so already."""

    kind: Literal["write_file"] = "write_file"
    node: str
    file: FileState


class RemoveFile(Record):
    """Remove a file of a node. Nothing where there is none."""

    kind: Literal["remove_file"] = "remove_file"
    node: str
    path: str


class FailVolume(Record):
    """Make a volume of a running node fail. Refused where it fails already."""

    kind: Literal["fail_volume"] = "fail_volume"
    node: str
    volume: str
    how: Literal["lost", "hang", "read_only", "full"]
    """`lost`: I/O errors, unflushed data gone; `hang`: writes wait; `full`: `free_bytes` are left."""
    free_bytes: int = 0


class RestoreVolume(Record):
    """Let a volume work again. Nothing where it does. One that was lost or read-only is mounted anew, for which the node's
    processes that still hold it are ended."""

    kind: Literal["restore_volume"] = "restore_volume"
    node: str
    volume: str


Step = Annotated[
    Exec
    | Signal
    | CutLinks
    | JoinLinks
    | PowerOff
    | PowerOn
    | Freeze
    | Thaw
    | StartService
    | StopService
    | WriteFile
    | RemoveFile
    | FailVolume
    | RestoreVolume
    | SetLink
    | BlockPorts,
    Field(discriminator="kind"),
]

STEP: TypeAdapter[Step] = TypeAdapter(Step)
"""Validates a step from JSON."""


class Performed(Record):
    """What became of one step. Instants are CLOCK_MONOTONIC nanoseconds of the machine chaoskit runs on."""

    step: Step
    began_ns: int
    ended_ns: int
    output: str = ""
