"""A lab's links from the inside: batches sent on its switch or in a node, and what a node sees of its carrier.

Runs in the holder's loop. Standard library only.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import socket
import struct
from collections.abc import Mapping
from typing import Any

from chaoskit.backends.namespace import transport
from chaoskit.backends.namespace.node import Node, stream_socket
from chaoskit.backends.namespace.wire import unpacked

_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IFF_RUNNING = 0x40

QUESTIONS = ("carrier", "connect")


async def send(act: Mapping[str, Any]) -> dict[str, Any]:
    """Send a ready-made batch on the switch."""
    transport.send_batch(act["family"], unpacked(act["batch"]), tolerate=act.get("tolerate", ()))
    return {}


async def ask(node: Node, query: Mapping[str, Any]) -> dict[str, Any]:
    """Answer one of QUESTIONS; fields of a Reading."""
    if query["kind"] == "connect":
        return {"value": await connect(node, query["address"], query["port"], query["timeout_s"])}
    return {"value": carrier(node, query["devices"])}


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
