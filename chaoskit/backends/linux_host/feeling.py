"""How good a link is, felt: numbered and timed frames go one way over the switch, and what arrives is looked at.

Both ends are packet sockets of the holder's in the two nodes' networks, so they share one clock, the kernel stamps arrivals,
and no process of either node can notice or disturb them. Standard library only.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from chaoskit.backends.linux_host.department import Json
from chaoskit.backends.linux_host.node import Node, packet_socket, widen

_ETHERTYPE = 0x88B5
"""IEEE 802: for local experiments."""
_HEADER = struct.Struct("!8sIQ")  # token, number, wall clock when sent
_CHECK_BYTES = 4
_ETHERNET_BYTES = 14
_SMALLEST_BYTES = 46
_LARGEST_BYTES = 1500
_SO_TIMESTAMPNS = 35
_BUFFER_BYTES = 8 << 20
_BETWEEN_TIMED_S = 0.002
_AT_ONCE, _BETWEEN_S = 25, 0.001
_ALL_AT_ONCE = 500
_LATE_S = 0.1
_RATE_FRAMES, _RATE_SECONDS = 20, 0.4
_SIZE_REPEATS = 5


@dataclass(frozen=True)
class Arrival:
    """One probe frame as it arrived."""

    number: int
    """-1: it is not what was sent."""
    sent_ns: int
    arrived_ns: int
    size_bytes: int
    """Of the network packet in it."""


@dataclass(frozen=True)
class _Train:
    """What is sent: sizes of the packets in order, so many at once, and the pause after them."""

    sizes: Sequence[int]
    at_once: int
    pause_s: float


async def felt(source: Node, destination: Node, query: Json) -> Json:
    """A reading's number, in the unit of the query's aspect; or only a value where one of the nodes is off."""
    for node, value in ((source, "source_off"), (destination, "destination_off")):
        if not node.init:
            return {"value": value}
    token = os.urandom(8)
    arrivals: list[Arrival] = []
    loop = asyncio.get_running_loop()
    train = _train(query)
    addresses = bytes.fromhex((query["destination_mac"] + query["source_mac"]).replace(":", ""))
    ear = packet_socket(destination.init, query["destination_device"], _ETHERTYPE)
    with ear, packet_socket(source.init, query["source_device"], 0) as mouth:
        widen(ear, _BUFFER_BYTES)
        ear.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        loop.add_reader(ear, _listen, ear, token, addresses[6:], arrivals)
        try:
            for begin in range(0, len(train.sizes), train.at_once):
                numbers = range(begin, min(begin + train.at_once, len(train.sizes)))
                for frame in [_frame(addresses, token, number, train.sizes[number]) for number in numbers]:
                    await _sent(mouth, frame)
                await asyncio.sleep(train.pause_s)
            await _waited(arrivals, len(train.sizes), query["delay_s"] + _LATE_S)
        finally:
            loop.remove_reader(ear)
    return {"felt": figure(query["aspect"], len(train.sizes), arrivals), "sent": len(train.sizes)}


def _frame(addresses: bytes, token: bytes, number: int, size_bytes: int) -> bytes:
    body = _HEADER.pack(token, number, time.time_ns()) + bytes(size_bytes - _HEADER.size - _CHECK_BYTES)
    return addresses + _ETHERTYPE.to_bytes(2, "big") + body + zlib.crc32(body).to_bytes(_CHECK_BYTES, "big")


async def _sent(mouth: socket.socket, frame: bytes) -> None:
    while True:
        try:
            mouth.send(frame)
            return
        except BlockingIOError:
            await asyncio.sleep(_BETWEEN_S)


async def _waited(arrivals: list[Arrival], wanted: int, within_s: float) -> None:
    """Until as many arrived as were sent, or none has for so long."""
    deadline = time.monotonic() + within_s
    seen = len(arrivals)
    while len(arrivals) < wanted and time.monotonic() < deadline:
        await asyncio.sleep(0.002)
        if len(arrivals) > seen:
            seen, deadline = len(arrivals), time.monotonic() + within_s


def _train(query: Json) -> _Train:
    match query["aspect"]:
        case "delay":
            return _Train([_SMALLEST_BYTES] * query["probes"], 1, _BETWEEN_TIMED_S)
        case "rate":
            per_frame = query["expected"] * _RATE_SECONDS / 8 / _RATE_FRAMES
            size = int(min(_LARGEST_BYTES, max(_SMALLEST_BYTES, per_frame)))
            count = int(min(query["probes"], max(_RATE_FRAMES, query["expected"] * _RATE_SECONDS / 8 / size)))
            return _Train([size] * count, _ALL_AT_ONCE, 0.0)
        case "size":
            wanted = int(query["expected"])
            sizes = sorted({_SMALLEST_BYTES, wanted, wanted + 1, _LARGEST_BYTES})
            return _Train([size for size in sizes for _ in range(_SIZE_REPEATS)], _AT_ONCE, _BETWEEN_S)
        case "corrupt":  # long ones, so that hardly a wrong bit falls into a header and its frame out of the count
            return _Train([_LARGEST_BYTES] * query["probes"], _AT_ONCE, _BETWEEN_S)
        case _:
            return _Train([_SMALLEST_BYTES] * query["probes"], _AT_ONCE, _BETWEEN_S)


def _listen(ear: socket.socket, token: bytes, source_mac: bytes, arrivals: list[Arrival]) -> None:
    while True:
        try:
            frame, ancillary, _, _ = ear.recvmsg(2048, socket.CMSG_SPACE(16))
        except BlockingIOError:
            return
        if frame[6:12] != source_mac or len(frame) < _ETHERNET_BYTES + _SMALLEST_BYTES:
            continue
        arrived_ns = time.time_ns()
        for _, kind, value in ancillary:
            if kind == _SO_TIMESTAMPNS:
                seconds, nanoseconds = struct.unpack("=qq", value)
                arrived_ns = seconds * 1_000_000_000 + nanoseconds
        body, check = frame[_ETHERNET_BYTES:-_CHECK_BYTES], frame[-_CHECK_BYTES:]
        told, number, sent_ns = _HEADER.unpack_from(body)
        if zlib.crc32(body).to_bytes(_CHECK_BYTES, "big") != check:
            number = -1
        elif told != token:
            continue  # an earlier question's, late
        arrivals.append(Arrival(number, sent_ns, arrived_ns, len(frame) - _ETHERNET_BYTES))


def figure(aspect: str, sent: int, arrivals: Sequence[Arrival]) -> float | None:
    """What these arrivals of so many sent frames say; None where they cannot tell. Pure."""
    whole = sorted((a for a in arrivals if a.number >= 0), key=lambda a: a.arrived_ns)
    spoilt = len(arrivals) - len(whole)
    first: dict[int, int] = {}
    for place, arrival in enumerate(whole):
        first.setdefault(arrival.number, place)
    if aspect == "loss":
        return 100 * max(0, sent - len(first) - spoilt) / sent
    if aspect == "corrupt":
        return 100 * spoilt / sent
    if aspect == "burst":
        return _mean_run(sent, first)
    if not first:
        return None
    if aspect == "delay":
        enough = len(first) * 2 > sent
        return _middle([a.arrived_ns - a.sent_ns for a in whole]) / 1e9 if enough else None
    if aspect == "duplicate":
        return 100 * (len(whole) - len(first)) / sent
    if aspect == "reorder":
        return 100 * _overtakers(first) / sent
    if aspect == "size":
        return float(max(a.size_bytes for a in whole))
    lasted_ns = whole[-1].arrived_ns - whole[0].arrived_ns
    return sum(a.size_bytes + _ETHERNET_BYTES for a in whole[1:]) * 8e9 / lasted_ns if lasted_ns else None


def _middle(times_ns: list[int]) -> float:
    """The median; `statistics` takes longer to import than the rest of the holder's start."""
    ordered = sorted(times_ns)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def _mean_run(sent: int, first: dict[int, int]) -> float:
    """Frames missing in a row, on average; 0 where none is."""
    lost = [number for number in range(sent) if number not in first]
    runs = sum(number - 1 in first or number == 0 for number in lost)
    return len(lost) / runs if runs else 0.0


def _overtakers(first: dict[int, int]) -> int:
    """How many arrived before one that was sent before them."""
    latest, overtakers = -1, 0
    for number in sorted(first):
        overtakers += first[number] < latest
        latest = max(latest, first[number])
    return overtakers
