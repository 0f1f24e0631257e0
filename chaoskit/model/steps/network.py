"""Steps on a lab's links and switches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from chaoskit.model import capability
from chaoskit.model.port_range import PortRange
from chaoskit.model.steps.record import Link, StepRecord


class CutLinks(StepRecord):
    """Drop every frame on these directed links, all in one atomic act, on the lab's switches."""

    NEEDS: ClassVar = capability.NETWORK_CUT
    kind: Literal["cut_links"] = "cut_links"
    tag: str
    """Names this cut; `JoinLinks` with the same tag undoes exactly it."""
    links: tuple[Link, ...]
    network: str | None = None
    """One network of the lab, or None for all that the two nodes share."""

    def words(self) -> str:
        return f"drop every frame {links_words(self.links)}{on_network(self.network)}"


class JoinLinks(StepRecord):
    """Undo the cut or block of this tag. Nothing happens where there is none."""

    kind: Literal["join_links"] = "join_links"
    tag: str

    def words(self) -> str:
        return "let those frames through again"


class BlockPorts(StepRecord):
    """Drop or reject packets to these TCP and UDP ports on these directed links, in one atomic act, on the lab's switches.

    Established connections are hit as well; the answers that come from the ports are not.
    """

    NEEDS: ClassVar = capability.NETWORK_PORTS
    kind: Literal["block_ports"] = "block_ports"
    tag: str
    """Names this block; `JoinLinks` with the same tag undoes exactly it."""
    links: tuple[Link, ...]
    tcp: tuple[PortRange, ...] = ()
    udp: tuple[PortRange, ...] = ()
    reject: bool = False
    """True: the sender is told at once (TCP reset, ICMP port unreachable). Needs the capability `network.reject`."""
    network: str | None = None
    """One network of the lab, or None for all that the two nodes share."""

    def words(self) -> str:
        ports = [*(f"tcp {port}" for port in self.tcp), *(f"udp {port}" for port in self.udp)]
        what = "answer with a reset or port unreachable, and drop," if self.reject else "drop"
        return f"{what} every packet to {', '.join(ports)} {links_words(self.links)}{on_network(self.network)}"


class SetLink(StepRecord):
    """Take away or give back a node's carrier: the switch's end of its cable goes administratively down or up.

    The node sees NO-CARRIER, as with a pulled cable, and keeps addresses and routes. Giving back what is there, or to a node
    that is off, does nothing.
    """

    NEEDS: ClassVar = capability.NETWORK_LINK
    kind: Literal["set_link"] = "set_link"
    node: str
    network: str | None = None
    """One network of the lab, or None for all that the node is on."""
    up: bool

    def words(self) -> str:
        if self.up:
            return f"give {self.node} its carrier back{on_network(self.network)}"
        return f"take the switch's port of {self.node} down{on_network(self.network)}: it has no carrier"


def on_network(network: str | None) -> str:
    return f" on {network}" if network else ""


def links_words(links: Sequence[Link]) -> str:
    """The links in words; two that are each other's way back are named once."""
    both, one_way = [], []
    pairs = {(link.source, link.destination) for link in links}
    for link in links:
        if (link.destination, link.source) in pairs:
            if (link.destination, link.source) not in both:
                both.append((link.source, link.destination))
        else:
            one_way.append((link.source, link.destination))
    words = [f"between {a} and {b}" for a, b in both] + [f"from {a} to {b}" for a, b in one_way]
    return ", ".join(words) if words else "of no link"
