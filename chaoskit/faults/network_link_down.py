from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import NETWORK_LINK, Need
from chaoskit.model.facts import CarrierQuery, Check
from chaoskit.model.steps import SetLink, Step
from chaoskit.ports.fault import Facts, Fault


class NetworkLinkDown(Fault):
    """Take away a node's carrier: its kernel and its programs see at once that the cable is dead.

    The switch's end of the cable goes down. The node keeps its addresses and routes, as with a pulled cable, and programs that
    watch the link (keepalived, bonding) notice without any timeout. For a network that falls silent while the link stays up see
    network.isolate.
    """

    NAME = "network.link_down"
    OUTAGE = "a pulled or broken cable, a dead transceiver, a switch port that is shut down, a switch without power"
    EXAMPLE: ClassVar = {"inject": "network.link_down", "target": {"role": "primary"}, "at": "10s", "for": "30s"}

    network: str | None = None
    """One network of the lab; all of them when left out."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_LINK, why="to take down the switch's end of its cable"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(SetLink(node=node, network=self.network, up=False) for node in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(SetLink(node=node, network=self.network, up=True) for node in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        carrier = tuple(
            Check(
                query=CarrierQuery(node=node, network=self.network),
                in_force=("no_carrier",),
                healed=("up",),
                means=f"{node} has no carrier",
            )
            for node in facts.nodes
        )
        if self.network is not None:
            return carrier
        others = {node: [peer for peer in facts.shared.get(node, ()) if peer not in facts.nodes] for node in facts.nodes}
        return carrier + tuple(Check.silence(node, peer) for node in facts.nodes for peer in others[node][:1])
