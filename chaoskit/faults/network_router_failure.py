from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from chaoskit.model.capability import NETWORK_CUT, NETWORK_FORWARDING, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import Check, ForwardingQuery, ReachQuery
from chaoskit.model.steps import CutLinks, JoinLinks, Link, SetForwarding, Step
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.links import directed


class NetworkRouterFailure(Fault):
    """Let a router fail: the nodes of its networks no longer reach each other through it.

    The target is a node of the lab that forwards (`forwards: true`). With `how: stops_forwarding` it drops what it should
    forward, and still answers for itself, so that whoever watches the router sees nothing wrong. With `how: dies` nobody hears it
    at all. To let it lose power, see node.power_off.
    """

    NAME = "network.router_failure"
    OUTAGE = "a router or firewall that hangs, loses its routes or is misconfigured; a lost link between two sites"
    EXAMPLE: ClassVar = {
        "inject": "network.router_failure",
        "target": {"node": "router"},
        "with": {"how": "stops_forwarding"},
        "at": "10s",
        "for": "30s",
    }

    how: Literal["stops_forwarding", "dies"] = "stops_forwarding"
    """`stops_forwarding`: only what goes through it is lost; `dies`: what is for itself as well."""
    network: str | None = None
    """Only one of its networks, a site for instance: what comes from there is not forwarded, or nobody there hears it."""

    def needs(self) -> tuple[Need, ...]:
        if self.how == "dies":
            return (Need(capability=NETWORK_CUT, why="to drop the router's frames on the lab's switches"),)
        return (Need(capability=NETWORK_FORWARDING, why="to switch its forwarding off"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return (*(f"links:{node}" for node in nodes), *(f"forwarding:{node}" for node in nodes))

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        through: list[Link] = []
        for router in nodes:
            forwards = scene.read(ForwardingQuery(node=router, network=self.network)).value
            if forwards != "on":
                raise StepFailed(
                    f"{self.NAME}: {router} does not forward (it says {forwards!r}): give its group `forwards: true`"
                )
            through += self._pairs(scene, router)
        told = [link for link in through if self._answered(scene, link)]
        if not told:
            raise StepFailed(f"{self.NAME}: no two nodes reach each other through {', '.join(nodes)}, so nobody would notice")
        return facts.model_copy(update={"kept": tuple(told), "shared": self._near(scene, nodes)})

    def _near(self, scene: Scene, nodes: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """Router -> the nodes on its networks, or on the one asked for."""
        wanted = {node: {self.network} if self.network else set(scene.networks_of(node)) for node in nodes}
        return {r: tuple(n for n in scene.nodes if n != r and wanted[r] & set(scene.networks_of(n))) for r in nodes}

    def _pairs(self, scene: Scene, router: str) -> list[Link]:
        """For each node near the router, the first one behind it that shares no network with it."""
        everyone = self._near(scene, [router])[router]
        behind = [n for n in scene.nodes if n != router and set(scene.networks_of(n)) & set(scene.networks_of(router))]
        pairs = []
        for one in everyone:
            mine = set(scene.networks_of(one))
            far = [two for two in behind if two != one and not mine & set(scene.networks_of(two))]
            pairs += [Link(source=one, destination=far[0])] if far else []
        return pairs

    def _answered(self, scene: Scene, link: Link) -> bool:
        return scene.read(ReachQuery(source=link.source, destination=link.destination)).value == "answered"

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        if self.how == "stops_forwarding":
            return tuple(SetForwarding(node=node, network=self.network, on=False) for node in facts.nodes)
        return (CutLinks(tag=facts.tag, links=directed(facts.shared), network=self.network),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        if self.how == "stops_forwarding":
            return tuple(SetForwarding(node=node, network=self.network, on=True) for node in facts.nodes)
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        lost = tuple(
            Check(
                query=ReachQuery(source=link.source, destination=link.destination),
                in_force=("silent", "unreachable"),
                healed=("answered",),
                means=f"{link.source} does not reach {link.destination} through {', '.join(facts.nodes)}",
            )
            for link in facts.kept
        )
        beside = []
        for router, near in facts.shared.items():
            if self.how == "dies":
                beside += [Check.silence(router, peer, self.network) for peer in near]
                continue
            for peer in near[:1]:
                query = ReachQuery(source=peer, destination=router, network=self.network)
                means = f"{router} still answers {peer} itself"
                beside.append(Check(query=query, in_force=("answered",), healed=("answered",), means=means))
        return lost + tuple(beside)
