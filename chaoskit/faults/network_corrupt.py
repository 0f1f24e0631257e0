from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from chaoskit.model.steps import LinkShape
from chaoskit.ports.link_fault import Dose, LinkFault


class NetworkCorrupt(LinkFault):
    """Invert one bit in a share of the frames between a node and its peers, anywhere behind the Ethernet header.

    Checksums are made final first, so that receivers notice: to TCP and UDP a corrupt packet is a lost one, and their
    counters of bad checksums grow; what has no checksum of its own takes the wrong bit for the truth. The dose is measured by
    frames whose content is known.
    """

    NAME = "network.corrupt"
    OUTAGE = "a bad cable, memory of a switch or network card that inverts bits, interference"
    EXAMPLE: ClassVar = {
        "inject": "network.corrupt",
        "target": {"role": "primary"},
        "with": {"percent": 5},
        "at": "10s",
        "for": "30s",
    }

    percent: Annotated[float, Field(ge=1, le=90)]
    """Share of the frames that have one bit inverted, each way, in percent."""

    def shape(self) -> LinkShape:
        return LinkShape(corrupt_percent=self.percent)

    def doses(self) -> tuple[Dose, ...]:
        query: dict[str, str | int | float] = {"aspect": "corrupt", "expected": self.percent}
        return (Dose(query=query, words=f"{self.percent:g} % of the frames arrive with a wrong bit"),)
