"""A lab's links from the inside: batches sent on its switch or in a node, and what a node sees of its carrier.

Runs in the holder's loop. Standard library only.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
from collections.abc import Callable

from chaoskit.backends.linux_host import asking, feeling, transport
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node, stream_socket
from chaoskit.backends.linux_host.wire import Refused, packed, unpacked
from chaoskit.linux import netlink

_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IFF_RUNNING = 0x40


class Links(Department):
    """What a lab can be told and asked about its links."""

    def __init__(self, find: Callable[[str], Node]) -> None:
        self._find = find

    def acts(self) -> dict[str, Handler]:
        return {"netlink": self._send}

    def questions(self) -> dict[str, Handler]:
        return {
            "netfilter": self._rules,
            "carrier": self._carrier,
            "connect": self._connect,
            "reach": self._reach,
            "one_way": self._one_way,
            "link": self._felt,
        }

    async def _send(self, act: Json) -> Json:
        try:
            transport.send_batch(act["family"], unpacked(act["batch"]), tolerate=act.get("tolerate", ()))
        except Refused:
            if "replacing" not in act:
                raise
            transport.send_batch(act["family"], unpacked(act["replacing"]))  # there is one already
        return {}

    async def _rules(self, query: Json) -> Json:
        return {"dump": packed(transport.dump(netlink.NETLINK_NETFILTER, unpacked(query["request"])))}

    async def _carrier(self, query: Json) -> Json:
        return {"value": carrier(self._find(query["node"]), query["devices"])}

    async def _connect(self, query: Json) -> Json:
        return {"value": await connect(self._find(query["node"]), query["address"], query["port"], query["timeout_s"])}

    async def _reach(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "source_off"}
        return {"value": await asking.reach(node.init, query["address"], query["device"], query["timeout_s"])}

    async def _one_way(self, query: Json) -> Json:
        source, destination = self._find(query["node"]), self._find(query["destination"])
        if not source.init:
            return {"value": "source_off"}
        if not destination.init:
            return {"value": "silent"}
        way = (source.init, query["device"]), (destination.init, query["their_device"])
        if query["udp_port"] is None:
            return {"value": await asking.arrives(*way, query["mac"], query["timeout_s"])}
        addresses = query["own_address"], query["address"]
        seen = await asking.datagram_arrives(*way, query["mac"], addresses, query["udp_port"], query["timeout_s"])
        return {"value": seen}

    async def _felt(self, query: Json) -> Json:
        return await feeling.felt(self._find(query["source"]), self._find(query["destination"]), query)


async def connect(node: Node, address: str, port: int, timeout_s: float) -> str:
    """answered | refused | silent | unreachable | source_off: what becomes of a fresh TCP connection from this node."""
    if not node.init:
        return "source_off"
    with stream_socket(node.init) as made:
        try:
            await asyncio.wait_for(asyncio.get_running_loop().sock_connect(made, (address, port)), timeout_s)
        except TimeoutError:
            return "silent"
        except ConnectionRefusedError:
            return "refused"
        except OSError as error:
            if error.errno in (errno.ENETUNREACH, errno.ENETDOWN, errno.EHOSTUNREACH):
                return "unreachable"
            raise
    return "answered"


def carrier(node: Node, devices: list[str]) -> str:
    """up | no_carrier | down | partly | off: what the node's own kernel says of these devices."""
    if not node.init:
        return "off"
    with stream_socket(node.init) as inside:
        seen = {_link_state(inside, device) for device in devices}
    return seen.pop() if len(seen) == 1 else "partly"


def _link_state(inside: socket.socket, device: str) -> str:
    request = struct.pack("16sH14x", device.encode(), 0)
    (flags,) = struct.unpack_from("H", fcntl.ioctl(inside, _SIOCGIFFLAGS, request), 16)
    if not flags & _IFF_UP:
        return "down"
    return "up" if flags & _IFF_RUNNING else "no_carrier"
