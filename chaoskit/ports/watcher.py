"""How a watcher process is configured, and what it prints."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, Protocol

from chaoskit.model.check import Check
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
    """IPv4 or IPv6."""
    asker: str
    """The node in whose network the question is asked; empty where nobody asks, and only announcements are seen (IPv6)."""
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


class PluggedWatchConfig(Record):
    """All that a watcher of an installed package is told."""

    name: str
    """What the experiment calls it."""
    type: str
    """Its entry point."""
    trial: int
    inside: str | None = None
    """`Lab.inside()`: one file a node with the process whose namespaces are the node's; None where there is no such way in."""
    nodes: dict[str, str]
    """Node -> address."""
    options: dict[str, Any] = {}
    """The watcher's own keys, as its `Options` allow them."""


class Observed(Record):
    """One JSON line on standard output for each thing observed: an event of the run. Instants CLOCK_MONOTONIC ns."""

    kind: Literal["observed"] = "observed"
    what: str
    """`detected`, `elected` and `promoted` are phases of a failover; anything else is told on the time line."""
    node: str = ""
    detail: str = ""
    between_ns: tuple[int, int]
    """Last known not to be so, first known to be so: it happened between."""


class PluggedWatcher(Protocol):
    """A watcher of an installed package: an entry point of the group `chaoskit.watchers`."""

    TYPE: ClassVar[str]
    Options: ClassVar[type[Record]]
    """Its keys in the experiment."""

    def __init__(self, config: PluggedWatchConfig, tell: Callable[[Observed], None]) -> None:
        """Starts nothing. `tell` never waits."""

    async def watch(self) -> None:
        """Observe until cancelled; to return, or to raise, is to have failed."""


class WatcherType(Protocol):
    """A watcher of chaoskit's own: `python -m <its module> CONFIG.json`; commands on standard input as for a probe."""

    TYPE: ClassVar[str]
    Config: ClassVar[type[Record]]

    async def watch(self) -> int:
        """Observe until told to stop; the exit code."""
