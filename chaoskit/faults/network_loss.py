from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from chaoskit.model.steps import LinkShape
from chaoskit.ports.link_fault import Dose, LinkFault

_PROBES = 1000
_PROBES_OF_BURSTS = 3000


class NetworkLoss(LinkFault):
    """Lose a share of the frames between a node and its peers, each by itself or in bursts, each way or one way.

    Bursts follow a Gilbert chain: a link is good or bad, a bad one loses everything, and how long it stays bad is a matter of
    chance. The dose is measured: frames are sent and the missing ones counted, the lengths of the gaps as well where bursts
    were asked for, and a share or length that is not the one asked for, as far as chance allows to tell, does not verify.
    """

    NAME = "network.loss"
    OUTAGE = "a bad cable or transceiver, a duplex mismatch, an overloaded switch or uplink, a weak radio link"
    EXAMPLE: ClassVar = {
        "inject": "network.loss",
        "target": {"role": "primary"},
        "with": {"percent": 20},
        "at": "10s",
        "for": "30s",
    }

    percent: Annotated[float, Field(ge=1, le=90)]
    """Share of the frames that is lost, each way, in percent."""
    burst: Annotated[float, Field(ge=2, le=100)] | None = None
    """Frames lost in a row, on average; when left out, each frame is lost or not by itself."""

    @model_validator(mode="after")
    def _possible(self) -> NetworkLoss:
        if self.burst and self.percent / 100 / (1 - self.percent / 100) > self.burst:
            raise ValueError(
                f"{self.percent:g} % lost in bursts of {self.burst:g} would leave less than a frame between two bursts"
            )
        return self

    def shape(self) -> LinkShape:
        return LinkShape(loss_percent=self.percent, burst_frames=self.burst or 0)

    def doses(self) -> tuple[Dose, ...]:
        if not self.burst:
            query: dict[str, str | int | float] = {"aspect": "loss", "expected": self.percent, "probes": _PROBES}
            return (Dose(query=query, words=f"{self.percent:g} % of the frames are lost"),)
        common: dict[str, str | int | float] = {"burst_frames": self.burst, "probes": _PROBES_OF_BURSTS}
        return (
            Dose(
                query={"aspect": "loss", "expected": self.percent, **common}, words=f"{self.percent:g} % of the frames are lost"
            ),
            Dose(
                query={"aspect": "burst", "expected": self.burst, "loss_percent": self.percent, **common},
                words=f"{self.burst:g} frames are lost in a row, on average",
            ),
        )
