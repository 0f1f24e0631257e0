from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from chaoskit.model.capability import NETWORK_CUT, Need
from chaoskit.model.facts import Check
from chaoskit.model.steps import CutLinks, JoinLinks, Step
from chaoskit.ports.fault import Facts, Fault
from chaoskit.ports.links import Direction, directed


class NetworkIsolate(Fault):
    """Cut a node off from everyone, clients included, while it keeps running."""

    NAME = "network.isolate"
    OUTAGE = "a failed network card or cable, a switch port that dies, a firewall rule that blocks one host"
    EXAMPLE: ClassVar = {"inject": "network.isolate", "target": {"role": "primary"}, "at": "10s", "for": "30s"}

    direction: Direction = "both"
    """`in`: the node hears nobody but still sends; `out`: the node hears everyone but nobody hears it."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_CUT, why="to drop its frames on the lab's switch"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return (CutLinks(tag=facts.tag, links=directed(facts.shared, self.direction), network=self.network),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return tuple(Check.silence(node, peer, self.network) for node in facts.nodes for peer in facts.shared.get(node, ()))
