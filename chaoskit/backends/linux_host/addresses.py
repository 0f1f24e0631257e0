"""Who owns an address, who is told so, and whether a node forwards. Standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path

from chaoskit.backends.linux_host import transport
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node, network_of, packet_socket
from chaoskit.backends.linux_host.wire import Refused, unpacked
from chaoskit.linux import netlink

_ETH_P_ARP = 0x0806
_ANNOUNCED, _BETWEEN_S = 3, 0.02
_ASK_AGAIN_S = 0.1
_REQUEST, _REPLY = 1, 2


class Addresses(Department):
    """What can be told and asked about a node's addresses and its forwarding."""

    def __init__(self, find: Callable[[str], Node]) -> None:
        self._find = find

    def acts(self) -> dict[str, Handler]:
        return {"set_address": self._set, "announce_address": self._announce, "set_forwarding": self._forward}

    def questions(self) -> dict[str, Handler]:
        return {"owners": self._owners, "neighbour": self._neighbour, "forwarding": self._forwarding}

    async def _set(self, act: Json) -> Json:
        node = self._find(act["node"])
        if not node.init:
            if not act["present"]:
                return {"output": "it is off, and has no address"}
            raise Refused(f"{node.name} is off")
        with network_of(node.init):
            transport.send_batch(netlink.NETLINK_ROUTE, unpacked(act["batch"]), tolerate=act["tolerate"])
        if act["announce"]:
            await announce(node, **act["announce"])
        return {}

    async def _announce(self, act: Json) -> Json:
        told = []
        for holder in act["holders"]:
            node = self._find(holder["node"])
            if node.init and _holds(node, act["address"]):
                await announce(node, act["address"], holder["device"], holder["mac"])
                told.append(node.name)
        return {"output": f"by {', '.join(told)}" if told else "nobody holds it"}

    async def _owners(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "source_off"}
        return {"owners": await owners(node, query["address"], query["device"], query["timeout_s"])}

    async def _neighbour(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "off"}
        text = Path(f"/proc/{node.init}/net/arp").read_text(encoding="ascii")
        rows = [line.split() for line in text.splitlines()[1:]]
        known = [row[3] for row in rows if row[0] == query["address"] and row[5] == query["device"] and int(row[2], 16) & 2]
        return {"owners": known} if known else {"value": "unknown"}

    async def _forward(self, act: Json) -> Json:
        node = self._find(act["node"])
        if not node.init:
            return {"output": "it is off"}
        with network_of(node.init):
            for device in act["devices"]:
                Path(f"/proc/sys/net/ipv4/conf/{device}/forwarding").write_text("1" if act["on"] else "0", encoding="ascii")
        return {}

    async def _forwarding(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "node_off"}
        with network_of(node.init):
            places = [Path(f"/proc/sys/net/ipv4/conf/{device}/forwarding") for device in query["devices"]]
            seen = {place.read_text(encoding="ascii").strip() for place in places}
        return {"value": "partly" if len(seen) > 1 else "on" if seen == {"1"} else "off"}


def _holds(node: Node, address: str) -> bool:
    """Only who has an address can bind to it."""
    with network_of(node.init), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError as error:
            if error.errno == errno.EADDRNOTAVAIL:
                return False
            raise
    return True


async def announce(node: Node, address: str, device: str, mac: str) -> None:
    """Gratuitous ARP, as request and as reply: neighbours differ in which of them they believe."""
    own, raw = bytes.fromhex(mac.replace(":", "")), socket.inet_aton(address)
    with packet_socket(node.init, device, _ETH_P_ARP) as teller:
        for number in range(_ANNOUNCED):
            if number:
                await asyncio.sleep(_BETWEEN_S)
            for operation, target in ((_REQUEST, bytes(6)), (_REPLY, own)):
                with contextlib.suppress(BlockingIOError):
                    teller.send(_arp(b"\xff" * 6, own, operation, (own, raw), (target, raw)))


async def owners(node: Node, address: str, device: str, timeout_s: float) -> list[str]:
    """Every hardware address that answers for it. Asked with a made-up one, so that no kernel learns anything."""
    own, asked = b"\x02\xc6" + os.urandom(4), socket.inet_aton(address)
    question = _arp(b"\xff" * 6, own, _REQUEST, (own, bytes(4)), (bytes(6), asked))
    loop = asyncio.get_running_loop()
    end, found = loop.time() + timeout_s, dict[str, None]()
    with packet_socket(node.init, device, _ETH_P_ARP) as probe:
        while (left := end - loop.time()) > 0:
            with contextlib.suppress(BlockingIOError):
                probe.send(question)
            again = loop.time() + min(left, _ASK_AGAIN_S)
            while (wait := again - loop.time()) > 0:
                try:
                    got = await asyncio.wait_for(loop.sock_recv(probe, 2048), wait)
                except TimeoutError:
                    break
                if got[:6] == own and got[20:22] == b"\x00\x02" and got[28:32] == asked:
                    found[got[22:28].hex(":")] = None
    return list(found)


def _arp(to: bytes, own: bytes, operation: int, sender: tuple[bytes, bytes], target: tuple[bytes, bytes]) -> bytes:
    head = to + own + struct.pack("!HHHBBH", _ETH_P_ARP, 1, 0x0800, 6, 4, operation)
    return (head + sender[0] + sender[1] + target[0] + target[1]).ljust(60, b"\0")
