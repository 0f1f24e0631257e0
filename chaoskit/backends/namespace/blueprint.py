"""From a lab's plan to what a holder builds, and from steps and queries to what it carries out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoskit.backends.namespace import link_plans, rewiring, rootfs, shaping
from chaoskit.backends.namespace.image import layer
from chaoskit.backends.namespace.node import SWITCH_FD
from chaoskit.backends.namespace.wire import Blueprint, NodeJson, Refused, ServiceJson, packed
from chaoskit.linux import nft, rtnl
from chaoskit.model import facts, steps
from chaoskit.model.lab import Check, CommandCheck, HttpCheck, LabPlan, NodePlan, ServicePlan

_SILENCE = "silence-{}"


def blueprint(plan: LabPlan, lab_id: str, run_id: str, directory: Path, logs: Path, image: Path | None = None) -> Blueprint:
    """Everything a holder needs, computed from the plan and from where this machine keeps its programs.

    `image`: the file of a package image, whose layers lie over the host's directories.
    """
    mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    programs = rootfs.interpreter_directories()
    trees = rootfs.host_trees(mountinfo, programs)
    numbers = {network: number for number, network in enumerate(plan.networks)}
    return Blueprint(
        lab_id=lab_id,
        run_id=run_id,
        directory=str(directory),
        logs=str(logs),
        switch=packed(rtnl.batch(rtnl.loopback(), *(rtnl.bridge(number) for number in numbers.values()))),
        hosts=hosts_text(plan),
        addresses=plan.addresses(),
        trees=[{"path": tree, "lower": [*([layer(f"{directory}/image", tree)] if image else []), tree]} for tree in trees],
        links=rootfs.root_links(),
        image=str(image or ""),
        path=":".join(dict.fromkeys([*rootfs.SYSTEM_PATH.split(":"), f"{programs[0]}/bin"])),
        users=sorted(_users(plan)),
        within_s=float(plan.ready.within),
        nodes=[_node(plan, number, node, numbers) for number, node in enumerate(plan.nodes)],
    )


def _users(plan: LabPlan) -> set[str]:
    users = {volume.owner for node in plan.nodes for volume in node.volumes.values()}
    for node in plan.nodes:
        for service in node.services:
            users |= {service.user, *(file.owner for file in service.files)}
    return users - {"root"}


def hosts_text(plan: LabPlan) -> str:
    """/etc/hosts of every node: a node's name is its first address, `<node>-<network>` each further one."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for node in plan.nodes:
        for number, interface in enumerate(node.interfaces):
            names = f"{node.name} {node.name}-{interface.network}" if number == 0 else f"{node.name}-{interface.network}"
            lines.append(f"{interface.address} {names}")
    return "\n".join(lines) + "\n"


def _node(plan: LabPlan, number: int, node: NodePlan, networks: dict[str, int]) -> NodeJson:
    inside, plugs, unplugs, ports = [rtnl.loopback()], [], [], []
    for at, interface in enumerate(node.interfaces):
        port = rtnl.port_index(number, at)
        ports.append(rtnl.port_name(number, at))
        inside.append(rtnl.cable(interface.device, at, interface.mac, (ports[-1], port), SWITCH_FD))
        inside.append(rtnl.address(at, interface.address, interface.prefix))
        plugs.append(rtnl.plug(port, networks[interface.network]))
        unplugs.append(packed(rtnl.batch(rtnl.unplug(port))))
    inside += [rtnl.route(route.subnet, route.via) for route in node.routes]
    tag = _SILENCE.format(node.name)
    return NodeJson(
        name=node.name,
        address=node.interfaces[0].address if node.interfaces else "127.0.0.1",
        forwards=node.forwards,
        cables=packed(rtnl.batch(*inside)),
        plug=packed(rtnl.batch(*plugs)),
        unplug=unplugs,
        silence=packed(nft.silence(tag, ports)),
        unsilence=packed(nft.join(tag)),
        volumes=[
            {
                "name": name,
                "size_bytes": int(volume.size),
                "mount": volume.mount or f"/{name}",
                "owner": volume.owner,
                "kind": volume.kind,
            }
            for name, volume in node.volumes.items()
        ],
        services=[_service(service) for service in node.services],
    )


def _service(service: ServicePlan) -> ServiceJson:
    return ServiceJson(
        name=service.name,
        argv=list(service.argv),
        user=service.user,
        env=dict(service.env),
        directory=service.directory,
        files=[{"path": f.path, "content": f.content, "mode": f.mode, "owner": f.owner} for f in service.files],
        needs=list(service.needs),
        ready=_check(service.ready),
        restart=service.restart,
    )


def _check(check: Check | None) -> dict[str, Any] | None:
    if check is None:
        return None
    timing = {"every_s": float(check.every), "timeout_s": float(check.timeout)}
    if isinstance(check, HttpCheck):
        return {"http": check.http, **timing}
    if isinstance(check, CommandCheck):
        return {"command": list(check.command), "user": check.user, **timing}
    return {"tcp": check.tcp, **timing}


# ---- steps and queries


def act(plan: LabPlan, step: steps.Step) -> dict[str, Any]:
    """What the holder does for a step. Refused where the step names what the lab does not have."""
    match step:
        case steps.CutLinks():
            pairs = shaping.cut_pairs(plan, step)
            return shaping.netfilter(nft.first_cut(step.tag, pairs)) | {"replacing": packed(nft.cut(step.tag, pairs))}
        case steps.JoinLinks():
            return link_plans.join(step)
        case steps.ShapeLinks():
            return link_plans.shape(plan, step)
        case steps.SetLink() | steps.BlockPorts():
            return shaping.act(plan, step)
        case (
            steps.AnnounceAddress() | steps.AnswerNames() | steps.FlapLink() | steps.ResetConnections() | steps.SetAddress()
            | steps.SetForwarding()
        ):  # fmt: skip
            return rewiring.act(plan, step)
        case _:
            fields = step.model_dump(mode="json")
            return {"act": fields.pop("kind"), **fields}


def question(plan: LabPlan, query: facts.Query) -> dict[str, Any]:
    """What the holder is asked for a query. Refused where it names what the lab does not have."""
    match query:
        case facts.DroppedQuery():
            return {"kind": "netfilter", "request": packed(nft.rules_of(query.tag))}
        case facts.ReachQuery():
            address, device = _way(plan, query)
            if query.tcp_port is not None:
                place = {"address": address, "port": query.tcp_port, "timeout_s": query.timeout_s}
                return {"kind": "connect", "node": query.source, **place}
            if query.way == "one_way":
                return shaping.one_way(plan, query)
            asked = {"kind": "reach", "node": query.source, "address": address, "device": device}
            return {**asked, "timeout_s": query.timeout_s}
        case facts.CarrierQuery():
            return shaping.question(plan, query)
        case facts.LinkQuery():
            return link_plans.question(plan, query)
        case (
            facts.ConnectionsQuery() | facts.FlapsQuery() | facts.ForwardingQuery() | facts.NameQuery() | facts.NeighbourQuery()
            | facts.OwnersQuery()
        ):  # fmt: skip
            return rewiring.question(plan, query)
        case _:
            return query.model_dump(mode="json")


def _way(plan: LabPlan, query: facts.ReachQuery) -> tuple[str, str | None]:
    """The destination's address, and the source's device on that network (None where it is not on it).

    On the network asked for, else on the first one that both share, else the destination's first address.
    """
    shaping.ports_of(plan, query.source), shaping.ports_of(plan, query.destination)
    devices = {interface.network: interface.device for interface in plan.node(query.source).interfaces}
    interfaces = [i for i in plan.node(query.destination).interfaces if query.network in (None, i.network)]
    if not interfaces:
        raise Refused(f"{query.destination} has no address on {query.network or 'any network'}")
    chosen = next((i for i in interfaces if i.network in devices), interfaces[0])
    return chosen.address, devices.get(chosen.network)
