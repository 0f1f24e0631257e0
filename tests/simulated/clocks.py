"""Wall clocks of processes of a simulated cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from chaoskit.model.facts import ClockQuery, Reading
from chaoskit.model.steps import ShiftClock
from tests.simulated.cluster import SimulatedCluster


def shift_clock(c: SimulatedCluster, step: ShiftClock) -> None:
    key = ("clock", step.node, step.tag)
    if step.offset_s or step.rate_ppm:
        c.marks[key] = (step.offset_s, step.rate_ppm)
    else:
        c.marks.pop(key, None)


def clock(c: SimulatedCluster, query: ClockQuery) -> Reading:
    felt = c.marks.get(("clock", query.node, query.tag))
    if felt is None:
        return Reading(value="true", number=0.0)
    asked = (query.offset_s, query.rate_ppm)
    return Reading(value="as_asked" if felt == asked else "other", number=felt[1] or felt[0])


DEEDS: dict[str, Callable[[SimulatedCluster, Any], None]] = {"shift_clock": shift_clock}
ANSWERS: dict[str, Callable[[SimulatedCluster, Any], Reading]] = {"clock": clock}
