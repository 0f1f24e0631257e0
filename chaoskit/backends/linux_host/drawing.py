"""What a lab's plan says of its nodes, in the form in which it travels to the holder; the same for every kind of node. Pure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host.node import SWITCH_FD
from chaoskit.backends.linux_host.wire import LabJson, NodeJson, ServiceJson, packed
from chaoskit.linux import nft, rtnl
from chaoskit.model.check import Check, CommandCheck, HttpCheck
from chaoskit.model.lab import LabPlan, NodePlan, ServicePlan

_SILENCE = "silence-{}"


def drawn_lab(plan: LabPlan, lab_id: str, run_id: str, directory: Path, logs: Path, path: str) -> LabJson:
    """The lab as far as it does not depend on how its nodes are made. `path`: PATH of services."""
    numbers = {network: number for number, network in enumerate(plan.networks)}
    return LabJson(
        lab_id=lab_id,
        run_id=run_id,
        directory=str(directory),
        logs=str(logs),
        switch=packed(rtnl.batch(rtnl.loopback(), *(rtnl.bridge(number) for number in numbers.values()))),
        addresses=plan.addresses(),
        path=path,
        within_s=float(plan.ready.within),
        nodes=[_node(plan, number, node, numbers) for number, node in enumerate(plan.nodes)],
    )


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


def accounts_needed(plan: LabPlan) -> set[str]:
    """The users, beside root, that the lab's files, volumes and services belong to."""
    users = {volume.owner for node in plan.nodes for volume in node.volumes.values()}
    for node in plan.nodes:
        for service in node.services:
            users |= {service.user, *(file.owner for file in service.files)}
    return users - {"root", ""}


def hosts_text(plan: LabPlan) -> str:
    """/etc/hosts of every node: a node's name is its first address, as are its aliases, `<node>-<network>` each further one."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    for node in plan.nodes:
        for number, interface in enumerate(node.interfaces):
            names = f"{node.name} {node.name}-{interface.network}" if number == 0 else f"{node.name}-{interface.network}"
            lines.append(" ".join([interface.address, names, *(node.aliases if number == 0 else ())]))
    return "\n".join(lines) + "\n"


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
        return {"command": list(check.command), "user": check.user, "as_service": check.as_service, **timing}
    return {"tcp": check.tcp, **timing}
