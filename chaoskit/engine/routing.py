"""Routers of a lab: what a lab file says about them, checked, and made into routes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Network

from chaoskit.model.lab import InterfacePlan, LabSpec, RoutePlan

RouteProblem = tuple[str, str, str]
"""(group, network that the route leads to, what is wrong)."""


def route_problems(spec: LabSpec) -> Iterator[RouteProblem]:
    """Routes that could never work. Names of networks and nodes that do not exist are among them."""
    for name, group in spec.nodes.items():
        own = set(group.networks or spec.networks)
        for network, via in group.routes.items():
            if network not in spec.networks:
                yield name, network, f"there is no network {network!r}; there is {', '.join(spec.networks)}"
            elif network in own:
                yield name, network, f"the nodes of {name} are on {network} themselves"
            elif via not in spec.node_names():
                yield name, network, f"there is no node {via!r}; a route leads through one node"
            elif not spec.nodes[spec.group_of(via)].forwards:
                yield name, network, f"{via} does not forward: give its group `forwards: true`"
            elif not own & set(spec.networks_of(via)):
                yield name, network, f"{via} is on no network of {name}"
            elif network not in (*spec.networks_of(via), *spec.nodes[spec.group_of(via)].routes):
                yield name, network, f"{via} is not on {network}, and has no route to it"


def routes_of(
    spec: LabSpec, node: str, subnets: Mapping[str, IPv4Network], interfaces: Mapping[str, Sequence[InterfacePlan]]
) -> tuple[RoutePlan, ...]:
    """A node's routes, by its router's address on the first network that both are on."""
    own = {interface.network for interface in interfaces[node]}
    routes = []
    for network, via in spec.nodes[spec.group_of(node)].routes.items():
        near = next(interface for interface in interfaces[via] if interface.network in own)
        routes.append(RoutePlan(subnet=str(subnets[network]), via=near.address))
    return tuple(routes)
