from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from chaoskit.model.steps import LinkShape
from chaoskit.model.units import Duration
from chaoskit.ports.link_fault import Dose, LinkFault

_SHORTEST_S, _LONGEST_S = 0.002, 10.0


class NetworkReorder(LinkFault):
    """Let a share of the frames between a node and its peers overtake the others, which are delayed, each way or one way.

    The frames that overtake are sent at once, all others after the delay: the same that `reorder` of sch_netem does. The dose is
    measured by numbered frames: how many arrive before one that was sent earlier.
    """

    NAME = "network.reorder"
    OUTAGE = "packets of one connection on several lines (ECMP, bonding by round robin), a route that changes back and forth"
    EXAMPLE: ClassVar = {
        "inject": "network.reorder",
        "target": {"role": "primary"},
        "with": {"percent": 10, "delay": "10ms"},
        "at": "10s",
        "for": "30s",
    }

    percent: Annotated[float, Field(ge=1, le=50)]
    """Share of the frames that overtake, each way, in percent."""
    delay: Duration = Duration(0.01)
    """What all others are late by, from 2ms to 10s."""

    @field_validator("delay")
    @classmethod
    def _bounded(cls, delay: Duration) -> Duration:
        if not _SHORTEST_S <= delay <= _LONGEST_S:
            raise ValueError("the delay lies between 2ms and 10s: what is hardly late is not overtaken")
        return delay

    def shape(self) -> LinkShape:
        return LinkShape(delay_s=float(self.delay), reorder_percent=self.percent)

    def doses(self) -> tuple[Dose, ...]:
        query: dict[str, str | int | float] = {"aspect": "reorder", "expected": self.percent}
        return (Dose(query=query, words=f"{self.percent:g} % of the frames overtake others"),)
