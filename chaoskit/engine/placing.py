"""Where the nodes of a lab are: subnets, addresses and hardware addresses, all decided before anything starts. Pure."""

from __future__ import annotations

import ipaddress

from chaoskit.model.errors import InputError, Problem
from chaoskit.model.lab import InterfacePlan, LabSpec

_FIRST_HOST = 11
"""The first node's last octet: leaves room for a gateway and the like."""


def node_interfaces(spec: LabSpec) -> dict[str, tuple[InterfacePlan, ...]]:
    """Node -> its interfaces eth0, eth1 ... Deterministic: the lab's n-th node gets .10+n on every network.

    Networks without a subnet get 198.18.0.0/24, 198.18.1.0/24 ... in the file's order (RFC 2544). In a subnet too small for
    that, the network's n-th node gets its n+1-th address. InputError where addresses do not suffice.
    """
    subnets = network_subnets(spec)
    names = spec.node_names()
    interfaces: dict[str, list[InterfacePlan]] = {name: [] for name in names}
    fixed = {(group, network): ipaddress.IPv4Address(a) for group, n in spec.nodes.items() for network, a in n.addresses.items()}
    taken = {network: {address for (_, where), address in fixed.items() if where == network} for network in subnets}
    for node in names:
        if (running := spec.running_of(node)) is not None:
            known = [f.model_dump() for f in running.interfaces]
            interfaces[node] = [InterfacePlan(device=f"eth{i}", **fields) for i, fields in enumerate(known)]
            continue
        for i, network in enumerate(spec.networks_of(node)):
            subnet = subnets[network]
            address = fixed.get((node, network)) or _free_address(spec, node, network, subnet, taken[network])
            taken[network].add(address)
            octets = [int(address) >> shift & 0xFF for shift in (24, 16, 8, 0)]
            mac = "02:c5:" + ":".join(f"{octet:02x}" for octet in octets)
            interfaces[node].append(
                InterfacePlan(device=f"eth{i}", network=network, address=str(address), prefix=subnet.prefixlen, mac=mac)
            )
    return {node: tuple(found) for node, found in interfaces.items()}


def _free_address(
    spec: LabSpec, node: str, network: str, subnet: ipaddress.IPv4Network, taken: set[ipaddress.IPv4Address]
) -> ipaddress.IPv4Address:
    names = spec.node_names()
    offset = _FIRST_HOST + names.index(node)
    if _FIRST_HOST + len(names) > subnet.num_addresses - 1:
        offset = 2 + [n for n in names if network in spec.networks_of(n)].index(node)
    while offset < subnet.num_addresses - 1 and subnet[offset] in taken:
        offset += 1
    if offset >= subnet.num_addresses - 1:
        raise InputError([Problem(message=f"{subnet} has too few addresses", path=f"networks.{network}")])
    return subnet[offset]


def network_subnets(spec: LabSpec) -> dict[str, ipaddress.IPv4Network]:
    """Network -> its subnet; default ones avoid those given."""
    given = {n: ipaddress.IPv4Network(s.subnet) for n, s in spec.networks.items() if s.subnet is not None}
    prefix = 24 if len(spec.node_names()) <= 254 - _FIRST_HOST else 20
    free = (
        s
        for s in ipaddress.IPv4Network("198.18.0.0/15").subnets(new_prefix=prefix)
        if not any(s.overlaps(taken) for taken in given.values())
    )
    return {n: given[n] if n in given else next(free) for n in spec.networks}
