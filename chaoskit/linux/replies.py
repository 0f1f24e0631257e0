"""Frames that answer in another's place: TCP resets, ICMP port unreachable, UDP and TCP payloads. Pure, standard library only.

IPv4 over Ethernet, unfragmented, without VLAN tags: what a lab's switch carries.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

TCP, UDP, _ICMP = 6, 17, 1
FIN, SYN, RST, PSH, ACK = 0x01, 0x02, 0x04, 0x08, 0x10
_ETHERNET_BYTES, _IPV4_BYTES = 14, 20
_ETH_P_IPV4 = 0x0800
_HOPS = 64
_QUOTED_BYTES = 8
_WINDOW = 65535
Span = tuple[int, int]
"""First and last of some ports."""


@dataclass(frozen=True)
class Packet:
    """A TCP segment or UDP datagram as it came over the wire."""

    frame: bytes
    protocol: int
    ip_header_bytes: int
    transport_at: int
    end: int

    @property
    def source_port(self) -> int:
        return int.from_bytes(self.frame[self.transport_at : self.transport_at + 2], "big")

    @property
    def destination_port(self) -> int:
        return int.from_bytes(self.frame[self.transport_at + 2 : self.transport_at + 4], "big")

    @property
    def destination_mac(self) -> str:
        return self.frame[:6].hex(":")

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.frame[self.transport_at + 4 : self.transport_at + 8], "big")

    @property
    def acknowledged(self) -> int:
        return int.from_bytes(self.frame[self.transport_at + 8 : self.transport_at + 12], "big")

    @property
    def flags(self) -> int:
        return self.frame[self.transport_at + 13] if self.protocol == TCP else 0

    @property
    def payload(self) -> bytes:
        header = (self.frame[self.transport_at + 12] >> 4) * 4 if self.protocol == TCP else 8
        return self.frame[self.transport_at + header : self.end]

    @property
    def addresses(self) -> tuple[bytes, bytes]:
        return self.frame[_ETHERNET_BYTES + 12 : _ETHERNET_BYTES + 16], self.frame[_ETHERNET_BYTES + 16 : _ETHERNET_BYTES + 20]


def parsed(frame: bytes) -> Packet | None:
    """None for everything but whole, unfragmented TCP and UDP over IPv4 to one receiver."""
    if len(frame) < _ETHERNET_BYTES + _IPV4_BYTES or frame[12:14] != b"\x08\x00" or frame[0] & 1 or frame[14] >> 4 != 4:
        return None
    header = (frame[_ETHERNET_BYTES] & 0xF) * 4
    total = int.from_bytes(frame[16:18], "big")
    protocol, at, end = frame[23], _ETHERNET_BYTES + header, _ETHERNET_BYTES + total
    least = {TCP: 20, UDP: 8}.get(protocol)
    fragment = int.from_bytes(frame[20:22], "big") & 0x3FFF
    if least is None or fragment or header < _IPV4_BYTES or at + least > min(end, len(frame)):
        return None
    return Packet(frame, protocol, header, at, end)


def checksum(data: bytes) -> int:
    """RFC 1071."""
    padded = data + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def refusal(packet: Packet) -> bytes | None:
    """What a closed port answers: RFC 9293 3.10.7.1 for TCP, port unreachable for UDP. None to a reset."""
    if packet.protocol == UDP:
        quoted = packet.frame[_ETHERNET_BYTES : packet.transport_at + _QUOTED_BYTES]
        body = struct.pack("!BBHI", 3, 3, 0, 0) + quoted
        return _back(packet, _ICMP, body[:2] + struct.pack("!H", checksum(body)) + body[4:])
    if packet.flags & RST:
        return None
    if packet.flags & ACK:
        return segment(packet, RST, sequence=packet.acknowledged, acknowledged=0)
    return segment(packet, RST | ACK, sequence=0, acknowledged=after(packet))


def after(packet: Packet) -> int:
    """The sequence number that follows a segment: its payload, SYN and FIN count. From the lengths alone: it may be cut short."""
    header = (packet.frame[packet.transport_at + 12] >> 4) * 4
    length = packet.end - packet.transport_at - header
    return (packet.sequence + length + bool(packet.flags & SYN) + bool(packet.flags & FIN)) & 0xFFFFFFFF


def segment(packet: Packet, flags: int, *, sequence: int, acknowledged: int, payload: bytes = b"") -> bytes:
    """A TCP segment back to who sent this one."""
    ports = struct.pack("!HH", packet.destination_port, packet.source_port)
    window = 0 if flags & RST else _WINDOW
    rest = struct.pack("!IIBBHHH", sequence & 0xFFFFFFFF, acknowledged & 0xFFFFFFFF, 5 << 4, flags, window, 0, 0)
    return _back(packet, TCP, _summed(packet, TCP, ports + rest + payload, 16))


def datagram(packet: Packet, payload: bytes) -> bytes:
    """A UDP datagram back to who sent this one."""
    body = struct.pack("!HHHH", packet.destination_port, packet.source_port, 8 + len(payload), 0) + payload
    return _back(packet, UDP, _summed(packet, UDP, body, 6))


def mended(packet: Packet) -> bytes:
    """A UDP datagram as it came, with its checksum: on a virtual cable the sender leaves it to hardware that is not there."""
    body = packet.frame[packet.transport_at : packet.end]
    source, destination = packet.addresses
    summed = _with_sum(source, destination, UDP, body[:6] + b"\0\0" + body[8:], 6)
    return packet.frame[: packet.transport_at] + summed


def _summed(packet: Packet, protocol: int, body: bytes, at: int) -> bytes:
    source, destination = packet.addresses
    return _with_sum(destination, source, protocol, body, at)


def _with_sum(source: bytes, destination: bytes, protocol: int, body: bytes, at: int) -> bytes:
    pseudo = source + destination + struct.pack("!BBH", 0, protocol, len(body))
    total = checksum(pseudo + body) or (0xFFFF if protocol == UDP else 0)
    return body[:at] + struct.pack("!H", total) + body[at + 2 :]


def _back(packet: Packet, protocol: int, body: bytes) -> bytes:
    """Addresses turned round."""
    source, destination = packet.addresses
    head = struct.pack("!BBHHHBBH", 0x45, 0, _IPV4_BYTES + len(body), 0, 0x4000, _HOPS, protocol, 0) + destination + source
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    ethernet = packet.frame[6:12] + packet.frame[:6] + struct.pack("!H", _ETH_P_IPV4)
    return ethernet + head + body


def port_filter(tcp: Sequence[Span], udp: Sequence[Span], snap_bytes: int) -> list[tuple[int, int, int, int]]:
    """A classic BPF program: incoming, unfragmented IPv4 to ports of these spans passes, cut at `snap_bytes`; nothing else does.

    (code, jump if true, jump if false, constant); a socket that sees a whole switch wakes up for nothing else.
    """
    load_half, load_byte, load_word, load_half_x, header_length = 0x28, 0x30, 0x20, 0x48, 0xB1
    equal, above, at_least, any_bit, returned = 0x15, 0x25, 0x35, 0x45, 0x06
    packet_type, outgoing = 0xFFFFF004, 4
    drop, take = (returned, 0, 0, 0), (returned, 0, 0, snap_bytes)
    program = [
        (load_word, 0, 0, packet_type), (equal, 0, 1, outgoing), drop,
        (load_half, 0, 0, 12), (equal, 1, 0, _ETH_P_IPV4), drop,
        (load_half, 0, 0, 20), (any_bit, 0, 1, 0x1FFF), drop,
        (header_length, 0, 0, 14),
    ]  # fmt: skip
    for protocol, spans in ((TCP, tcp), (UDP, udp)):
        matched = [i for first, last in spans for i in ((at_least, 0, 2, first), (above, 1, 0, last), take)]
        program += [(load_byte, 0, 0, 23), (equal, 1, 0, protocol), (0x05, 0, 0, len(matched) + 2)]
        program += [(load_half_x, 0, 0, 16), *matched, drop]
    return [*program, drop]
