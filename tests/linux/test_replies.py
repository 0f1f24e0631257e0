"""Answers in another's place, byte by byte: the kernel's own words are the measure, and RFC 1071 adds up to zero."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaoskit.linux import replies

CLIENT, SERVER = bytes([198, 18, 0, 2]), bytes([198, 18, 0, 1])
CLIENT_MAC, SERVER_MAC = bytes.fromhex("02c5c6120002"), bytes.fromhex("02c5c6120001")


def ipv4(protocol: int, body: bytes, *, options: bytes = b"", fragment: int = 0) -> bytes:
    length = 20 + len(options)
    head = struct.pack("!BBHHHBBH", 0x40 | length // 4, 0, length + len(body), 7, fragment, 64, protocol, 0) + CLIENT + SERVER
    return SERVER_MAC + CLIENT_MAC + b"\x08\x00" + head + options + body


def tcp(flags: int, *, sequence: int = 1000, acknowledged: int = 0, payload: bytes = b"", options: bytes = b"") -> bytes:
    offset = (20 + len(options)) // 4 << 4
    return struct.pack("!HHIIBBHHH", 40000, 5432, sequence, acknowledged, offset, flags, 1024, 0, 0) + options + payload


def packet(frame: bytes) -> replies.Packet:
    found = replies.parsed(frame)
    assert found is not None
    return found


def checked(frame: bytes) -> replies.Packet:
    """An answer: turned round, and every sum right. What adds up with its own sum gives zero."""
    assert (frame[:6], frame[6:12]) == (CLIENT_MAC, SERVER_MAC)
    assert (frame[26:30], frame[30:34]) == (SERVER, CLIENT)
    assert replies.checksum(frame[14:34]) == 0
    assert int.from_bytes(frame[16:18], "big") == len(frame) - 14
    body, protocol = frame[34:], frame[23]
    pseudo = b"" if protocol == 1 else SERVER + CLIENT + struct.pack("!BBH", 0, protocol, len(body))
    assert replies.checksum(pseudo + body) == 0
    return packet(frame) if protocol != 1 else replies.Packet(frame, 1, 20, 34, len(frame))


@pytest.mark.parametrize("payload", [b"", b"x", b"hello"])
def test_a_syn_is_refused_as_rfc_9293_says(payload: bytes) -> None:
    reset = replies.refusal(packet(ipv4(6, tcp(replies.SYN, payload=payload, options=b"\x02\x04\x05\xb4"))))
    assert reset is not None
    seen = checked(reset)
    assert (seen.flags, seen.sequence, seen.acknowledged) == (replies.RST | replies.ACK, 0, 1001 + len(payload))
    assert (seen.source_port, seen.destination_port) == (5432, 40000)


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.binary(max_size=64))
def test_an_established_connection_is_reset_at_the_number_the_peer_expects(sequence: int, acknowledged: int, data: bytes) -> None:
    segment = tcp(replies.ACK | replies.PSH, sequence=sequence, acknowledged=acknowledged, payload=data)
    reset = replies.refusal(packet(ipv4(6, segment)))
    assert reset is not None
    seen = checked(reset)
    assert (seen.flags, seen.sequence) == (replies.RST, acknowledged)


def test_numbers_wrap_and_lengths_come_from_the_header_where_the_frame_is_cut_short() -> None:
    whole = ipv4(6, tcp(replies.SYN | replies.FIN, sequence=2**32 - 1, payload=b"x" * 500))
    reset = replies.refusal(packet(whole[:80]))
    assert reset is not None
    assert checked(reset).acknowledged == (2**32 - 1 + 502) % 2**32


def test_a_reset_is_not_answered() -> None:
    assert replies.refusal(packet(ipv4(6, tcp(replies.RST | replies.ACK)))) is None


def test_a_datagram_is_answered_with_port_unreachable_that_quotes_it() -> None:
    datagram = struct.pack("!HHHH", 40000, 53, 12, 0) + b"ping"
    frame = ipv4(17, datagram, options=b"\x01\x01\x01\x00")
    answer = replies.refusal(packet(frame))
    assert answer is not None
    checked(answer)
    assert answer[34:36] == b"\x03\x03"
    assert answer[42:] == frame[14:38] + datagram[:8], "the header with its options, and eight bytes"


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        ipv4(1, bytes(20)),
        ipv4(6, tcp(2), fragment=0x2000),
        ipv4(6, tcp(2), fragment=0x0010),
        ipv4(6, tcp(2)[:12]),
        b"\xff" * 6 + ipv4(17, bytes(12))[6:],
        b"\x02" * 12 + b"\x86\xdd" + bytes(60),
    ],
)
def test_what_is_no_whole_packet_to_one_receiver_is_left_alone(frame: bytes) -> None:
    assert replies.parsed(frame) is None


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A segment or datagram with some bytes overwritten, and perhaps cut short; often it is still a packet."""
    options = b"\x01" * 4 * draw(st.integers(0, 2))
    segment = tcp(draw(st.integers(0, 255)), payload=b"x")
    whole = bytearray(draw(st.sampled_from([ipv4(6, segment, options=options), ipv4(17, bytes(12), options=options)])))
    version_and_length, total_length, protocol = 14, 17, 23
    telling = {version_and_length: [0x40, 0x44, 0x4F, 0x65], total_length: [0, 20, 39, 41, 255], protocol: [1, 6, 17]}
    at = draw(st.one_of(st.sampled_from(sorted(telling)), st.integers(14, len(whole) - 1)))
    whole[at] = draw(st.one_of(st.just(whole[at]), st.sampled_from(telling.get(at, [0])), st.integers(0, 255)))
    return bytes(whole[: draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))])


@given(st.one_of(st.binary(max_size=300), _damaged()))
def test_any_frame_is_refused_with_a_whole_frame_or_not_at_all(frame: bytes) -> None:
    found = replies.parsed(frame)
    if found is None:
        return
    assert (frame[14] >> 4, found.transport_at) == (4, 14 + 4 * max(frame[14] & 15, 5))
    least = 20 if found.protocol == replies.TCP else 8
    assert found.transport_at + least <= min(len(frame), found.end), "ports and flags are read from the packet itself"
    answer = replies.refusal(found)
    if answer is None:
        assert found.protocol == replies.TCP
        assert found.flags & replies.RST
        return
    assert (answer[:6], answer[6:12]) == (frame[6:12], frame[:6])
    assert (answer[26:30], answer[30:34]) == (frame[30:34], frame[26:30])
    assert replies.checksum(answer[14:34]) == 0
    assert int.from_bytes(answer[16:18], "big") == len(answer) - 14
    if found.protocol == replies.UDP:
        assert answer[42:] == frame[14 : found.transport_at + 8]
    else:
        assert not found.flags & replies.RST
        assert packet(answer).flags & replies.RST
        assert (packet(answer).source_port, packet(answer).destination_port) == (found.destination_port, found.source_port)


@given(st.binary(max_size=100))
def test_a_datagram_back_and_one_mended_add_up(payload: bytes) -> None:
    datagram = struct.pack("!HHHH", 40000, 53, 8 + len(payload), 0xDEAD) + payload
    came = packet(ipv4(17, datagram))
    back = checked(replies.datagram(came, payload))
    assert (back.payload, back.source_port, back.destination_port) == (payload, 53, 40000)
    mended = replies.mended(came)
    assert mended[:34] == came.frame[:34]
    pseudo = CLIENT + SERVER + struct.pack("!BBH", 0, 17, len(datagram))
    assert replies.checksum(pseudo + mended[34:]) == 0
    assert mended[42:] == payload


def run(program: list[tuple[int, int, int, int]], frame: bytes, packet_type: int = 0) -> int:
    """A classic BPF machine, as far as the program needs one. An access beyond the frame ends it with 0, as in the kernel."""
    accumulator = index = at = 0
    while True:
        code, yes, no, k = program[at]
        at += 1
        try:
            if code == 0x20:
                accumulator = packet_type if k == 0xFFFFF004 else int.from_bytes(frame[k : k + 4], "big")
            elif code in (0x28, 0x48, 0x30):
                width, place = (1, k) if code == 0x30 else (2, k + (index if code == 0x48 else 0))
                frame[place + width - 1]
                accumulator = int.from_bytes(frame[place : place + width], "big")
            elif code == 0xB1:
                index = 4 * (frame[k] & 0xF)
            elif code == 0x05:
                at += k
            elif code in (0x15, 0x25, 0x35, 0x45):
                holds = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k, 0x45: accumulator & k}[code]
                at += yes if holds else no
            else:
                assert code == 0x06
                return k
        except IndexError:
            return 0


Spans = tuple[tuple[int, int], ...]


@pytest.mark.parametrize(
    "spans",
    [
        (((5432, 5432), (80, 80)), ((53, 53),)), ((), ((53, 53),)), (((80, 80),), ()), (((54, 80), (5000, 5432)), ((53, 79),)),
        (((1, 65535),), ((5433, 65535),)),
    ],
)  # fmt: skip
def test_the_filter_lets_through_what_is_to_be_answered_and_nothing_else(spans: tuple[Spans, Spans]) -> None:
    program = replies.port_filter(*spans, 96)
    ports = [[n for n in range(65536) if any(first <= n <= last for first, last in which)] for which in spans]
    for number in (0, 53, 54, 79, 80, 81, 4999, 5000, 5432, 5433, 65535):
        for protocol, wanted in ((6, ports[0]), (17, ports[1])):
            body = struct.pack("!HH", 40000, number) + bytes(20)
            for options in (b"", b"\x01\x01\x01\x00"):
                frame = ipv4(protocol, body, options=options)
                assert run(program, frame) == (96 if number in wanted else 0)
                assert run(program, frame, packet_type=4) == 0, "what leaves by a port came in by another"
            assert run(program, ipv4(protocol, body, fragment=1)) == 0
        assert run(program, ipv4(1, struct.pack("!HH", 0, number) + bytes(20))) == 0
    assert run(program, b"\x02" * 12 + b"\x08\x06" + bytes(50)) == 0
    assert run(program, b"") == 0
