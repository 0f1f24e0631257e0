"""Whether a fault makes the answers to another fault's questions say nothing. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from chaoskit.model.facts import Check
from chaoskit.model.steps import Link, Step


def spoils(nodes: Sequence[str], steps: Iterable[Step], check: Check, own: Collection[str] = ()) -> bool:
    """Whether an injection of these steps into these nodes holds whom a check asks, or a link that its question takes.

    `own`: nodes that are asked all the same, for what they show is at least the effect of the fault that the check is for.
    """
    acted_on, links = set(nodes), set[tuple[str, str]]()
    for step in steps:
        if isinstance(node := getattr(step, "node", None), str):
            acted_on.add(node)
        hit: tuple[Link, ...] = getattr(step, "links", ())
        links |= {(link.source, link.destination) for link in hit} | {(link.destination, link.source) for link in hit}
    asked = check.nodes()
    if asked & (acted_on - set(own)):
        return True
    way = (getattr(check.query, "source", None), getattr(check.query, "destination", None))
    return way in links and not asked & set(own)
