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


class WatcherType(Protocol):
    """A kind of watcher: `python -m <its module> CONFIG.json`, commands on standard input as for a probe (`stop`, or its end)."""

    TYPE: ClassVar[str]
    Config: ClassVar[type[Record]]

    async def watch(self) -> int:
        """Observe until told to stop; the exit code."""
