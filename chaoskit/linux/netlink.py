"""Netlink as bytes: framing several messages into one batch, and reading the kernel's answers.

Standard library only: the process that sends the batches (a lab's holder) must start in milliseconds. The messages
themselves are built elsewhere, by pyroute2's classes (`rtnl`, `nft`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

NETLINK_ROUTE = 0
NETLINK_NETFILTER = 12

NLM_F_REQUEST = 0x1
NLM_F_MULTI = 0x2
NLM_F_ACK = 0x4
NLM_F_DUMP = 0x300
NLM_F_EXCL = 0x200
NLM_F_CREATE = 0x400
NLM_F_APPEND = 0x800
NLM_F_CAPPED = 0x100
NLM_F_ACK_TLVS = 0x200

NLMSG_ERROR = 2
NLMSG_DONE = 3
NLMSGERR_ATTR_MSG = 1

_HEADER = struct.Struct("=IHHII")


@dataclass(frozen=True)
class Message:
    """One netlink message as it went over the wire."""

    type: int
    flags: int
    sequence: int
    payload: bytes
    raw: bytes


@dataclass(frozen=True)
class Answer:
    """What the kernel said about one message of a batch. `errno` 0 is an acknowledgement."""

    sequence: int
    errno: int
    text: str = ""


def messages(data: bytes) -> Iterator[Message]:
    """The messages in a datagram. ValueError where a length makes no sense."""
    offset = 0
    while offset + _HEADER.size <= len(data):
        length, kind, flags, sequence, _port = _HEADER.unpack_from(data, offset)
        if length < _HEADER.size or offset + length > len(data):
            raise ValueError(f"netlink message of {length} bytes at {offset} in a datagram of {len(data)}")
        yield Message(kind, flags, sequence, data[offset + _HEADER.size : offset + length], data[offset : offset + length])
        offset += (length + 3) & ~3


def expected_acks(batch: bytes) -> frozenset[int]:
    """Sequence numbers of a batch's messages that asked for an acknowledgement."""
    return frozenset(m.sequence for m in messages(batch) if m.flags & NLM_F_ACK)


def answer(message: Message) -> Answer | None:
    """The acknowledgement or error a message carries; None where it is neither."""
    if message.type != NLMSG_ERROR or len(message.payload) < 4:
        return None
    (code,) = struct.unpack_from("=i", message.payload)
    return Answer(message.sequence, -code, _extended_text(message) if message.flags & NLM_F_ACK_TLVS else "")


def _extended_text(message: Message) -> str:
    """The kernel's sentence in an extended acknowledgement, if it sent one."""
    offset = 4 + _HEADER.size
    if not message.flags & NLM_F_CAPPED and len(message.payload) >= offset:
        (original,) = struct.unpack_from("=I", message.payload, 4)
        offset = 4 + ((original + 3) & ~3)
    while offset + 4 <= len(message.payload):
        length, kind = struct.unpack_from("=HH", message.payload, offset)
        if length < 4:
            return ""
        if kind & 0x3FFF == NLMSGERR_ATTR_MSG:
            return message.payload[offset + 4 : offset + length].rstrip(b"\0").decode("utf-8", "replace")
        offset += (length + 3) & ~3
    return ""
