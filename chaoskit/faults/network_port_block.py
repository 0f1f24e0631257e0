from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import model_validator

from chaoskit.model.capability import NETWORK_PORTS, NETWORK_REJECT, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check, DroppedQuery, ReachQuery
from chaoskit.model.port_range import PortRange
from chaoskit.model.steps import BlockPorts, Cease, JoinLinks, Link, Step
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.links import Direction, directed, with_peers


class NetworkPortBlock(Fault):
    """Block some ports of a node while everything else goes through: dropped without a word, or rejected at once.

    On the lab's switch, where the node cannot see it. Established connections are hit too: what is sent to the port is lost or
    answered with a reset, what comes from the port passes. The evidence is a TCP connection to each of `ports`, and a datagram to
    each of `udp_ports`, whose checksum is wrong so that no program gets it; of a range the first and the last port are tried.
    """

    NAME = "network.port_block"
    OUTAGE = "a firewall or security group changed by mistake, a proxy that blocks one port, a half-done migration"
    EXAMPLE: ClassVar = {
        "inject": "network.port_block",
        "target": {"role": "primary"},
        "with": {"ports": [5432, "8000-8010"]},
        "at": "10s",
        "for": "30s",
    }

    ports: tuple[PortRange, ...] = ()
    """TCP ports."""
    udp_ports: tuple[PortRange, ...] = ()
    """UDP ports. At least one port, of TCP or UDP, is needed."""
    action: Literal["drop", "reject"] = "drop"
    """`drop`: whoever connects waits until its own timeout; `reject`: it is refused at once. For `reject` something must listen
    on each TCP port, and on the first or last of a range, because otherwise nobody could tell."""
    direction: Direction = "in"
    """`in`: the target's own ports, for the others; `out`: the others' ports, for the target."""
    peers: Selector | None = None
    """Only between the target and these nodes; everybody when left out."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    @model_validator(mode="after")
    def _blocks_something(self) -> NetworkPortBlock:
        if not (self.ports or self.udp_ports):
            raise ValueError("say which ports: `ports` for TCP, `udp_ports` for UDP")
        return self

    def needs(self) -> tuple[Need, ...]:
        needs = [Need(capability=NETWORK_PORTS, why="to tell ports apart on the lab's switch")]
        if self.action == "reject":
            needs.append(Need(capability=NETWORK_REJECT, why="to answer in the target's place"))
        return tuple(needs)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = with_peers(super().prepare(scene, nodes, tag), scene, self.peers)
        if self.action != "reject":
            return facts
        listened: dict[str, str] = {}
        for link in directed(facts.shared, self.direction):
            for span in self.ports:
                seen = {port: scene.read(self._connection(link, port)).value for port in span.ends}
                answered = [port for port, value in seen.items() if value == "answered"]
                if not answered:
                    raise StepFailed(
                        f"{link.destination} port {span} does not answer {link.source} ({', '.join(map(str, seen.values()))}): "
                        "nobody could tell a rejected connection; take action: drop, or a port that is listened on"
                    )
                listened[_key(link, span)] = str(answered[0])
        return facts.model_copy(update={"records": listened})

    def _connection(self, link: Link, port: int) -> ReachQuery:
        return ReachQuery(source=link.source, destination=link.destination, network=self.network, tcp_port=port)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return (
            BlockPorts(
                tag=facts.tag,
                links=directed(facts.shared, self.direction),
                tcp=self.ports,
                udp=self.udp_ports,
                reject=self.action == "reject",
                network=self.network,
            ),
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        # where nftables cannot reject, the lab answers by itself
        answering = (Cease(tag=facts.tag),) if self.action == "reject" else ()
        return (*answering, JoinLinks(tag=facts.tag))

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        links = directed(facts.shared, self.direction)
        datagrams = tuple(self._lost(link, port) for link in links for span in self.udp_ports for port in span.ends)
        if self.action == "drop":
            return (*(self._unheard(link, port) for link in links for span in self.ports for port in span.ends), *datagrams)
        refused = tuple(self._refused(link, int(facts.records[_key(link, span)])) for link in links for span in self.ports)
        # a service may have ended meanwhile, and refuse by itself: that the rules are gone is asked of the switch
        gone = Check(query=DroppedQuery(tag=facts.tag), answer="number", healed=("0",), means="the switch has rejected packets")
        return (*refused, *datagrams, gone)

    def _unheard(self, link: Link, port: int) -> Check:
        return Check(
            query=self._connection(link, port),
            in_force=("silent",),
            healed=("answered", "refused"),
            means=f"{link.source} hears nothing from port {port} of {link.destination}",
        )

    def _refused(self, link: Link, port: int) -> Check:
        means = f"{link.source} is refused by port {port} of {link.destination}"
        return Check(query=self._connection(link, port), in_force=("refused",), means=means)

    def _lost(self, link: Link, port: int) -> Check:
        return Check(
            query=ReachQuery(
                source=link.source, destination=link.destination, network=self.network, way="one_way", udp_port=port
            ),
            in_force=("silent",),
            healed=("answered",),
            means=f"datagrams from {link.source} to port {port} of {link.destination} do not arrive",
        )


def _key(link: Link, span: PortRange) -> str:
    return f"{link.source} {link.destination} {span}"
