"""Small lab plans for the live tests, made without the loader."""

from __future__ import annotations

import ipaddress
import sys
from pathlib import Path
from typing import Any, Literal

from chaoskit.model.check import HttpCheck, TcpCheck
from chaoskit.model.drain import DrainPlan
from chaoskit.model.lab import (
    FilePlan,
    ImageSpec,
    InterfacePlan,
    LabPlan,
    NodePlan,
    ReadySpec,
    ServicePlan,
    VolumeSpec,
)
from chaoskit.model.units import Duration, Size

SUBNETS = {"lan": "198.18.0.0/24", "san": "198.18.1.0/24"}


def service(name: str, *argv: str, **changes: Any) -> ServicePlan:
    fields: dict[str, Any] = {
        "name": name,
        "argv": argv,
        "user": "root",
        "env": {},
        "directory": "/",
        "files": (),
        "needs": (),
        "ready": None,
        "restart": "on-boot",
    }
    return ServicePlan(**{**fields, **changes})


def sleeper(name: str = "sleeper", **changes: Any) -> ServicePlan:
    return service(name, "sleep", "1000", **changes)


def web(**changes: Any) -> ServicePlan:
    argv = (sys.executable, "-m", "http.server", "8000", "--bind", "0.0.0.0")
    ready = HttpCheck(http="http://127.0.0.1:8000/")
    return service("web", *argv, **{"user": "nobody", "directory": "/tmp", "ready": ready, **changes})


def names(zone: str = "db.example 198.18.0.77\n", **changes: Any) -> ServicePlan:
    """A DNS server on port 53; its zone is a file in the node that a test may change."""
    program = Path(__file__).with_name("names.py").read_text(encoding="utf-8")
    files = (
        FilePlan(path="/srv/names.py", content=program, mode=0o644, owner="root"),
        FilePlan(path="/srv/zone", content=zone, mode=0o644, owner="root"),
    )
    argv = (sys.executable, "/srv/names.py", "/srv/zone")
    return service("names", *argv, **{"files": files, "ready": TcpCheck(tcp=53), **changes})


def node(name: str, number: int, networks: tuple[str, ...] = ("lan",), **changes: Any) -> NodePlan:
    interfaces = tuple(
        InterfacePlan(
            device=f"eth{at}",
            network=network,
            address=str(ipaddress.ip_network(SUBNETS[network])[number + 1]),
            prefix=24,
            mac=f"02:c5:c6:12:{at:02x}:{number + 1:02x}",
        )
        for at, network in enumerate(networks)
    )
    return NodePlan(**{"name": name, "group": "n", "interfaces": interfaces, "volumes": {}, "services": (), **changes})


def plan(*nodes: NodePlan, within_s: float = 20.0) -> LabPlan:
    networks = {
        network: SUBNETS[network] for network in SUBNETS if any(i.network == network for n in nodes for i in n.interfaces)
    }
    return LabPlan(
        name="scratch",
        nodes=nodes,
        networks=networks,
        roles={},
        ready=ReadySpec(within=Duration(within_s)),
        image=ImageSpec(),
        clients=(),
    )


def drain(*on: str) -> DrainPlan:
    """A node is drained while a file is there."""
    mark = "/run/drained"
    return DrainPlan(on=on, do=("touch", mark), undo=("rm", "-f", mark), shown=("test", "-e", mark))


def bare(count: int) -> LabPlan:
    return plan(*(node(f"n{number}", number) for number in range(count)))


def volume(owner: str = "root", kind: Literal["ext4-loop", "programmable"] = "ext4-loop") -> dict[str, VolumeSpec]:
    return {"data": VolumeSpec(size=Size(32 << 20), owner=owner, kind=kind)}
