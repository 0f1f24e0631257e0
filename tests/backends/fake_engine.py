"""An engine made of dictionaries: what the SDK would answer of some containers."""

from __future__ import annotations

from typing import Any

from chaoskit.backends.docker.engine import Engine


def container(name: str, address: str, number: int = 1, **changes: Any) -> dict[str, Any]:
    """As `docker inspect` has it."""
    labels = {
        "com.docker.compose.project": "shop",
        "com.docker.compose.service": name.rstrip("123"),
        "com.docker.compose.container-number": str(number),
        "team": "web",
    }
    place = {"IPAddress": address, "IPPrefixLen": 24, "MacAddress": f"02:42:c6:13:f0:{number:02x}"}
    made = {
        "Id": f"{name}-{'0' * 60}"[:64],
        "Name": f"/{name}",
        "Config": {"Labels": labels},
        "HostConfig": {"AutoRemove": False},
        "NetworkSettings": {"Networks": {"Shop_net": place}},
        "State": {"Running": True, "Paused": False, "Pid": 4711, "Status": "running"},
    }
    return {**made, **changes}


class Api:
    def __init__(self, *containers: dict[str, Any]) -> None:
        self.all = {one["Id"]: one for one in containers}
        self.done: list[str] = []

    def containers(self, **_: Any) -> list[dict[str, Any]]:
        return [{"Id": c["Id"], "Names": [c["Name"]], "Labels": c["Config"]["Labels"]} for c in self.all.values()]

    def inspect_container(self, container: str) -> dict[str, Any]:
        return self.all[container]

    def inspect_network(self, name: str) -> dict[str, Any]:
        return {
            "Id": "a" * 64,
            "Name": name,
            "Driver": "bridge",
            "Options": {},
            "IPAM": {"Config": [{"Subnet": "198.19.240.0/24"}]},
        }

    def start(self, container: str) -> None:
        self.done.append(f"start {container[:4]}")

    def unpause(self, container: str) -> None:
        self.done.append(f"unpause {container[:4]}")


class Client:
    def __init__(self, api: Api) -> None:
        self.api = api

    def close(self) -> None:
        pass


def fake(*containers: dict[str, Any]) -> Engine:
    return Engine("unix:///run/fake.sock", Client(Api(*containers)))
