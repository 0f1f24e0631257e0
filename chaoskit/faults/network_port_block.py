from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from chaoskit.model.capability import NETWORK_PORTS, NETWORK_REJECT, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check, DroppedQuery, ReachQuery
from chaoskit.model.steps import BlockPorts, Cease, JoinLinks, Step
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.links import Direction, directed, with_peers

Port = Annotated[int, Field(ge=1, le=65535)]


class NetworkPortBlock(Fault):
    """Block some ports of a node while everything else goes through: dropped without a word, or rejected at once.

    On the lab's switch, where the node cannot see it. Established connections are hit too: what is sent to the port is lost or
    answered with a reset, what comes from the port passes. The evidence is a TCP connection to each port of `ports`; the UDP
    ports are blocked alike, but an UDP port has no answer to probe.
    """

    NAME = "network.port_block"
    OUTAGE = "a firewall or security group changed by mistake, a proxy that blocks one port, a half-done migration"
    EXAMPLE: ClassVar = {
        "inject": "network.port_block",
        "target": {"role": "primary"},
        "with": {"ports": [5432]},
        "at": "10s",
        "for": "30s",
    }

    ports: Annotated[tuple[Port, ...], Field(min_length=1)]
    """TCP ports."""
    udp_ports: tuple[Port, ...] = ()
    """UDP ports, blocked as well."""
    action: Literal["drop", "reject"] = "drop"
    """`drop`: whoever connects waits until its own timeout; `reject`: it is refused at once. For `reject` something must listen
    on each port, because otherwise nobody could tell."""
    direction: Direction = "in"
    """`in`: the target's own ports, for the others; `out`: the others' ports, for the target."""
    peers: Selector | None = None
    """Only between the target and these nodes; everybody when left out."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    def needs(self) -> tuple[Need, ...]:
        needs = [Need(capability=NETWORK_PORTS, why="to tell ports apart on the lab's switch")]
        if self.action == "reject":
            needs.append(Need(capability=NETWORK_REJECT, why="to answer in the target's place"))
        return tuple(needs)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = with_peers(super().prepare(scene, nodes, tag), scene, self.peers)
        if self.action == "reject":
            for probe in self._probes(facts):
                seen = scene.read(probe).value
                if seen != "answered":
                    raise StepFailed(
                        f"{probe.destination} port {probe.tcp_port} does not answer {probe.source} ({seen}): "
                        "nobody could tell a rejected connection; take action: drop, or a port that is listened on"
                    )
        return facts

    def _probes(self, facts: Facts) -> list[ReachQuery]:
        return [
            ReachQuery(source=link.source, destination=link.destination, network=self.network, tcp_port=port)
            for link in directed(facts.shared, self.direction)
            for port in self.ports
        ]

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
        probes = self._probes(facts)
        if self.action == "drop":
            return tuple(
                Check(
                    query=probe,
                    in_force=("silent",),
                    healed=("answered", "refused"),
                    means=f"{probe.source} hears nothing from port {probe.tcp_port} of {probe.destination}",
                )
                for probe in probes
            )
        refused = tuple(
            Check(
                query=probe,
                in_force=("refused",),
                means=f"{probe.source} is refused by port {probe.tcp_port} of {probe.destination}",
            )
            for probe in probes
        )
        # a service may have ended meanwhile, and refuse by itself: that the rules are gone is asked of the switch
        gone = Check(query=DroppedQuery(tag=facts.tag), answer="number", healed=("0",), means="the switch has rejected packets")
        return (*refused, gone)
