"""Steps that change what a network is made of: links that flap, connections, addresses, routing, answers in a node's place."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaoskit.model import capability
from chaoskit.model.steps.network import links_words, on_network
from chaoskit.model.steps.record import Link, StepRecord


class FlapLink(StepRecord):
    """Let a node's link go down and up again by itself until `Cease`; give it back afterwards (`SetLink` up, `JoinLinks`).

    It goes down at once. A node that is off meanwhile has no link; the flapping goes on with its next boot.
    """

    NEEDS: ClassVar = capability.NETWORK_LINK
    kind: Literal["flap_link"] = "flap_link"
    tag: str
    node: str
    network: str | None = None
    """One network of the lab, or None for all that the node is on."""
    period_s: float = Field(gt=0)
    """From one fall to the next."""
    down_share: float = Field(gt=0, lt=1)
    """Share of the period for which it is down."""
    silent: bool = False
    """True: frames are dropped while the carrier stays. Needs the capability `network.cut`."""

    def words(self) -> str:
        how = "fall silent" if self.silent else "lose its carrier"
        down_s = self.period_s * self.down_share
        return f"let {self.node} {how}{on_network(self.network)} for {down_s:g} s of each {self.period_s:g} s"


class ResetConnections(StepRecord):
    """Reset established TCP connections of a node: both ends learn it at once, by an error and by a RST.

    Connections of the node with itself are left alone. None at all is no error.
    """

    NEEDS: ClassVar = capability.NETWORK_RESET
    kind: Literal["reset_connections"] = "reset_connections"
    tag: str
    """Names what goes on by itself where `every_s` is given; `Cease` ends it."""
    node: str
    ports: tuple[int, ...] = ()
    """Only connections with one of these ports at either end; all where empty."""
    peers: tuple[str, ...] = ()
    """Only connections with these nodes of the lab; with everybody where empty."""
    every_s: float | None = Field(default=None, gt=0)
    """None: once; else again and again."""

    def words(self) -> str:
        again = f", again every {self.every_s:g} s" if self.every_s is not None else ""
        return f"reset the established TCP connections of {self.node}{connections_words(self.ports, self.peers)}{again}"


class SetAddress(StepRecord):
    """Give a node's interface a further IPv4 address, or take it away. Nothing where it is so already.

    A node that is off has none."""

    NEEDS: ClassVar = capability.NETWORK_ADDRESS
    kind: Literal["set_address"] = "set_address"
    node: str
    network: str
    address: str
    prefix: int = Field(default=32, ge=1, le=32)
    present: bool
    announce: bool = True
    """Tell the network by gratuitous ARP, so that neighbours believe it."""

    def words(self) -> str:
        if not self.present:
            return f"take the address {self.address} from {self.node} on {self.network}"
        told = ", and announce it" if self.announce else ""
        return f"give {self.node} the address {self.address}/{self.prefix} on {self.network} as well{told}"


class AnnounceAddress(StepRecord):
    """Let whoever of these nodes holds an address announce it by gratuitous ARP, so that neighbours believe it. Nothing where
    none does."""

    NEEDS: ClassVar = capability.NETWORK_ADDRESS
    kind: Literal["announce_address"] = "announce_address"
    nodes: tuple[str, ...]
    network: str
    address: str

    def words(self) -> str:
        return f"let its holder among {', '.join(self.nodes)} announce {self.address} on {self.network}"


class SetForwarding(StepRecord):
    """Let a router stop, or go on, forwarding what comes in. It still answers for itself. Nothing where the node is off."""

    NEEDS: ClassVar = capability.NETWORK_FORWARDING
    kind: Literal["set_forwarding"] = "set_forwarding"
    node: str
    network: str | None = None
    """Only what comes in from this network, or None for all that the node is on."""
    on: bool

    def words(self) -> str:
        where = f" from {self.network}" if self.network else ""
        return f"let {self.node} {'forward packets again' if self.on else 'no longer forward packets'} that come in{where}"


class AnswerNames(StepRecord):
    """Answer DNS queries on these directed links (client to server) in the server's place, which no longer sees them.

    `Cease` and `JoinLinks` with the same tag undo it.
    """

    NEEDS: ClassVar = capability.NETWORK_ANSWER
    kind: Literal["answer_names"] = "answer_names"
    tag: str
    links: tuple[Link, ...]
    response: Literal["none", "servfail", "nxdomain", "stale"]
    """`none`: queries are lost; `stale`: the recorded answers."""
    names: tuple[str, ...] = ()
    """Only queries over UDP for these names and what is below them; all names, over TCP too, where empty."""
    answers: dict[str, str] = {}
    """For `stale`: name, blank, number of the record type -> a recorded answer, base64. Other queries over UDP pass."""
    network: str | None = None
    """One network of the lab, or None for all that the two nodes share."""

    def words(self) -> str:
        what = f"DNS queries for {', '.join(self.names)}" if self.names else "DNS queries"
        how = {"none": "drop", "stale": "give recorded answers to"}.get(self.response, f"answer {self.response.upper()} to")
        return f"{how} {what} {links_words(self.links)}{on_network(self.network)}"


def connections_words(ports: tuple[int, ...], peers: tuple[str, ...]) -> str:
    """Which connections: with whom, on which ports."""
    with_whom = f" with {', '.join(peers)}" if peers else ""
    return with_whom + (f" on port {', '.join(map(str, ports))}" if ports else "")
