"""DNS messages as far as faults need them: a query, what it asks, and answers made from it. Pure, standard library only."""

from __future__ import annotations

import socket
import struct

TYPES = {"A": 1, "AAAA": 28}
RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
SERVFAIL, NXDOMAIN = 2, 3
_HEADER = struct.Struct("!HHHHHH")
_RESPONSE, _RECURSION_DESIRED, _RECURSION_AVAILABLE = 0x8000, 0x0100, 0x0080
_OPCODE = 0x7800
_INTERNET = 1
_LABEL_BYTES = 63


def query(number: int, name: str, record: str) -> bytes:
    """ValueError for a name that cannot be one."""
    labels = [label.encode("idna") if not label.isascii() else label.encode() for label in name.rstrip(".").split(".") if label]
    if any(len(label) > _LABEL_BYTES for label in labels):
        raise ValueError(f"a label of {name!r} is longer than {_LABEL_BYTES} bytes")
    encoded = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    return _HEADER.pack(number, _RECURSION_DESIRED, 1, 0, 0, 0) + encoded + struct.pack("!HH", TYPES[record], _INTERNET)


def asked(message: bytes) -> tuple[str, int, int] | None:
    """(name in lower case without the final dot, type, where the question ends) of a query; None where it is no plain one."""
    if len(message) < _HEADER.size:
        return None
    _, flags, questions, *_ = _HEADER.unpack_from(message)
    if flags & (_RESPONSE | _OPCODE) or questions != 1:
        return None
    labels, at = [], _HEADER.size
    while at < len(message) and (length := message[at]):
        if length > _LABEL_BYTES:
            return None
        labels.append(message[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
    if at + 5 > len(message):
        return None
    return ".".join(labels), int.from_bytes(message[at + 1 : at + 3], "big"), at + 5


def failure(message: bytes, rcode: int) -> bytes | None:
    """The answer to a query that says only this code. None where it is no plain query."""
    question = asked(message)
    if question is None:
        return None
    number, flags, *_ = _HEADER.unpack_from(message)
    said = _RESPONSE | _RECURSION_AVAILABLE | (flags & _RECURSION_DESIRED) | rcode
    return _HEADER.pack(number, said, 1, 0, 0, 0) + message[_HEADER.size : question[2]]


def address_answer(message: bytes, ipv4: str, ttl_s: int = 0) -> bytes | None:
    """The answer to a query that gives one address. None where it is no plain query."""
    empty = failure(message, 0)
    if empty is None:
        return None
    record = struct.pack("!HHHIH", 0xC00C, TYPES["A"], _INTERNET, ttl_s, 4) + socket.inet_aton(ipv4)
    return empty[:6] + struct.pack("!H", 1) + empty[8:] + record


def renumbered(answer: bytes, message: bytes) -> bytes:
    """A recorded answer as the answer to this query: its number, and its spelling of the name."""
    question = asked(message)
    recorded = asked(_as_query(answer))
    if question is None or recorded is None or question[2] != recorded[2]:
        return message[:2] + answer[2:]
    return message[:2] + answer[2 : _HEADER.size] + message[_HEADER.size : question[2]] + answer[recorded[2] :]


def _as_query(answer: bytes) -> bytes:
    return answer[:2] + b"\0\0" + answer[4:]


def outcome(answer: bytes) -> str:
    """NOERROR | no_data | NXDOMAIN | SERVFAIL | ... | "malformed"."""
    if len(answer) < _HEADER.size:
        return "malformed"
    _, flags, _, answers, *_ = _HEADER.unpack_from(answer)
    rcode = flags & 0xF
    if rcode == 0 and not answers:
        return "no_data"
    return RCODES.get(rcode, f"RCODE{rcode}")


def is_within(name: str, names: list[str]) -> bool:
    """Whether a name is one of these or below one."""
    wanted = [one.rstrip(".").lower() for one in names]
    return any(name == one or name.endswith(f".{one}") for one in wanted)
