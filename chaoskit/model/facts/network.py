"""What may be asked of a lab's links."""

from __future__ import annotations

from typing import Literal

from chaoskit.model.record import Record


class ReachQuery(Record):
    """Send a fresh probe from one node's network to another's address, or a fresh TCP connection to one of its ports.

    -> reading value: "answered" (any reply; on a port, a connection) | "refused" (by a port) | "silent" (none within the
    time) | "unreachable" (the sender's own kernel knows no way) | "source_off" (there is no sender).
    One way: a frame is put on a network that both share, and "answered" says that it arrived. With `udp_port` it is a datagram to
    that port whose checksum is wrong, so that no program gets it.
    """

    kind: Literal["reach"] = "reach"
    source: str
    destination: str
    network: str | None = None
    tcp_port: int | None = None
    udp_port: int | None = None
    """One way only."""
    way: Literal["round_trip", "one_way"] = "round_trip"
    timeout_s: float = 0.3


class PageQuery(Record):
    """Ask for a page by HTTP from within a node's network.

    -> reading value: "there" (status 2xx) | "not there"; data: why not."""

    kind: Literal["page"] = "page"
    node: str
    url: str
    """Host names are those of the lab's nodes."""
    timeout_s: float = 2.0


class CarrierQuery(Record):
    """-> reading value: "up" | "no_carrier" | "down" (by the node's own command) | "partly" (several, not alike) | "off"."""

    kind: Literal["carrier"] = "carrier"
    node: str
    network: str | None = None
    """One network of the lab, or None for all that the node is on."""


class DroppedQuery(Record):
    """-> reading number: frames dropped so far by the cut of this tag; 0 where there is no such cut."""

    kind: Literal["dropped"] = "dropped"
    tag: str
