"""Established TCP connections over netlink: listing them, and ending them from outside (SOCK_DESTROY).

Standard library only: a lab's holder uses it on what it has just read.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from chaoskit.linux.netlink import NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE, messages

NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_SOCK_DESTROY = 21
_ESTABLISHED = 1
_HEADER = struct.Struct("=IHHII")
_REQUEST = struct.Struct("=BBBxI48s")
_FOUND_BYTES = 72
_ID = slice(4, 52)


@dataclass(frozen=True)
class Established:
    """One end of an established connection. IPv4 in IPv6 is shown as IPv4."""

    family: int
    local: tuple[str, int]
    remote: tuple[str, int]
    inode: int
    identity: bytes
    """The kernel's own id of the socket: addresses, ports, interface and cookie."""

    def touches(self, ports: Collection[int], addresses: Collection[str]) -> bool:
        """One of these ports at either end (any where empty), with one of these addresses (any where empty), and no loopback."""
        if self.local[0] == self.remote[0] or ipaddress.ip_address(self.remote[0]).is_loopback:
            return False
        near = not ports or self.local[1] in ports or self.remote[1] in ports
        return near and (not addresses or self.remote[0] in addresses)


def listing(family: int) -> bytes:
    """A request for every established TCP connection of an address family."""
    body = _REQUEST.pack(family, socket.IPPROTO_TCP, 0, 1 << _ESTABLISHED, bytes(48))
    return _HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + body


def listed(replies: bytes) -> Iterator[Established]:
    """The connections in the kernel's replies to `listing`."""
    for message in messages(replies):
        if message.type == NLMSG_DONE or message.type != _SOCK_DIAG_BY_FAMILY or len(message.payload) < _FOUND_BYTES:
            continue
        family, identity = message.payload[0], message.payload[_ID]
        local_port, remote_port = struct.unpack_from("!HH", identity)
        (inode,) = struct.unpack_from("=I", message.payload, 68)
        ends = _address(family, identity[4:20]), _address(family, identity[20:36])
        yield Established(family, (ends[0], local_port), (ends[1], remote_port), inode, identity)


def _address(family: int, raw: bytes) -> str:
    if family == socket.AF_INET:
        return socket.inet_ntop(family, raw[:4])
    address = ipaddress.IPv6Address(raw)
    return str(address.ipv4_mapped or address)


def destruction(connections: Sequence[Established]) -> bytes:
    """A batch that ends exactly these: an error at this end, a RST to the other. ENOENT where one is gone already."""
    batch = b""
    for sequence, found in enumerate(connections, start=1):
        body = _REQUEST.pack(found.family, socket.IPPROTO_TCP, 0, 1 << _ESTABLISHED, found.identity)
        batch += _HEADER.pack(_HEADER.size + len(body), _SOCK_DESTROY, NLM_F_REQUEST | NLM_F_ACK, sequence, 0) + body
    return batch


def nothing_to_destroy() -> bytes:
    """A batch about a connection that cannot be there: ENOENT shows that this kernel can end connections."""
    identity = struct.pack("!HH", 1, 1) + bytes(36) + struct.pack("=III", 0, 0xFFFFFFFF, 0xFFFFFFFF)[:12]
    none = Established(socket.AF_INET, ("0.0.0.0", 1), ("0.0.0.0", 1), 0, identity[:48].ljust(48, b"\0"))
    return destruction([none])
