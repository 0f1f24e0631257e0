from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from chaoskit.model.capability import NETWORK_CUT, NETWORK_LINK, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ActivityQuery, CarrierQuery, Check, FlapsQuery
from chaoskit.model.steps import Cease, FlapLink, JoinLinks, SetLink, Step
from chaoskit.model.units import Duration
from chaoskit.ports.fault import Facts, Fault, Scene

_LONGEST_S = 10.0
_SHORTEST_S = 0.1
_WATCHED_PERIODS = 1.3


class NetworkLinkFlap(Fault):
    """Let a node's link go down and come back, again and again.

    With `how: carrier` its kernel and its programs see the link go, as with a loose plug; with `how: silent` frames are lost
    while the link looks well. It goes on by itself in the lab until healed. The evidence is the link watched for a period: how
    often it changed is in the result.
    """

    NAME = "network.link_flap"
    OUTAGE = "a loose plug, a failing transceiver, a switch that reboots in a loop, a bond that cannot decide"
    EXAMPLE: ClassVar = {
        "inject": "network.link_flap",
        "target": {"role": "primary"},
        "with": {"period": "2s", "down": 50},
        "at": "10s",
        "for": "30s",
    }

    period: Duration = Duration(2.0)
    """From one fall to the next, 100 ms to 10 s."""
    down: Annotated[float, Field(ge=5, le=95)] = 50.0
    """Share of the period for which it is down, in percent."""
    how: Literal["carrier", "silent"] = "carrier"
    """`carrier`: the node loses its carrier; `silent`: it keeps it."""
    network: str | None = None
    """One network of the lab; all of them when left out."""

    @field_validator("period")
    @classmethod
    def _period(cls, period: Duration) -> Duration:
        if not _SHORTEST_S <= float(period) <= _LONGEST_S:
            raise ValueError(f"must be {_SHORTEST_S:g} s to {_LONGEST_S:g} s")
        return period

    def needs(self) -> tuple[Need, ...]:
        needs = [Need(capability=NETWORK_LINK, why="to take down the switch's end of its cable")]
        if self.how == "silent":
            needs.append(Need(capability=NETWORK_CUT, why="to drop its frames on the lab's switch"))
        return tuple(needs)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        facts = super().prepare(scene, nodes, tag)
        for node in nodes:
            state = scene.read(CarrierQuery(node=node, network=self.network)).value
            if state != "up":
                raise StepFailed(f"{self.NAME}: the link of {node} is {state} before anything was done")
        apart = {n: tuple(p for p in facts.shared.get(n, ()) if p not in nodes and self._meet(scene, n, p)) for n in nodes}
        if self.how == "silent" and not all(apart.values()):
            raise StepFailed(f"{self.NAME}: a silent flap is told by a node that is not a target itself, and there is none")
        return facts.model_copy(update={"shared": apart})

    def _meet(self, scene: Scene, one: str, two: str) -> bool:
        return self.network is None or self.network in {*scene.networks_of(one)} & {*scene.networks_of(two)}

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(
            FlapLink(
                tag=self._tag(facts, node),
                node=node,
                network=self.network,
                period_s=float(self.period),
                down_share=self.down / 100,
                silent=self.how == "silent",
            )
            for node in facts.nodes
        )

    def _tag(self, facts: Facts, node: str) -> str:
        """A node's own: its silence is a rule set of its own."""
        return f"{facts.tag}-{node}"

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        ended = tuple(Cease(tag=self._tag(facts, node)) for node in facts.nodes)
        if self.how == "silent":
            return ended + tuple(JoinLinks(tag=self._tag(facts, node)) for node in facts.nodes)
        return ended + tuple(SetLink(node=node, network=self.network, up=True) for node in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        checks = []
        for node in facts.nodes:
            peer = facts.shared[node][0] if self.how == "silent" else None
            watched = FlapsQuery(node=node, network=self.network, peer=peer, over_s=_WATCHED_PERIODS * float(self.period))
            flaps = ActivityQuery(tag=self._tag(facts, node), node=node)
            means = f"the link of {node} comes and goes"
            checks.append(Check(query=watched, in_force=("flapping",), healed=("steady",), means=means))
            means = f"so many times the link of {node} went down"
            checks.append(Check(query=flaps, in_force=("running",), healed=("none", "ended"), means=means))
        return tuple(checks)
