"""Which nodes a selector may ever hit, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable

from chaoskit.model.experiment import Selector
from chaoskit.model.lab import LabSpec


def candidate_nodes(selector: Selector, lab: LabSpec) -> tuple[str, ...]:
    """The nodes that a selector may ever hit: for a role, all that can hold it."""
    found: Iterable[str] = lab.node_names()
    if selector.node is not None:
        found = [n for n in found if n == selector.node]
    if selector.nodes:
        found = [n for n in found if n in selector.nodes]
    if selector.group is not None:
        members = lab.group_members(selector.group) if selector.group in lab.nodes else ()
        found = [n for n in found if n in members]
    if selector.role is not None:
        found = [n for n in found if lab.may_hold_roles(n)]
    return tuple(found)
