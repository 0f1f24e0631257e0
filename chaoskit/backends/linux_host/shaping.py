"""From steps on a lab's network, and questions about it, to what the holder carries out. Pure."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from chaoskit.backends.linux_host.wire import Refused, packed
from chaoskit.linux import netlink, nft, rtnl
from chaoskit.model import capability as names
from chaoskit.model import facts, steps
from chaoskit.model.lab import InterfacePlan, LabPlan

NetworkStep = steps.SetLink | steps.BlockPorts


def act(plan: LabPlan, step: NetworkStep) -> dict[str, Any]:
    """What the holder does for a step. Refused where the step names what the lab does not have."""
    match step:
        case steps.SetLink():
            return _set_link(plan, step)
        case steps.BlockPorts():
            return _block_ports(plan, step)


def netfilter(batch: bytes, tolerate: Sequence[int] = ()) -> dict[str, Any]:
    """An act: one transaction on the switch."""
    return {"act": "netlink", "family": netlink.NETLINK_NETFILTER, "batch": packed(batch), "tolerate": list(tolerate)}


def question(plan: LabPlan, query: facts.CarrierQuery) -> dict[str, Any]:
    """What the holder is asked for a query. Refused where it names what the lab does not have."""
    devices = [interface.device for _, interface in interfaces(plan, query.node, query.network)]
    return {"kind": "carrier", "node": query.node, "devices": devices}


def trials() -> dict[str, dict[str, Any]]:
    """Capability -> an act that shows, in a scratch network with one switch, whether this kernel can do it."""
    pair = (rtnl.port_name(0, 0), rtnl.port_name(1, 0))
    mac = (pair[0], rtnl.bridge_mac(0))
    switch = rtnl.bridge_index(0)
    return {
        names.NETWORK_CUT: {"family": netlink.NETLINK_NETFILTER, "batch": packed(nft.cut("trial", [pair]))},
        names.NETWORK_PORTS: {
            "family": netlink.NETLINK_NETFILTER,
            "batch": packed(nft.block("trial", [pair], [(1, 2)], [(1, 1)])),
        },
        names.NETWORK_REJECT: {
            "family": netlink.NETLINK_NETFILTER,
            "batch": packed(nft.reject("trial", [mac], [(1, 2)], [(1, 1)])),
        },
        names.NETWORK_LINK: {"family": netlink.NETLINK_ROUTE, "batch": packed(rtnl.batch(rtnl.set_port(switch, up=False)))},
    }


def one_way(plan: LabPlan, query: facts.ReachQuery) -> dict[str, Any]:
    """What the holder is asked: a frame from the one node's interface to the other's."""
    device, there = meeting(plan, query)
    place = {"device": device, "destination": query.destination, "their_device": there.device, "mac": there.mac}
    addresses = {"own_address": plan.address(query.source, there.network), "address": there.address}
    asked = {"kind": "one_way", "node": query.source, "timeout_s": query.timeout_s, "udp_port": query.udp_port}
    return {**asked, **place, **addresses}


def meeting(plan: LabPlan, query: facts.ReachQuery) -> tuple[str, InterfacePlan]:
    """The source's device and the destination's interface on a network that both share."""
    devices = {interface.network: interface.device for _, interface in interfaces(plan, query.source, query.network)}
    there = [i for _, i in interfaces(plan, query.destination, query.network) if i.network in devices]
    if not there:
        raise Refused(f"{query.source} and {query.destination} share no network")
    return devices[there[0].network], there[0]


def ports_of(plan: LabPlan, name: str) -> dict[str, str]:
    """Network -> the switch port of this node. Refused where there is no such node."""
    for number, node in enumerate(plan.nodes):
        if node.name == name:
            return {i.network: i.port or rtnl.port_name(number, at) for at, i in enumerate(node.interfaces)}
    raise Refused(f"this lab has no node {name!r}; it has {', '.join(n.name for n in plan.nodes)}")


def cut_pairs(plan: LabPlan, step: steps.CutLinks | steps.BlockPorts | steps.AnswerNames) -> list[nft.PortPair]:
    """The (incoming, outgoing) switch ports of the step's directed links. Refused where two nodes share no network."""
    return list(ports_between(plan, f"{step.kind} {step.tag}", step.links, step.network))


def ports_between(plan: LabPlan, who: str, links: Sequence[steps.Link], network: str | None) -> list[tuple[str, str]]:
    """The (incoming, outgoing) switch ports of directed links. Refused where two nodes share no network."""
    pairs: list[tuple[str, str]] = []
    for link in links:
        sources, destinations = ports_of(plan, link.source), ports_of(plan, link.destination)
        shared = [n for n in sources if n in destinations and network in (None, n)]
        if not shared:
            where = f"the network {network!r}" if network else "any network"
            raise Refused(f"{who}: {link.source} and {link.destination} do not share {where}")
        pairs += [(sources[name], destinations[name]) for name in shared]
    return list(dict.fromkeys(pairs))


def index_of(plan: LabPlan, port: str) -> int:
    """The index of a switch port."""
    names = ((number, at) for number, node in enumerate(plan.nodes) for at in range(len(node.interfaces)))
    return next(rtnl.port_index(number, at) for number, at in names if rtnl.port_name(number, at) == port)


def owner_of(plan: LabPlan, port: str) -> str:
    """The node at the other end of a switch port's cable."""
    return next(node.name for node in plan.nodes if port in ports_of(plan, node.name).values())


def interfaces(plan: LabPlan, name: str, network: str | None) -> list[tuple[int, InterfacePlan]]:
    """(index of the switch port, interface) of a node, on one network or all."""
    ports_of(plan, name)
    number = next(at for at, node in enumerate(plan.nodes) if node.name == name)
    found = [
        (rtnl.port_index(number, at), interface)
        for at, interface in enumerate(plan.nodes[number].interfaces)
        if network in (None, interface.network)
    ]
    if not found:
        raise Refused(f"{name} is not on {f'the network {network!r}' if network else 'any network'}")
    return found


def _block_ports(plan: LabPlan, step: steps.BlockPorts) -> dict[str, Any]:
    tcp, udp = [span.pair for span in step.tcp], [span.pair for span in step.udp]
    drop = nft.block(step.tag, cut_pairs(plan, step), tcp, udp)
    if not step.reject:
        return netfilter(drop)
    ways = answered_ways(plan, step)
    reject = nft.reject(step.tag, [(way["port"], way["mac"]) for way in ways], tcp, udp)
    ports = {"tcp": tcp, "udp": udp}
    return {"act": "reject_ports", "tag": step.tag, "reject": packed(reject), "drop": packed(drop), "ways": ways, **ports}


def answered_ways(plan: LabPlan, step: steps.BlockPorts | steps.AnswerNames) -> list[dict[str, str]]:
    """Where somebody is answered in another's place: the switch port that frames come in by, the hardware address they are
    for, and the port they would leave by."""
    hardware = {
        rtnl.port_name(number, at): interface.mac
        for number, node in enumerate(plan.nodes)
        for at, interface in enumerate(node.interfaces)
    }
    pairs = [(came_in, leaves) for came_in, leaves in cut_pairs(plan, step) if came_in and leaves]
    return [{"port": came_in, "mac": hardware[leaves], "leaves": leaves} for came_in, leaves in pairs]


def _set_link(plan: LabPlan, step: steps.SetLink) -> dict[str, Any]:
    ports = [port for port, _ in interfaces(plan, step.node, step.network)]
    batch = rtnl.batch(*(rtnl.set_port(port, up=step.up) for port in ports))
    # a node that is off has no ports; its next boot makes them anew, with carrier
    tolerate = [errno.ENODEV] if step.up else []
    return {"act": "netlink", "family": netlink.NETLINK_ROUTE, "batch": packed(batch), "tolerate": tolerate}
