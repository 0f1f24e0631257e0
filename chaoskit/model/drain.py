"""How nodes are drained: as a lab file says it, and for one node."""

from __future__ import annotations

from pydantic import Field

from chaoskit.model.names import Names
from chaoskit.model.record import Record
from chaoskit.model.units import Duration


class DrainSpec(Record):
    """How operators drain a node: tell the cluster to move its work away, though it runs on."""

    do: tuple[str, ...] = Field(min_length=1)
    """The command that drains the node: program and arguments, each a template; no shell."""
    undo: tuple[str, ...] = Field(min_length=1)
    """The command that takes it back; must be harmless when run twice, or without `do`."""
    shown: tuple[str, ...] = Field(min_length=1)
    """A command that only reads: it exits with 0 while the node is drained, and with 1 while it is not."""
    on: Names = ()
    """Nodes or groups on which each of the commands runs, one after the other; left out: the node that is drained."""
    user: str = "root"
    """Who runs them."""
    timeout: Duration = Duration(10.0)
    """How long each of them may run."""


class DrainPlan(Record):
    """How one node is drained, rendered."""

    on: tuple[str, ...]
    """Nodes on which each of the commands runs."""
    do: tuple[str, ...]
    undo: tuple[str, ...]
    shown: tuple[str, ...]
    user: str = "root"
    timeout: Duration = Duration(10.0)
