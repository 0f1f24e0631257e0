"""Frames as packet sockets give them: what is judged of super-frames, and what corruption does to open checksums."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.linux import distributions, frames

ETHERNET = bytes(12) + b"\x08\x00"


def vnet(flags: int = 0, kind: int = 0, size: int = 0, start: int = 0, offset: int = 0) -> bytes:
    return struct.pack("=BBHHHH", flags, kind, 0, size, start, offset)


def tcp(payload: bytes, data_offset: int = 8) -> bytes:
    """IPv4 and TCP; the checksum field holds the sum of the pseudo header, as where the device is to finish it."""
    header = bytes(12) + bytes([data_offset << 4]) + bytes(data_offset * 4 - 13)
    total = 20 + len(header) + len(payload)
    ip = bytes([0x45, 0]) + struct.pack("!H", total) + bytes(5) + b"\x06" + bytes(10)
    pseudo = ~frames.checksum(ip[12:20] + struct.pack("!BBH", 0, 6, len(header) + len(payload))) & 0xFFFF
    header = header[:16] + struct.pack("!H", pseudo) + header[18:]
    return ETHERNET + ip + header + payload


def is_whole(frame: bytes) -> bool:
    """Whether the TCP checksum of a frame is right."""
    ip, segment = frame[14:34], frame[34:]
    return frames.checksum(ip[12:20] + struct.pack("!BBH", 0, 6, len(segment)) + segment) == 0


@given(st.integers(1, 65535), st.binary(max_size=64))
def test_a_spoilt_datagram_is_right_in_all_but_its_checksum(port: int, payload: bytes) -> None:
    macs, addresses = (b"\2aaaaa", b"\2bbbbb"), (bytes([198, 18, 0, 1]), bytes([198, 18, 0, 2]))
    frame = frames.spoilt_datagram(macs, addresses, port, payload)
    assert (frame[:6], frame[6:12], frame[12:14]) == (macs[1], macs[0], b"\x08\x00")
    assert frames.checksum(frame[14:34]) == 0, "routers and switches take it"
    assert (frame[23], frame[26:30], frame[30:34]) == (17, *addresses)
    datagram = frame[34:]
    assert int.from_bytes(datagram[2:4], "big") == port
    assert int.from_bytes(datagram[4:6], "big") == len(datagram) == int.from_bytes(frame[16:18], "big") - 20
    assert datagram[8:] == payload
    pseudo = frame[26:34] + struct.pack("!BBH", 0, 17, len(datagram))
    assert frames.checksum(pseudo + datagram) != 0
    assert datagram[6:8] != b"\0\0", "no checksum at all would be taken"


def test_a_plain_frame_is_as_long_as_its_packet() -> None:
    assert frames.packet_bytes(vnet() + ETHERNET + bytes(1500)) == 1500


@pytest.mark.parametrize("kind", [1, 1 | 0x80, 4])
def test_a_super_frame_is_judged_by_the_packets_it_will_become(kind: int) -> None:
    data = vnet(1, kind, 1448, 34, 16) + tcp(bytes(30_000))
    assert frames.packet_bytes(data) == 20 + 32 + 1448


def test_a_udp_super_frame_is_too() -> None:
    assert frames.packet_bytes(vnet(1, 5, 1200, 34, 6) + ETHERNET + bytes(20 + 8 + 6000)) == 20 + 8 + 1200


def test_a_short_super_frame_is_not_longer_than_itself() -> None:
    data = vnet(1, 1, 1448, 34, 16) + tcp(bytes(100))
    assert frames.packet_bytes(data) == 20 + 32 + 100


@given(st.binary(min_size=1, max_size=200), st.integers(min_value=0))
def test_corruption_inverts_one_bit_of_a_finished_packet(payload: bytes, place: int) -> None:
    data = vnet(1, 0, 0, 34, 16) + tcp(payload)
    spoilt = frames.corrupted(data, place)
    assert spoilt[: frames.VNET_HEADER_BYTES] == bytes(frames.VNET_HEADER_BYTES), "nobody may finish its checksum again"
    frame = spoilt[frames.VNET_HEADER_BYTES :]
    assert frame[:14] == ETHERNET
    place %= 8 * (len(frame) - 14)
    mended = bytearray(frame)
    mended[14 + place // 8] ^= 1 << place % 8
    assert is_whole(bytes(mended)), "but for this bit it is as the receiver should have seen it"


@given(st.binary(max_size=99))
def test_the_checksum_is_that_of_rfc_1071(data: bytes) -> None:
    padded = data + b"\0" * (len(data) % 2)
    total = sum(int.from_bytes(padded[at : at + 2], "big") for at in range(0, len(padded), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    assert frames.checksum(data) == ~total & 0xFFFF


@pytest.mark.parametrize("name", ["normal", "pareto"])
def test_a_distribution_has_mean_zero_and_deviation_one(name: str) -> None:
    entries = [entry / distributions.SCALE for entry in distributions.table(name)]
    assert entries == sorted(entries)
    mean = sum(entries) / len(entries)
    deviation = (sum((entry - mean) ** 2 for entry in entries) / len(entries)) ** 0.5
    # the tail beyond four deviations is cut off, 16 bits hold no more: that of Pareto was heavy
    assert mean == pytest.approx(0, abs=0.03)
    assert deviation == pytest.approx(1, abs=0.001 if name == "normal" else 0.3)
    assert max(entries) <= 4


def test_uniform_needs_no_table() -> None:
    assert distributions.table("uniform") == []
