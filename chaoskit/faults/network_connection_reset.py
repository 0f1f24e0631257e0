from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field

from chaoskit.model.capability import NETWORK_RESET, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import ActivityQuery, Check, ConnectionsQuery
from chaoskit.model.steps import Cease, ResetConnections, Step
from chaoskit.model.units import Duration
from chaoskit.ports.fault import Facts, Fault, Scene

Port = Annotated[int, Field(ge=1, le=65535)]


class NetworkConnectionReset(Fault):
    """Reset the established TCP connections of a node; new ones are made as before.

    Both ends learn it at once: the node's own program by an error, the peer by a RST. Once, or with `every` again and again until
    healed. Connections of the node with itself are left alone. The evidence is that the very connections which were there before
    are gone.
    """

    NAME = "network.connection_reset"
    OUTAGE = "a stateful firewall or load balancer that fails over without its table, an idle time-out, a NAT that forgets"
    ONE_SHOT = True
    EXAMPLE: ClassVar = {"inject": "network.connection_reset", "target": {"role": "primary"}, "at": "10s", "for": "30s"}

    ports: tuple[Port, ...] = ()
    """Only connections with one of these TCP ports, at either end; all when left out."""
    peers: Selector | None = None
    """Only connections with these nodes; with everybody when left out."""
    every: Duration | None = None
    """Again and again, with this pause; once when left out."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_RESET, why="to end connections from outside of the programs that hold them"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"connections:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        peers = scene.resolve(self.peers) if self.peers is not None else ()
        found = {}
        for node in nodes:
            asked = ConnectionsQuery(node=node, ports=self.ports, peers=tuple(p for p in peers if p != node))
            found[node] = scene.read(asked).connections
        if not any(found.values()) and self.every is None:
            raise StepFailed(f"{self.NAME}: {', '.join(nodes)} has no such established connection, so there is nothing to reset")
        return facts.model_copy(update={"connections": found, "observers": tuple(peers)})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(
            ResetConnections(
                tag=facts.tag,
                node=node,
                ports=self.ports,
                peers=tuple(peer for peer in facts.observers if peer != node),
                every_s=float(self.every) if self.every is not None else None,
            )
            for node in facts.nodes
        )

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (Cease(tag=facts.tag),) if self.every is not None else ()

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        checks = [
            Check(
                query=ConnectionsQuery(node=node, of=there),
                in_force=("none",),
                means=f"the {len(there)} connections that {node} had are gone",
            )
            for node, there in facts.connections.items()
            if there
        ]
        if self.every is not None:
            goes_on = ActivityQuery(tag=facts.tag)
            means = "so many connections were reset"
            checks.append(Check(query=goes_on, in_force=("running",), healed=("none", "ended"), means=means))
        return tuple(checks)
