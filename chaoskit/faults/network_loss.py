from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from chaoskit.model.capability import NETWORK_CUT, NETWORK_LOSS, Need
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check, LossQuery
from chaoskit.model.steps import CutLinks, JoinLinks, Link, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class NetworkLoss(Fault):
    """Lose a random share of a node's frames, in both directions or one.

    Each frame is lost or not by itself, on the lab's switch; losses in bursts are not there yet. The dose is measured: probes
    are sent and the answers counted, and a share that is not the one asked for does not verify.
    """

    NAME = "network.loss"
    OUTAGE = "a bad cable or transceiver, a duplex mismatch, an overloaded switch or uplink, a weak radio link"
    EXAMPLE: ClassVar = {
        "inject": "network.loss",
        "target": {"role": "primary"},
        "with": {"percent": 20},
        "at": "10s",
        "for": "30s",
    }

    percent: Annotated[float, Field(ge=1, le=90)]
    """Share of the frames that is lost, each way, in percent."""
    direction: Literal["both", "in", "out"] = "both"
    """`in`: frames to the target; `out`: frames from it."""
    peers: Selector | None = None
    """Only between the target and these nodes; everybody when left out."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(capability=NETWORK_CUT, why="to drop frames on the lab's switch"),
            Need(capability=NETWORK_LOSS, why="to drop them by chance"),
        )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        if self.peers is None:
            return facts
        peers = scene.resolve(self.peers)
        shared = {node: tuple(p for p in facts.shared.get(node, ()) if p in peers) for node in nodes}
        return facts.model_copy(update={"shared": shared})

    def _pairs(self, facts: Facts) -> list[tuple[str, str]]:
        return sorted({(node, peer) for node in facts.nodes for peer in facts.shared.get(node, ())})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        directed: set[tuple[str, str]] = set()
        for node, peer in self._pairs(facts):
            if self.direction != "in":
                directed.add((node, peer))
            if self.direction != "out":
                directed.add((peer, node))
        links = tuple(Link(source=a, destination=b) for a, b in sorted(directed))
        return (CutLinks(tag=facts.tag, links=links, network=self.network, share_percent=self.percent),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        passes = 1 - self.percent / 100
        pairs = self._pairs(facts)
        checks = []
        for node, peer in pairs:
            # a question and its answer cross the link once each way; between two targets both ways are always lossy
            both = self.direction == "both" or (peer, node) in pairs
            query = LossQuery(
                source=peer,
                destination=node,
                network=self.network,
                expected_percent=100 * (1 - passes**2 if both else 1 - passes),
            )
            means = f"{query.expected_percent:.3g} % of what {peer} asks {node} stays without an answer"
            checks.append(Check(query=query, in_force=("as_asked",), healed=("none",), means=means))
        return tuple(checks)
