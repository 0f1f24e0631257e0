"""Whether what a blast radius names is in the lab."""

from __future__ import annotations

from collections.abc import Iterator

from chaoskit.engine.document import Document, Keys
from chaoskit.engine.spelling import unknown
from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.errors import Problem
from chaoskit.model.lab import LabSpec


def radius_problems(radius: BlastRadius, document: Document, lab: LabSpec) -> Iterator[Problem]:
    """Nodes, groups and roles that a blast radius names."""
    kinds = {"nodes": ("node", lab.node_names()), "groups": ("group", tuple(lab.nodes)), "roles": ("role", tuple(lab.roles))}
    for key, (what, allowed) in kinds.items():
        for i, name in enumerate(getattr(radius.protected, key)):
            keys: Keys = ("blast-radius", "protected", key)
            if name not in allowed:
                where = (*keys, i) if document.lookup((*keys, i))[0] else keys
                yield unknown(document, where, what, name, allowed)
