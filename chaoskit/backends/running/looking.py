"""What the cables of containers are: `python -m chaoskit.backends.running.looking ENGINE_PID PID ...` prints it as JSON.

A process of its own, because it enters their network namespaces.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any, TypedDict

from chaoskit.backends.linux_host import syscalls, transport
from chaoskit.backends.linux_host.identity import own_environment
from chaoskit.linux import message_classes, netlink, rtnl
from chaoskit.model.errors import LabUnavailable

_RTM_GETLINK = 18
_WITHIN_S = 20.0


class Cable(TypedDict):
    """One interface of a container."""

    device: str
    mac: str
    port: str
    """The other end, on a bridge of the engine's; empty where there is none."""
    port_index: int
    bridge: str


def cables(engine_pid: int, pids: list[int]) -> dict[int, list[Cable]]:
    """Process -> the interfaces of its network. LabUnavailable."""
    command = [sys.executable, "-m", "chaoskit.backends.running.looking", str(engine_pid), *map(str, pids)]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_WITHIN_S, env=own_environment(), cwd="/"
        )
    except subprocess.TimeoutExpired:
        raise LabUnavailable(f"looking at the containers' interfaces did not end within {_WITHIN_S:g} s") from None
    if done.returncode != 0:
        raise LabUnavailable("the containers' interfaces cannot be seen", done.stderr[-2000:])
    return {int(pid): found for pid, found in json.loads(done.stdout).items()}


def links_here() -> dict[int, dict[str, Any]]:
    """Index -> name, hardware address, peer's index and master's index, of the devices in this network."""
    message = message_classes.link()
    message["header"]["type"] = _RTM_GETLINK
    message["header"]["flags"] = netlink.NLM_F_REQUEST | netlink.NLM_F_DUMP
    message["header"]["sequence_number"] = 1
    message.encode()
    found = {}
    for reply in netlink.messages(transport.dump(netlink.NETLINK_ROUTE, bytes(message.data))):
        if reply.type != rtnl.RTM_NEWLINK:
            continue
        link: Any = message_classes.link(reply.raw)
        link.decode()
        found[int(link["index"])] = {
            "name": link.get_attr("IFLA_IFNAME"),
            "mac": link.get_attr("IFLA_ADDRESS") or "",
            "peer": link.get_attr("IFLA_LINK") or 0,
            "master": link.get_attr("IFLA_MASTER") or 0,
        }
    return found


def _main(engine_pid: str, pids: list[str]) -> None:
    def enter(pid: str) -> dict[int, dict[str, Any]]:
        fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
        syscalls.setns(fd, syscalls.CLONE_NEWNET)
        os.close(fd)
        return links_here()

    outside = enter(engine_pid)
    found: dict[str, list[Cable]] = {}
    for pid in pids:
        seen = [link for link in enter(pid).values() if link["name"] != "lo"]
        found[pid] = [_cable(link, outside) for link in seen]
    print(json.dumps(found))


def _cable(link: dict[str, Any], outside: dict[int, dict[str, Any]]) -> Cable:
    other = outside.get(link["peer"])
    on_bridge = other is not None and other["master"] in outside
    return Cable(
        device=link["name"],
        mac=link["mac"],
        port=other["name"] if on_bridge and other is not None else "",
        port_index=link["peer"] if on_bridge else 0,
        bridge=outside[other["master"]]["name"] if on_bridge and other is not None else "",
    )


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
