from __future__ import annotations

from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.steps import LinkShape
from chaoskit.model.units import BitRate, Duration
from chaoskit.ports.link_fault import Dose, LinkFault

_LEAST_BITS_PER_S, _MOST_BITS_PER_S = 8e3, 100e6
_LEAST_QUEUE_BYTES = 10_000
_LONGEST_QUEUE_S = 5.0


class NetworkRate(LinkFault):
    """Make the links between a node and its peers narrow, each way or one way, with a queue that is bounded.

    Every link and direction has a line of its own. What the queue cannot hold is lost, as in a router, so a stream that is
    too fast feels delay first and then loss. The dose is measured by a train of frames; where other traffic shares the line,
    the train gets a part of it, so anything from half of the asked rate to a tenth more verifies.
    """

    NAME = "network.rate"
    OUTAGE = "a backup that fills the line, a link that negotiated 10 Mbit/s, a leased line instead of the campus network"
    EXAMPLE: ClassVar = {
        "inject": "network.rate",
        "target": {"role": "primary"},
        "with": {"rate": "10Mbit/s"},
        "at": "10s",
        "for": "30s",
    }

    rate: BitRate
    """So much passes each way, from 8kbit/s to 100Mbit/s, Ethernet headers included."""
    queue: Duration = Duration(0.1)
    """So long a frame waits for the line at most, up to 5s; but some 10 kB may always wait."""

    @field_validator("rate")
    @classmethod
    def _bounded(cls, rate: BitRate) -> BitRate:
        if not _LEAST_BITS_PER_S <= rate <= _MOST_BITS_PER_S:
            raise ValueError(
                "the rate lies between 8kbit/s and 100Mbit/s: a faster line cannot be told from none on every machine"
            )
        return rate

    @field_validator("queue")
    @classmethod
    def _short(cls, queue: Duration) -> Duration:
        if not 0 < queue <= _LONGEST_QUEUE_S:
            raise ValueError("frames wait for more than no time and at most 5s")
        return queue

    def shape(self) -> LinkShape:
        queue_bytes = max(_LEAST_QUEUE_BYTES, round(self.rate * self.queue / 8))
        return LinkShape(rate_bits_per_s=float(self.rate), queue_bytes=queue_bytes)

    def doses(self) -> tuple[Dose, ...]:
        waits_s = self.shape().queue_bytes * 8 / float(self.rate)
        query: dict[str, str | int | float] = {"aspect": "rate", "expected": float(self.rate), "delay_s": waits_s}
        return (Dose(query=query, words=f"{self.rate} pass"),)
