from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from chaoskit.model.steps import LinkShape
from chaoskit.ports.link_fault import Dose, LinkFault


class NetworkPathMtu(LinkFault):
    """Let large packets between a node and its peers vanish without a word, while small ones pass: a path MTU black hole.

    No ICMP tells the sender. Connections are made, short questions are answered, and whatever is longer hangs. Super-frames are
    judged by the packets they will be cut into. The dose is measured: frames of the asked length and one byte more are sent.
    """

    NAME = "network.path_mtu"
    OUTAGE = "a tunnel or VPN with a smaller MTU behind a firewall that drops ICMP, one switch without jumbo frames"
    EXAMPLE: ClassVar = {
        "inject": "network.path_mtu",
        "target": {"role": "primary"},
        "with": {"largest_bytes": 1400},
        "at": "10s",
        "for": "30s",
    }

    largest_bytes: Annotated[int, Field(ge=68, lt=1500)]
    """The longest IP packet that still passes, its header included."""

    def shape(self) -> LinkShape:
        return LinkShape(largest_bytes=self.largest_bytes)

    def doses(self) -> tuple[Dose, ...]:
        query: dict[str, str | int | float] = {"aspect": "size", "expected": self.largest_bytes}
        return (Dose(query=query, words=f"no packet of more than {self.largest_bytes} bytes passes"),)
