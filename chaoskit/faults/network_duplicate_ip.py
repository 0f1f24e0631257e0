from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address
from typing import ClassVar

from pydantic import field_validator

from chaoskit.model.capability import NETWORK_ADDRESS, Need
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check, NeighbourQuery, OwnersQuery
from chaoskit.model.steps import AnnounceAddress, SetAddress, Step
from chaoskit.ports.fault import Facts, Fault, Scene


class NetworkDuplicateIp(Fault):
    """Give the target an address that somebody else has, and announce it: neighbours send to the wrong node.

    The address is another node's own, or a virtual one. Neighbours believe whom they heard last. Healing takes it away again and
    lets whoever rightly holds it then announce it, so that nobody keeps the wrong entry.
    """

    NAME = "network.duplicate_ip"
    OUTAGE = "an address typed twice, a cloned machine, a static one inside a DHCP range, a cluster that forgot to release one"
    EXAMPLE: ClassVar = {
        "inject": "network.duplicate_ip",
        "target": {"role": "primary"},
        "with": {"owner": {"group": "db"}},
        "at": "10s",
        "for": "30s",
    }

    owner: Selector | None = None
    """The node whose own address it is, the first of several that is no target. This or `address`."""
    address: str | None = None
    """The address itself, a virtual one for instance; somebody on the network must hold it."""
    network: str | None = None
    """The network of the lab; the first that the target and the owner share when left out."""

    @field_validator("address")
    @classmethod
    def _address(cls, address: str | None) -> str | None:
        return None if address is None else str(IPv4Address(address))

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_ADDRESS, why="to give a node a further address from outside"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"addresses:{node}" for node in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        if (self.owner is None) == (self.address is None):
            raise StepFailed(f"{self.NAME}: say either the `owner` or the `address`")
        facts = super().prepare(scene, nodes, tag)
        owner = self._owner(scene, nodes)
        members = (*nodes, owner) if owner else nodes
        shared = [n for n in scene.networks_of(nodes[0]) if all(n in scene.networks_of(m) for m in members)]
        network = self.network or next(iter(shared), None)
        if network is None:
            raise StepFailed(f"{self.NAME}: {', '.join(members)} share no network")
        address = self.address or scene.address_of(owner, network)
        peers = tuple(n for n in facts.others if network in scene.networks_of(n))
        # nobody asks himself
        told = (scene.read(OwnersQuery(node=n, network=network, address=address)).value for n in peers)
        held = next((value for value in told if value and value != "source_off"), "")
        asker = next((n for n in peers if n != held), None)
        if asker is None:
            raise StepFailed(f"{self.NAME}: a further node on {network} has to see it, and there is none")
        if len(held.split()) != 1 or held in nodes:
            who = f"is held by {held}" if held else "is held by nobody"
            raise StepFailed(f"{self.NAME}: {address} {who} on {network}: exactly one other node must hold it")
        records = {"address": address, "network": network, "owner": held, "fixed": "yes" if owner else ""}
        return facts.model_copy(update={"others": peers, "probe": asker, "records": records})

    def _owner(self, scene: Scene, nodes: Sequence[str]) -> str:
        """The first that is no target; "" where an address was given."""
        if self.owner is None:
            return ""
        found = [node for node in scene.resolve(self.owner) if node not in nodes]
        if not found:
            raise StepFailed(f"{self.NAME}: the owner must be another node than {', '.join(nodes)}")
        return found[0]

    def _place(self, facts: Facts) -> dict[str, str]:
        return {"network": facts.records["network"], "address": facts.records["address"]}

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(SetAddress.model_validate({"node": n, **self._place(facts), "present": True}) for n in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        away = [SetAddress.model_validate({"node": n, **self._place(facts), "present": False}) for n in facts.nodes]
        return (*away, AnnounceAddress(nodes=facts.others, **self._place(facts)))

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        place, address, owner = self._place(facts), facts.records["address"], facts.records["owner"]
        checks = [
            Check(
                query=OwnersQuery.model_validate({"node": facts.probe, **place}),
                answer="number",
                in_force=(f"{1 + len(facts.nodes)}",),
                healed=("1",),
                means=f"{facts.probe} is told more than one owner of {address}: {', '.join((owner, *facts.nodes))}",
            )
        ]
        if facts.records["fixed"]:
            checks += [
                Check(
                    query=NeighbourQuery.model_validate({"node": peer, **place}),
                    healed=(owner, "unknown"),
                    means=f"{peer} takes another node than {owner} for the owner of {address}",
                )
                for peer in (*facts.others, *facts.nodes)
                if peer != owner
            ]
        return tuple(checks)
