"""What goes on by itself in a simulated cluster: a mark, with the number of its acts, which nothing advances."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaoskit.model.facts import ActivityQuery, Reading
from chaoskit.model.steps import Cease
from tests.simulated.cluster import SimulatedCluster


def begin(c: SimulatedCluster, tag: str, node: str, what: Any) -> None:
    """To be called for each step that begins an activity; `what` is for the queries that ask about it."""
    c.marks["activity", tag, node] = what


def cease(c: SimulatedCluster, step: Cease) -> None:
    for key in [key for key in c.marks if key[:2] == ("activity", step.tag)]:
        del c.marks[key]


def activity(c: SimulatedCluster, query: ActivityQuery) -> Reading:
    found = [key for key in c.marks if key[:2] == ("activity", query.tag) and query.node in (None, key[2])]
    return Reading(value="running" if found else "none", number=3.0 * len(found))


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {"cease": cease}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {"activity": activity}
