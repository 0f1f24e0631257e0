from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from chaoskit.model.steps import LinkShape
from chaoskit.ports.link_fault import Dose, LinkFault


class NetworkDuplicate(LinkFault):
    """Let a share of the frames between a node and its peers arrive twice, each way or one way.

    TCP does not mind; protocols of their own on UDP, multicast membership and ARP may. The dose is measured by frames that
    are sent once and counted.
    """

    NAME = "network.duplicate"
    OUTAGE = "a loop in the switched network, a bonded pair that sends on both lines, a route that flaps"
    EXAMPLE: ClassVar = {
        "inject": "network.duplicate",
        "target": {"role": "primary"},
        "with": {"percent": 10},
        "at": "10s",
        "for": "30s",
    }

    percent: Annotated[float, Field(ge=1, le=100)]
    """Share of the frames that arrive twice, each way, in percent."""

    def shape(self) -> LinkShape:
        return LinkShape(duplicate_percent=self.percent)

    def doses(self) -> tuple[Dose, ...]:
        query: dict[str, str | int | float] = {"aspect": "duplicate", "expected": self.percent}
        return (Dose(query=query, words=f"{self.percent:g} % of the frames arrive twice"),)
