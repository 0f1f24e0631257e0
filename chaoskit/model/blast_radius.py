"""How much may be broken at once, and what never."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from chaoskit.model.names import Names
from chaoskit.model.record import Record


class Protected(Record):
    """What no fault may target, and no cut may leave without any neighbour."""

    nodes: Names = ()
    """Nodes of the lab."""
    groups: Names = ()
    """Every node of these groups."""
    roles: Names = ()
    """Whoever holds one of these roles at that instant."""
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """TCP and UDP ports that no fault may block. A link that is cut as a whole is no blocked port."""

    def union(self, other: Protected) -> Protected:
        def both(one: tuple[str, ...], two: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(dict.fromkeys((*one, *two)))

        return Protected(
            nodes=both(self.nodes, other.nodes),
            groups=both(self.groups, other.groups),
            roles=both(self.roles, other.roles),
            ports=tuple(dict.fromkeys((*self.ports, *other.ports))),
        )


class BlastRadius(Record):
    """Limits that every fault must keep, of the lab, of the experiment, or of both: then the stricter one holds."""

    max_targets: Annotated[int, Field(ge=1)] | None = Field(default=None, alias="max-targets")
    """Nodes under fault at once, over all faults in force."""
    protected: Protected = Protected()
    """What is never to be hit."""

    def with_limits_of(self, other: BlastRadius) -> BlastRadius:
        """Both together: the smaller number, and all that either protects."""
        counts = [n for n in (self.max_targets, other.max_targets) if n is not None]
        return BlastRadius(**{"max-targets": min(counts, default=None)}, protected=self.protected.union(other.protected))
