"""From steps and questions about flapping links, connections, addresses, routers and names to what the holder does. Pure."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

from chaoskit.backends.linux_host import shaping
from chaoskit.backends.linux_host.wire import Refused, packed
from chaoskit.linux import inet_diag, netlink, nft, rtnl
from chaoskit.model import capability as names
from chaoskit.model import facts, steps
from chaoskit.model.lab import InterfacePlan, LabPlan

RewiringStep = (
    steps.AnnounceAddress | steps.AnswerNames | steps.FlapLink | steps.ResetConnections | steps.SetAddress | steps.SetForwarding
)
RewiringQuery = (
    facts.ConnectionsQuery | facts.FlapsQuery | facts.ForwardingQuery | facts.NameQuery | facts.NeighbourQuery | facts.OwnersQuery
)
DNS_PORT = 53


def act(plan: LabPlan, step: RewiringStep) -> dict[str, Any]:
    """What the holder does for a step. Refused where the step names what the lab does not have."""
    match step:
        case steps.FlapLink():
            return _flap(plan, step)
        case steps.ResetConnections():
            fields = step.model_dump(mode="json", include={"tag", "node", "ports", "every_s"})
            return {"act": step.kind, **fields, "addresses": _addresses(plan, step.peers)}
        case steps.SetAddress():
            return _set_address(plan, step)
        case steps.AnnounceAddress():
            found = [(node, _interface(plan, node, step.network)) for node in step.nodes]
            holders = [{"node": node, "device": interface.device, "mac": interface.mac} for node, interface in found]
            return {"act": step.kind, "address": step.address, "holders": holders}
        case steps.SetForwarding():
            return {"act": step.kind, "node": step.node, "devices": _devices(plan, step.node, step.network), "on": step.on}
        case steps.AnswerNames():
            return _answer_names(plan, step)


def question(plan: LabPlan, query: RewiringQuery) -> dict[str, Any]:
    """What the holder is asked for a query. Refused where it names what the lab does not have."""
    asked = query.model_dump(mode="json")
    match query:
        case facts.ConnectionsQuery():
            return {**asked, "addresses": _addresses(plan, query.peers)}
        case facts.FlapsQuery():
            if query.peer is not None:
                heard = facts.ReachQuery(source=query.node, destination=query.peer, network=query.network)
                device, there = shaping.meeting(plan, heard)
                return {**asked, "device": device, "address": there.address}
            return {**asked, "devices": _devices(plan, query.node, query.network)}
        case facts.ForwardingQuery():
            return {**asked, "devices": _devices(plan, query.node, query.network)}
        case facts.NameQuery():
            return {**asked, "address": _server_address(plan, query), "port": DNS_PORT}
        case facts.OwnersQuery() | facts.NeighbourQuery():
            return {**asked, "device": _interface(plan, query.node, query.network).device}


def trials() -> dict[str, dict[str, Any]]:
    """Capability -> an act that shows, in a scratch network, whether this kernel can do it."""
    return {
        names.NETWORK_RESET: {
            "family": inet_diag.NETLINK_SOCK_DIAG,
            "batch": packed(inet_diag.nothing_to_destroy()),
            "tolerate": [errno.ENOENT],
        },
    }


def owners_reading(plan: LabPlan, answer: dict[str, Any]) -> facts.Reading:
    """Hardware addresses as the nodes that have them, in the lab's order; a foreign one as it is."""
    known = {interface.mac: node.name for node in plan.nodes for interface in node.interfaces}
    order = [node.name for node in plan.nodes]
    found = {known.get(mac, mac) for mac in answer["owners"]}
    of_the_lab = sorted(found & set(order), key=order.index)
    value = " ".join([*of_the_lab, *sorted(found - set(order))])
    return facts.Reading(value=value, number=len(found), at_ns=answer["at_ns"])


def _interface(plan: LabPlan, name: str, network: str) -> InterfacePlan:
    shaping.ports_of(plan, name)
    for interface in plan.node(name).interfaces:
        if interface.network == network:
            return interface
    raise Refused(f"{name} is not on the network {network!r}")


def _devices(plan: LabPlan, name: str, network: str | None) -> list[str]:
    return [interface.device for _, interface in shaping.interfaces(plan, name, network)]


def _addresses(plan: LabPlan, nodes: Sequence[str]) -> list[str]:
    return [interface.address for name in nodes for _, interface in shaping.interfaces(plan, name, None)]


def _server_address(plan: LabPlan, query: facts.NameQuery) -> str:
    mine = shaping.ports_of(plan, query.node)
    there = [interface for _, interface in shaping.interfaces(plan, query.server, query.network)]
    return next((i for i in there if i.network in mine), there[0]).address


def _flap(plan: LabPlan, step: steps.FlapLink) -> dict[str, Any]:
    timing = {"period_s": step.period_s, "down_s": step.period_s * step.down_share}
    common = {"act": step.kind, "tag": step.tag, "node": step.node, **timing}
    ports = [port for port, _ in shaping.interfaces(plan, step.node, step.network)]
    if step.silent:
        ways_out = [name for network, name in shaping.ports_of(plan, step.node).items() if step.network in (None, network)]
        ways = {"down": packed(nft.silence(step.tag, ways_out)), "up": packed(nft.join(step.tag))}
        return {**common, "family": netlink.NETLINK_NETFILTER, "tolerate": [errno.ENOENT], **ways}
    ways = {way: packed(rtnl.batch(*(rtnl.set_port(port, up=way == "up") for port in ports))) for way in ("down", "up")}
    # a node that is off has no ports
    return {**common, "family": netlink.NETLINK_ROUTE, "tolerate": [errno.ENODEV], **ways}


def _set_address(plan: LabPlan, step: steps.SetAddress) -> dict[str, Any]:
    interface = _interface(plan, step.node, step.network)
    number = plan.node(step.node).interfaces.index(interface)
    change = rtnl.address if step.present else rtnl.no_address
    tolerate = [errno.EEXIST if step.present else errno.EADDRNOTAVAIL]
    told = {"address": step.address, "device": interface.device, "mac": interface.mac}
    return {
        "act": step.kind,
        "node": step.node,
        "present": step.present,
        "batch": packed(rtnl.batch(change(number, step.address, step.prefix))),
        "tolerate": tolerate,
        "announce": told if step.present and step.announce else None,
    }


def _answer_names(plan: LabPlan, step: steps.AnswerNames) -> dict[str, Any]:
    dns = [(DNS_PORT, DNS_PORT)]
    tcp = [] if step.names else dns
    drop = nft.block(step.tag, shaping.cut_pairs(plan, step), tcp, dns)
    answering = {"response": step.response, "names": list(step.names), "answers": step.answers}
    ways = {"ways": shaping.answered_ways(plan, step), "tcp": tcp, "udp": dns}
    return {"act": step.kind, "tag": step.tag, "drop": packed(drop), **answering, **ways}
