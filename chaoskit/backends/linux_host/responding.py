"""Answers given in a node's place on the lab's switch, while nftables drops what they answer: refusals, and DNS.

One packet socket sees the whole switch, and a filter in the kernel lets through only what is to be answered, so that a node's
reboot, which makes its port anew, changes nothing. Standard library only.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import os
import socket
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

from chaoskit.backends.linux_host import transport
from chaoskit.backends.linux_host.activities import Activities, Activity
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node, network_of
from chaoskit.backends.linux_host.wire import Refused, unpacked
from chaoskit.linux import dns, netlink, replies

_ETH_P_ALL = 0x0003
_SO_ATTACH_FILTER = 26
_HEADERS_BYTES, _WHOLE_BYTES = 256, 65535
_AT_ONCE = 200
_PIECE_BYTES = 1400
_RCODES = {"servfail": dns.SERVFAIL, "nxdomain": dns.NXDOMAIN}

Answer = Callable[[replies.Packet, Json], Sequence[tuple[str, bytes]]]
"""(packet, way it came) -> frames to send, each with the port it leaves by."""


class Responding(Department):
    """What can be told and asked about answers in another's place."""

    def __init__(self, find: Callable[[str], Node], activities: Activities) -> None:
        self._find, self._activities = find, activities

    def acts(self) -> dict[str, Handler]:
        return {"reject_ports": self._reject, "answer_names": self._answer_names}

    def questions(self) -> dict[str, Handler]:
        return {"name": self._name}

    async def _reject(self, act: Json) -> Json:
        try:
            transport.send_batch(netlink.NETLINK_NETFILTER, unpacked(act["reject"]))
        except Refused as refusal:
            self._begin(act, _HEADERS_BYTES, _refused)
            return {"output": f"refused by the lab itself, because nftables cannot here: {refusal}"}
        return {"output": "refused by nftables"}

    async def _answer_names(self, act: Json) -> Json:
        if act["response"] == "none" and not act["names"]:
            transport.send_batch(netlink.NETLINK_NETFILTER, unpacked(act["drop"]))
            return {}
        self._begin(act, _WHOLE_BYTES, Names(act).answers)
        return {}

    def _begin(self, act: Json, snap_bytes: int, answer: Answer) -> None:
        """Answer first, then drop: nothing is lost in between without a word."""
        listener = filtered_socket(replies.port_filter(act["tcp"], act["udp"], snap_bytes))
        ways = {(way["port"], way["mac"]): way for way in act["ways"]}

        async def respond(activity: Activity) -> None:
            loop = asyncio.get_running_loop()
            try:
                loop.add_reader(listener, lambda: _answered(listener, ways, answer, activity))
                await asyncio.Event().wait()
            finally:
                loop.remove_reader(listener)
                listener.close()

        try:
            self._activities.begin(act["tag"], "", respond)
        except Refused:
            listener.close()
            raise
        transport.send_batch(netlink.NETLINK_NETFILTER, unpacked(act["drop"]))

    async def _name(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "source_off"}
        number = int.from_bytes(os.urandom(2), "big")
        question = dns.query(number, query["name"], query["record"])
        try:
            answer = await asyncio.wait_for(_looked_up(node, query, question), query["timeout_s"])
        except TimeoutError:
            return {"value": "timeout"}
        except ConnectionError:
            return {"value": "refused"}
        except OSError as error:
            return {"value": f"unreachable: {error.strerror}"}
        return {"value": dns.outcome(answer), "data": base64.b64encode(answer).decode()}


def filtered_socket(program: Sequence[tuple[int, int, int, int]]) -> socket.socket:
    """A packet socket on every port of the switch that sees only what the program lets through."""
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    kept = ctypes.create_string_buffer(code, len(code))
    every = socket.htons(_ETH_P_ALL)
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, every)
    try:
        made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HxxxxxxP", len(program), ctypes.addressof(kept)))
        with contextlib.suppress(BlockingIOError):
            while made.recv(1):  # what came before there was a filter
                pass
    except OSError:
        made.close()
        raise
    return made


def _answered(listener: socket.socket, ways: dict[tuple[str, str], Json], answer: Answer, activity: Activity) -> None:
    for _ in range(_AT_ONCE):
        try:
            frame, (port, *_) = listener.recvfrom(_WHOLE_BYTES)
        except (BlockingIOError, OSError):
            return  # nothing more, or a port went down
        packet = replies.parsed(frame)
        way = ways.get((port, packet.destination_mac)) if packet is not None else None
        if packet is None or way is None:
            continue
        for leaves, made in answer(packet, way):
            with contextlib.suppress(OSError):  # a port that has just gone takes nothing
                listener.sendto(made, (leaves, 0))
            activity.acts += 1


def _refused(packet: replies.Packet, way: Json) -> list[tuple[str, bytes]]:
    made = replies.refusal(packet)
    return [(way["port"], made)] if made is not None else []


class Names:
    """Answers DNS queries one by one and keeps nothing between them, over TCP as well."""

    def __init__(self, act: Json) -> None:
        self._response: str = act["response"]
        self._names: list[str] = act["names"]
        self._answers = {key: base64.b64decode(text) for key, text in act["answers"].items()}

    def answers(self, packet: replies.Packet, way: Json) -> list[tuple[str, bytes]]:
        if packet.protocol == replies.TCP:
            return [(way["port"], made) for made in self._over_tcp(packet)]
        answer = self._answer(packet.payload)
        if answer is not None:
            return [(way["port"], replies.datagram(packet, answer))] if answer else []
        return [(way["leaves"], replies.mended(packet))]

    def _answer(self, message: bytes) -> bytes | None:
        """Empty: none is given; None: it is for the server itself."""
        question = dns.asked(message)
        if question is None or (self._names and not dns.is_within(question[0], self._names)):
            return None
        if self._response in _RCODES:
            return dns.failure(message, _RCODES[self._response])
        if self._response == "none":
            return b""
        recorded = self._answers.get(f"{question[0]} {question[1]}")
        return dns.renumbered(recorded, message) if recorded is not None else None

    def _over_tcp(self, packet: replies.Packet) -> list[bytes]:
        """The other end of a connection that lasts for one query. What its state would say is in the segments themselves."""
        first = zlib.crc32(b"".join(packet.addresses) + struct.pack("!H", packet.source_port))
        if packet.flags & replies.RST:
            return []
        if packet.flags & replies.SYN:
            flags = replies.SYN | replies.ACK
            return [replies.segment(packet, flags, sequence=first, acknowledged=replies.after(packet))]
        if (packet.acknowledged - first - 1) & 0xFFFFFFFF > _WHOLE_BYTES + 3:
            refusal = replies.refusal(packet)  # a connection from before
            return [refusal] if refusal is not None else []
        payload = packet.payload
        if len(payload) > 2:
            prefixed = int.from_bytes(payload[:2], "big") == len(payload) - 2
            answer = self._answer(payload[2:] if prefixed else payload)
            if not answer:
                refusal = replies.refusal(packet)
                return [refusal] if refusal is not None else []
            return list(_pieces(packet, struct.pack("!H", len(answer)) + answer))
        if payload or packet.flags & replies.FIN:
            return [replies.segment(packet, replies.ACK, sequence=packet.acknowledged, acknowledged=replies.after(packet))]
        return []


def _pieces(packet: replies.Packet, data: bytes) -> list[bytes]:
    """The whole answer, and the end of the connection with its last piece."""
    made = []
    for at in range(0, len(data), _PIECE_BYTES):
        last = at + _PIECE_BYTES >= len(data)
        flags = replies.PSH | replies.ACK | (replies.FIN if last else 0)
        place: dict[str, Any] = {"sequence": packet.acknowledged + at, "acknowledged": replies.after(packet)}
        made.append(replies.segment(packet, flags, **place, payload=data[at : at + _PIECE_BYTES]))
    return made


async def _looked_up(node: Node, query: Json, question: bytes) -> bytes:
    """The answer to a query sent from a node. OSError where it cannot be had; waits for ever where there is none."""
    loop = asyncio.get_running_loop()
    kind = socket.SOCK_STREAM if query["transport"] == "tcp" else socket.SOCK_DGRAM
    with network_of(node.init):
        asking = socket.socket(socket.AF_INET, kind | socket.SOCK_NONBLOCK)
    with asking:
        await loop.sock_connect(asking, (query["address"], query["port"]))
        if query["transport"] == "udp":
            await loop.sock_sendall(asking, question)
            while (answer := await loop.sock_recv(asking, _WHOLE_BYTES))[:2] != question[:2]:
                pass
            return answer
        await loop.sock_sendall(asking, struct.pack("!H", len(question)) + question)
        data = b""
        while len(data) < 2 or len(data) < 2 + int.from_bytes(data[:2], "big"):
            part = await loop.sock_recv(asking, _WHOLE_BYTES)
            if not part:
                raise ConnectionResetError("the server closed the connection before it answered")
            data += part
        return data[2:]
