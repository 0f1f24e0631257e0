"""What may be asked about flapping links, connections, owners of addresses, routers and DNS."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaoskit.model.record import Record


class FlapsQuery(Record):
    """Watch a node's link for a while.

    -> reading value: "flapping" (it changed twice or more) | "steady" | "off"; number: changes. Its carrier as the node's own
    kernel counts it, or whether it hears `peer`, asked every few milliseconds.
    """

    kind: Literal["flaps"] = "flaps"
    node: str
    network: str | None = None
    peer: str | None = None
    over_s: float = Field(gt=0, le=30)


class Connection(Record):
    """One end of an established TCP connection that cannot be mistaken for a later one."""

    local: str
    """address:port"""
    remote: str
    inode: int


class ConnectionsQuery(Record):
    """-> reading connections: the node's established TCP connections, but those with itself; number: how many.

    value: "some" | "none"; where `of` is given, whether one of these is still there, and number: how many of them.
    """

    kind: Literal["connections"] = "connections"
    node: str
    ports: tuple[int, ...] = ()
    peers: tuple[str, ...] = ()
    of: tuple[Connection, ...] | None = None


class OwnersQuery(Record):
    """Ask from a node who has an address, and wait for everybody's answer.

    -> reading value: the nodes whose hardware address answers, in the lab's order, separated by blanks (a foreign one as it
    is), "" where nobody does, "source_off"; number: how many.
    """

    kind: Literal["owners"] = "owners"
    node: str
    network: str
    address: str
    timeout_s: float = 0.3


class NeighbourQuery(Record):
    """-> reading value: the node that this node's kernel holds for the owner of an address, "unknown", or "off"."""

    kind: Literal["neighbour"] = "neighbour"
    node: str
    network: str
    address: str


class ForwardingQuery(Record):
    """-> reading value: "on" | "off" (forwards nothing that comes in from there) | "partly" | "node_off"."""

    kind: Literal["forwarding"] = "forwarding"
    node: str
    network: str | None = None


class NameQuery(Record):
    """Send one DNS query from a node to another's address.

    -> reading value: "NOERROR" (with an answer) | "no_data" (without) | "NXDOMAIN" | "SERVFAIL" | another code's name |
    "refused" (nobody listens) | "timeout" | "source_off"; data: the answer as it came, base64.
    """

    kind: Literal["name"] = "name"
    node: str
    server: str
    name: str
    record: Literal["A", "AAAA"] = "A"
    transport: Literal["udp", "tcp"] = "udp"
    network: str | None = None
    timeout_s: float = 0.4
