"""Ethernet frames with the header that packet sockets put before them (struct virtio_net_hdr). Pure, standard library only."""

from __future__ import annotations

import struct

VNET_HEADER_BYTES = 10
ETHERNET_BYTES = 14
_NEEDS_CHECKSUM = 1
_GSO_NONE, _GSO_UDP_L4 = 0, 5
_GSO_ECN = 0x80
_UDP_BYTES = 8
_UDP, _HOPS, _IPV4_BYTES = 17, 64, 20
_DISCARD_PORT = 9
_VNET = struct.Struct("=BBHHHH")  # flags, gso type, header length, gso size, checksum start, checksum offset


def packet_bytes(data: bytes) -> int:
    """The length of the network packet in a frame; of the largest one it will be cut into where it is a super-frame."""
    gso_type: int
    gso_size: int
    start: int
    _, gso_type, _, gso_size, start, _ = _VNET.unpack_from(data)
    if gso_type == _GSO_NONE:
        return len(data) - VNET_HEADER_BYTES - ETHERNET_BYTES
    if gso_type & ~_GSO_ECN == _GSO_UDP_L4:
        headers = start + _UDP_BYTES
    else:
        headers = start + (data[VNET_HEADER_BYTES + start + 12] >> 4) * 4  # TCP's data offset
    return min(len(data) - VNET_HEADER_BYTES, headers + gso_size) - ETHERNET_BYTES


def corrupted(data: bytes, place: int) -> bytes:
    """The frame with its checksum made final and then one bit inverted: the one with this number, behind the Ethernet header.

    The checksum of a frame on one machine is often still open; inverting a bit before it is made would go unnoticed.
    """
    flags, gso_type, _, _, start, offset = _VNET.unpack_from(data)
    frame = bytearray(data[VNET_HEADER_BYTES:])
    if flags & _NEEDS_CHECKSUM and gso_type == _GSO_NONE:
        struct.pack_into("!H", frame, start + offset, checksum(frame[start:]) or 0xFFFF)
    place %= 8 * (len(frame) - ETHERNET_BYTES)
    frame[ETHERNET_BYTES + place // 8] ^= 1 << place % 8
    return bytes(VNET_HEADER_BYTES) + bytes(frame)


def spoilt_datagram(macs: tuple[bytes, bytes], addresses: tuple[bytes, bytes], port: int, payload: bytes) -> bytes:
    """A UDP datagram to a port, with a checksum that is wrong: it travels like any other, and no program ever gets it.

    `macs` and `addresses`: of the sender and of the receiver.
    """
    ports_and_length = struct.pack("!HHH", _DISCARD_PORT, port, _UDP_BYTES + len(payload))
    pseudo = addresses[0] + addresses[1] + struct.pack("!BBH", 0, _UDP, _UDP_BYTES + len(payload))
    right = checksum(pseudo + ports_and_length + payload) or 0xFFFF
    wrong = right ^ 0x5555 or 0x5555  # 0 would mean that there is none
    datagram = ports_and_length + struct.pack("!H", wrong) + payload
    head = struct.pack("!BBHHHBBH4s4s", 0x45, 0, _IPV4_BYTES + len(datagram), 0, 0x4000, _HOPS, _UDP, 0, *addresses)
    head = head[:10] + struct.pack("!H", checksum(head)) + head[12:]
    return macs[1] + macs[0] + b"\x08\x00" + head + datagram


def checksum(data: bytes | bytearray) -> int:
    """The Internet checksum (RFC 1071)."""
    padded = bytes(data) + b"\0" * (len(data) % 2)
    total: int = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    total = (total >> 16) + (total & 0xFFFF)
    total += total >> 16
    return ~total & 0xFFFF
