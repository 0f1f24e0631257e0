"""How a watcher process is configured, and what it prints."""

from __future__ import annotations

from typing import ClassVar, Literal, Protocol

from chaoskit.model.lab import Check
from chaoskit.model.record import Record


class RoleWatchConfig(Record):
    """All that the role watcher is told."""

    trial: int
    spool: str
    """The SQLite file to write; see model.history."""
    inside: str | None = None
    """`Lab.inside()`: where to find each node's network; None: asked from where the watcher runs."""
    roles: dict[str, dict[str, Check]]
    """Role -> node -> how to ask, rendered."""
    addresses: dict[str, str]
    """Node -> address; a check's host may be a node's name."""


class RoleChanged(Record):
    """One JSON line on standard output for each change. Instants CLOCK_MONOTONIC ns."""

    kind: Literal["role_changed"] = "role_changed"
    role: str
    node: str
    state: int | None
    """1 holds the role, 0 does not, None: no answer."""
    before: int | None
    """The state until then; None also before the first answer."""
    between_ns: tuple[int, int]
    """Last asked with the old answer, first answered with the new one: the change lies between."""
    detail: str = ""


class RoleBeat(Record):
    """One JSON line each second."""

    kind: Literal["role_beat"] = "role_beat"
    t_ns: int
    roles: dict[str, dict[str, int | None]]
    """Role -> node -> state; a node that was not asked yet is missing."""
    failure: str = ""
    """Why observations can no longer be recorded; the process then ends with 3."""


class WatchedAddress(Record):
    """One floating address: what it is called, and from where it is asked who has it."""

    name: str
    address: str
    """IPv4."""
    asker: str
    """The node in whose network the question is asked."""
    device: str
    """Its interface on the address's network."""
    controls: tuple[str, ...]
    """Fixed addresses of other nodes on that network, asked for in turn: whoever hears none of them hears nobody."""


class AddressWatchConfig(Record):
    """All that the address watcher is told."""

    trial: int
    spool: str
    """The SQLite file to write; see model.history."""
    inside: str | None = None
    """`Lab.inside()`: where to find each node's network; None: asked from where the watcher runs."""
    addresses: tuple[WatchedAddress, ...]
    macs: dict[str, str]
    """Hardware address -> node, of every interface of the lab."""


class OwnersChanged(Record):
    """One JSON line where other nodes answer for an address than before. Instants CLOCK_MONOTONIC ns."""

    kind: Literal["address_owners"] = "address_owners"
    name: str
    address: str
    owners: tuple[str, ...]
    before: tuple[str, ...] | None
    """None: asked for the first time."""
    between_ns: tuple[int, int]
    """Last asked with the old owners, first known to be the new ones."""


class AddressAnnounced(Record):
    """One JSON line where a node says something new on the wire about who has an address."""

    kind: Literal["address_announced"] = "address_announced"
    name: str
    address: str
    owner: str
    how: str
    between_ns: tuple[int, int]
    """The bounds of the frame's arrival: the kernel's own stamp, taken over to CLOCK_MONOTONIC."""
    vrid: int | None = None
    priority: int | None = None


class AddressBeat(Record):
    """One JSON line each second."""

    kind: Literal["address_beat"] = "address_beat"
    t_ns: int
    owners: dict[str, tuple[str, ...]]
    """Name -> who answers for it; one that was not asked for yet is missing."""
    failure: str = ""
    """Why observations can no longer be recorded; the process then ends with 3."""


class WatcherType(Protocol):
    """A kind of watcher: `python -m <its module> CONFIG.json`, commands on standard input as for a probe (`stop`, or its end)."""

    TYPE: ClassVar[str]
    Config: ClassVar[type[Record]]

    async def watch(self) -> int:
        """Observe until told to stop; the exit code."""
