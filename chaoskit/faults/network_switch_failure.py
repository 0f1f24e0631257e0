from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import ClassVar, Literal

from chaoskit.model.capability import NETWORK_CUT, NETWORK_LINK, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import CarrierQuery, Check
from chaoskit.model.lab import LabSpec
from chaoskit.model.steps import CutLinks, JoinLinks, Link, SetLink, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class NetworkSwitchFailure(Fault):
    """Let the switch that a node is plugged into fail, for every node on it, clients included.

    The target names the switch: all nodes on its network are hit. With `how: dies` every port loses its carrier, one after the
    other within milliseconds; a node that boots meanwhile gets a port that works. With `how: hangs` nothing is forwarded any
    more, in one atomic act, and carriers stay.
    """

    NAME = "network.switch_failure"
    OUTAGE = "a switch that loses power, crashes or reboots; one whose control plane hangs while its ports stay up"
    EXAMPLE: ClassVar = {
        "inject": "network.switch_failure",
        "target": {"role": "primary"},
        "with": {"how": "hangs"},
        "at": "10s",
        "for": "30s",
    }

    how: Literal["dies", "hangs"] = "dies"
    """`dies`: carriers are lost; `hangs`: they stay, and no frame passes."""
    network: str | None = None
    """The network whose switch it is; may be left out where the target is on one only."""

    def needs(self) -> tuple[Need, ...]:
        if self.how == "dies":
            return (Need(capability=NETWORK_LINK, why="to take down all ports of the switch"),)
        return (Need(capability=NETWORK_CUT, why="to drop every frame on the switch"),)

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        if self.how == "dies" and (machines := lab.machines()):
            yield (
                f"the switch is a bridge of the engine's machine ({', '.join(machines)}), whose own end has no carrier to lose; "
                "`how: hangs` drops every frame on it"
            )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return (*(f"links:{node}" for node in nodes), *([f"switch:{self.network}"] if self.network else []))

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        networks = {self.network} if self.network else {n for node in nodes for n in scene.networks_of(node)}
        if len(networks) != 1:
            raise StepFailed(
                f"{self.NAME}: the target is on several networks ({', '.join(sorted(networks))}): say which `network`"
            )
        network = networks.pop()
        plugged = tuple(node for node in scene.nodes if network in scene.networks_of(node))
        strangers = [node for node in nodes if node not in plugged]
        if strangers:
            raise StepFailed(f"{self.NAME}: {', '.join(strangers)} is not on the network {network}")
        if len(plugged) < 2:
            raise StepFailed(f"{self.NAME}: {network} has no two nodes, so nobody would notice")
        return facts.model_copy(update={"sides": (plugged,), "probe": network})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        (plugged,) = facts.sides
        if self.how == "dies":
            return tuple(SetLink(node=node, network=facts.probe, up=False) for node in plugged)
        links = tuple(Link(source=a, destination=b) for a, b in permutations(plugged, 2))
        return (CutLinks(tag=facts.tag, links=links, network=facts.probe),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        if self.how == "dies":
            return tuple(SetLink(node=node, network=facts.probe, up=True) for node in facts.sides[0])
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        (plugged,) = facts.sides
        carrier = ("no_carrier",) if self.how == "dies" else ("up",)
        carriers = tuple(
            Check(
                query=CarrierQuery(node=node, network=facts.probe),
                in_force=carrier,
                healed=("up",),
                means=f"{node} {'has no' if self.how == 'dies' else 'still has its'} carrier on {facts.probe}",
            )
            for node in plugged
        )
        return carriers + tuple(Check.silence(a, b, facts.probe) for a, b in combinations(plugged, 2))
