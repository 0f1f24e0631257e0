"""Frames that tell who has an address: caught by packet sockets, dissected by scapy, with bounds on when they came.

Only a process that listens to the wire imports this: scapy takes a fifth of a second to start.
"""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import logging
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

logging.getLogger("scapy").setLevel(logging.ERROR)  # before it is imported: it warns of routes and libraries it does not need

from scapy.layers.inet import IP  # noqa: E402
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6NDOptDstLLAddr, IPv6  # noqa: E402
from scapy.layers.l2 import ARP, Ether  # noqa: E402
from scapy.layers.vrrp import VRRP, VRRPv3  # noqa: E402
from scapy.supersocket import SuperSocket  # noqa: E402

GRATUITOUS, REPLY, ADVERT = "gratuitous ARP", "ARP reply", "VRRP"
UNSOLICITED, SOLICITED = "unsolicited neighbour advertisement", "neighbour advertisement"
REPLIES = (REPLY, SOLICITED)
"""Said to one who asked; no news to anybody else."""
NOBODY = "0.0.0.0"
_BROADCAST = "ff:ff:ff:ff:ff:ff"
_REQUEST, _IS_AT = 1, 2
_ADVERTISEMENT, _VRRP_TTL, _NEIGHBOUR_HOPS = 1, 255, 255
_ETH_P_ALL, _ETH_P_ARP = 0x0003, 0x0806
_SO_ATTACH_FILTER, _SO_TIMESTAMPNS = 26, 35
_FRAME_BYTES = 2048
_STAMP_ERROR_NS = 1_000
"""scapy hands the kernel's stamp over as a float: seconds since 1970, to a quarter of a microsecond."""
_STAMP_OLD_NS = 5_000_000_000
_SAME_FRAME_NS = 50_000_000
Program = Sequence[tuple[int, int, int, int]]

_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x15, 0x06
_PACKET_TYPE, _OUTGOING = 0xFFFFF004, 4
_TAKE, _DROP = (_RETURN, 0, 0, _FRAME_BYTES), (_RETURN, 0, 0, 0)

ANNOUNCEMENTS: Program = (
    (_LOAD_WORD, 0, 0, _PACKET_TYPE), (_EQUAL, 11, 0, _OUTGOING),
    (_LOAD_HALF, 0, 0, 12), (_EQUAL, 8, 0, _ETH_P_ARP), (_EQUAL, 0, 2, 0x0800),
    (_LOAD_BYTE, 0, 0, 23), (_EQUAL, 5, 6, 112),
    (_EQUAL, 0, 5, 0x86DD), (_LOAD_BYTE, 0, 0, 20), (_EQUAL, 0, 3, 58), (_LOAD_BYTE, 0, 0, 54), (_EQUAL, 0, 1, 136),
    _TAKE, _DROP,
)  # fmt: skip
"""Classic BPF (code, jump if true, jump if false, constant): ARP, VRRP and IPv6 neighbour advertisements as they come in, nothing
that goes out. A switch carries far more, and each frame would wake the watcher up. Not by scapy's filters: they want libpcap."""
ANSWERS: Program = (
    (_LOAD_HALF, 0, 0, 12),
    (_EQUAL, 0, 3, _ETH_P_ARP),
    (_LOAD_HALF, 0, 0, 20),
    (_EQUAL, 0, 1, _IS_AT),
    _TAKE,
    _DROP,
)
"""ARP replies, whoever they are for."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody says on the wire that an address is its own."""

    address: str
    mac: str
    how: str
    vrid: int | None = None
    priority: int | None = None


def claims(frame: Any) -> tuple[Claim, ...]:
    """What a frame (scapy's) says about who has which address; nothing where it says nothing of that."""
    if ARP in frame:
        arp = frame[ARP]
        if arp.psrc == NOBODY:
            return ()
        gratuitous = arp.psrc == arp.pdst or (arp.op == _IS_AT and frame.dst == _BROADCAST)
        if gratuitous or arp.op == _IS_AT:
            return (Claim(arp.psrc, arp.hwsrc, GRATUITOUS if gratuitous else REPLY),)
        return ()
    if ICMPv6ND_NA in frame:
        return _neighbour(frame)
    # a router believes no advertisement that may have been forwarded, RFC 5798 section 7.1
    if IP not in frame or frame[IP].ttl != _VRRP_TTL:
        return ()
    for kind in (VRRP, VRRPv3):
        if kind in frame and frame[kind].type == _ADVERTISEMENT:
            said = frame[kind]
            return tuple(Claim(str(address), frame.src, ADVERT, said.vrid, said.priority) for address in said.addrlist)
    return ()


def _neighbour(frame: Any) -> tuple[Claim, ...]:
    """A neighbour advertisement; one with another hop limit than 255 was forwarded, and nobody believes it (RFC 4861)."""
    if IPv6 not in frame or frame[IPv6].hlim != _NEIGHBOUR_HOPS:
        return ()
    said = frame[ICMPv6ND_NA]
    mac = said[ICMPv6NDOptDstLLAddr].lladdr if ICMPv6NDOptDstLLAddr in said else frame.src
    return (Claim(str(ipaddress.IPv6Address(said.tgt)), mac, SOLICITED if said.S else UNSOLICITED),)


def question(address: str, own: str) -> bytes:
    """Who has this address? Asked by a made-up hardware address and for nobody (an ARP probe, RFC 5227), so that whoever hears it
    learns nothing from it."""
    return bytes(Ether(dst=_BROADCAST, src=own) / ARP(op=_REQUEST, hwsrc=own, psrc=NOBODY, pdst=address))


def answer(frame: Any) -> tuple[str, str, str] | None:
    """(address, hardware address that has it, hardware address that asked); None where it is no ARP reply."""
    if ARP not in frame or frame[ARP].op != _IS_AT:
        return None
    return frame[ARP].psrc, frame[ARP].hwsrc, frame.dst


@dataclass(frozen=True, slots=True)
class Heard:
    """A frame that came in, between two instants of CLOCK_MONOTONIC (ns)."""

    frame: Any
    """scapy's."""
    data: bytes
    port: str
    """The interface by which it came in."""
    t_low: int
    t_high: int


class WireSocket(SuperSocket):  # type: ignore[misc]
    """A packet socket that only sees what its program lets through. On every interface of its network where none is given."""

    def __init__(self, program: Program, device: str = "") -> None:
        """Made in the network of the calling thread. OSError where that is not permitted, or there is no such interface."""
        # where it is bound, no frame comes in before the filter is there
        protocol = 0 if device else socket.htons(_ETH_P_ALL)
        code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
        kept = ctypes.create_string_buffer(code, len(code))
        made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC, protocol)
        try:
            fields = struct.pack("HxxxxxxP", len(program), ctypes.addressof(kept))
            made.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fields)
            made.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            if device:
                made.bind((device, _ETH_P_ARP))
            else:
                _drain(made)
        except OSError:
            made.close()
            raise
        self.ins = self.outs = made
        self.iface = device
        self.auxdata_available = True  # scapy then reads the kernel's stamp
        self._read_ns = time.monotonic_ns()

    def heard(self) -> Iterator[Heard]:
        """Everything that has come in since the last call. OSError where the interface went down."""
        while True:
            try:
                data, (port, *_), stamp = self._recv_raw(self.ins, _FRAME_BYTES)
            except BlockingIOError:
                self._read_ns = time.monotonic_ns()
                return
            low, high = instants(stamp, self._read_ns)
            yield Heard(Ether(data), data, port, low, high)


def _drain(fresh: socket.socket) -> None:
    """Let go of what came before there was a filter."""
    with contextlib.suppress(BlockingIOError):
        while fresh.recv(1):
            pass


def instants(stamp_s: float | None, since_ns: int) -> tuple[int, int]:
    """CLOCK_MONOTONIC bounds of a frame that the kernel stamped by the wall clock, and that was read just now.

    Without a stamp, or where the wall clock was set meanwhile: it came since the socket was last found empty.
    """
    before = time.monotonic_ns()
    wall = time.time_ns()
    after = time.monotonic_ns()
    if stamp_s is None:
        return since_ns, before
    age_low, age_high = wall - round(stamp_s * 1e9) - _STAMP_ERROR_NS, wall - round(stamp_s * 1e9) + _STAMP_ERROR_NS
    low, high = before - age_high, after - age_low
    if low > before or age_low > _STAMP_OLD_NS:
        return since_ns, before
    return low, min(high, after)


class Echoes:
    """Knows a frame again that it has seen come in elsewhere: a switch hands it on to its own interface."""

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[str, int]] = {}

    def is_one(self, heard: Heard) -> bool:
        """Whether this frame has just been seen by another port."""
        port, at_ns = self._last.get(heard.data, (heard.port, 0))
        if port != heard.port and heard.t_high - at_ns < _SAME_FRAME_NS:
            return True
        self._last = {d: seen for d, seen in self._last.items() if heard.t_high - seen[1] < _SAME_FRAME_NS}
        self._last[heard.data] = (heard.port, heard.t_high)
        return False
