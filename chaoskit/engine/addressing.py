"""Listening to the address watcher: who has each floating address, as seen on the wire."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.model.lab import LabPlan
from chaoskit.model.plan import Plan
from chaoskit.ports.lab import Agent, Lab
from chaoskit.ports.watcher import AddressAnnounced, AddressBeat, AddressWatchConfig, OwnersChanged, WatchedAddress

ADDRESS_WATCHER = "chaoskit.watchers.address"
"""Run as a process of its own inside the lab; the engine never imports it."""


def watched_addresses(plan: Plan) -> dict[str, str]:
    """Name -> address: those that the lab names, and those of the experiment."""
    named = {**plan.lab_plan.floating, **plan.experiment.watch.addresses}
    return {name: str(ipaddress.IPv6Address(a)) if is_v6(a) else a for name, a in named.items()}


def network_of(address: str, networks: Mapping[str, str]) -> str | None:
    """The network that an address lies in; None where it lies in none. ValueError where it is no IPv4 address."""
    wanted = ipaddress.IPv4Address(address)
    return next((name for name, subnet in networks.items() if wanted in ipaddress.IPv4Network(subnet)), None)


def is_v6(address: str) -> bool:
    """Whether it is an IPv6 address, of which only announcements are seen."""
    try:
        return ipaddress.ip_address(address).version == 6
    except ValueError:
        return False


def watched(name: str, address: str, lab: LabPlan) -> WatchedAddress:
    """Who asks for an address: a client's node on its network, else one that runs no service, else the last one there.

    Never whoever may have it, as far as that is known: nobody is asked what he answers himself.
    """
    if is_v6(address):
        return WatchedAddress(name=name, address=address, asker="", device="", controls=())
    network = network_of(address, lab.networks)
    members = [(node, i) for node in lab.nodes for i in node.interfaces if i.network == network]
    asker, interface = min(reversed(members), key=lambda m: (m[0].name not in lab.clients, bool(m[0].services)))
    controls = tuple(i.address for node, i in members if node is not asker)
    return WatchedAddress(name=name, address=address, asker=asker.name, device=interface.device, controls=controls)


class AddressListener:
    """Starts the address watcher of a lab and keeps what it says."""

    def __init__(self, plan: Plan, lab: Lab) -> None:
        self._plan, self._lab = plan, lab
        self.agent: Agent | None = None
        self.owners: dict[str, tuple[str, ...]] = {}
        """Name -> who answers for it now."""
        self.failure = ""
        """Why the watcher can no longer record, as it said."""

    def start(self, spool: Path, log: Path, trial: int) -> None:
        """Watch every floating address from now on. Nothing where there is none, or the lab has no way into its networks."""
        inside, addresses = self._lab.inside(), watched_addresses(self._plan)
        if not addresses or inside is None:
            return
        lab = self._plan.lab_plan
        config = AddressWatchConfig(
            trial=trial,
            spool=str(spool / f"{trial}-addresses.sqlite"),
            inside=str(inside),
            addresses=tuple(watched(name, address, lab) for name, address in addresses.items()),
            macs={i.mac: node.name for node in lab.nodes for i in node.interfaces},
        )
        file = spool / f"{trial}-addresses.json"
        file.write_text(config.model_dump_json(), encoding="utf-8")
        self.agent = self._lab.spawn("addresses", None, (sys.executable, "-m", ADDRESS_WATCHER, str(file)), log)

    def poll(self, odd: Callable[[str], None]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Events (kind, data) of what it said since the last call; never blocks. `odd` gets lines that make no sense."""
        for line in self.agent.lines() if self.agent is not None else ():
            try:
                if '"address_beat"' in line:
                    beat = AddressBeat.model_validate_json(line)
                    self.owners, self.failure = beat.owners, beat.failure or self.failure
                elif '"address_owners"' in line:
                    changed = OwnersChanged.model_validate_json(line)
                    self.owners = {**self.owners, changed.name: changed.owners}
                    yield "address.owners", changed.model_dump(mode="json", exclude={"kind"})
                else:
                    told = AddressAnnounced.model_validate_json(line)
                    yield "address.announced", told.model_dump(mode="json", exclude={"kind"}, exclude_none=True)
            except ValidationError:
                odd(line)
