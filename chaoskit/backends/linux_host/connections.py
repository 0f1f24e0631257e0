"""Established TCP connections of nodes: listed, and reset. Standard library only."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

from chaoskit.backends.linux_host import transport
from chaoskit.backends.linux_host.activities import Activities, Activity
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node, network_of
from chaoskit.linux import inet_diag

_A_BATCH = 500


class Connections(Department):
    """What can be told and asked about the connections of a node."""

    def __init__(self, find: Callable[[str], Node], activities: Activities) -> None:
        self._find, self._activities = find, activities

    def acts(self) -> dict[str, Handler]:
        return {"reset_connections": self._reset}

    def questions(self) -> dict[str, Handler]:
        return {"connections": self._asked}

    async def _reset(self, act: Json) -> Json:
        node = self._find(act["node"])
        count = reset(node, act["ports"], act["addresses"])
        if act["every_s"] is not None:

            async def again(activity: Activity) -> None:
                activity.acts = count
                while True:
                    await asyncio.sleep(act["every_s"])
                    activity.acts += reset(node, act["ports"], act["addresses"])

            self._activities.begin(act["tag"], node.name, again)
        return {"output": f"{count} connections"}

    async def _asked(self, query: Json) -> Json:
        node = self._find(query["node"])
        found = [c for c in established(node) if c.touches(query["ports"], query["addresses"])]
        shown = [{"local": _end(c.local), "remote": _end(c.remote), "inode": c.inode} for c in found]
        if query["of"] is not None:
            shown = [connection for connection in shown if connection in query["of"]]
        return {"connections": shown, "number": float(len(shown)), "value": "some" if shown else "none"}


def established(node: Node) -> list[inet_diag.Established]:
    """None where the node is off."""
    if not node.init:
        return []
    with network_of(node.init):
        replies = [transport.dump(inet_diag.NETLINK_SOCK_DIAG, inet_diag.listing(f)) for f in (socket.AF_INET, socket.AF_INET6)]
    return [connection for reply in replies for connection in inet_diag.listed(reply)]


def reset(node: Node, ports: list[int], addresses: list[str]) -> int:
    """How many were reset."""
    found = [connection for connection in established(node) if connection.touches(ports, addresses)]
    for first in range(0, len(found), _A_BATCH):
        with network_of(node.init):
            batch = inet_diag.destruction(found[first : first + _A_BATCH])
            transport.send_batch(inet_diag.NETLINK_SOCK_DIAG, batch, tolerate=(errno.ENOENT,))
    return len(found)


def _end(end: tuple[str, int]) -> str:
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"
