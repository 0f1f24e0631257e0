"""The kernel's FUSE messages, as far as one file of fixed size needs them (include/uapi/linux/fuse.h). Builders and parsers.

Standard library only.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

LOOKUP, FORGET, GETATTR, SETATTR = 1, 2, 3, 4
OPEN, READ, WRITE, STATFS, RELEASE, FSYNC = 14, 15, 16, 17, 18, 20
FLUSH, INIT, OPENDIR, RELEASEDIR, INTERRUPT, DESTROY, BATCH_FORGET = 25, 26, 27, 29, 36, 38, 42

ROOT, FILE = 1, 2
"""Node numbers: the only directory, and the only file in it."""
SILENT = frozenset((FORGET, BATCH_FORGET, INTERRUPT))
"""Requests that want no answer."""

MAX_WRITE_BYTES = 1 << 20
REQUEST_BYTES = MAX_WRITE_BYTES + 4096
"""A buffer that holds any request."""

_HEADER = struct.Struct("=IIQQIIII")
_ANSWER = struct.Struct("=IiQ")
_TRANSFER = struct.Struct("=QQIIQII")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_MAJOR, _MINOR = 7, 31
_ASYNC_READ, _BIG_WRITES, _ASYNC_DIRECT, _MAX_PAGES = 1 << 0, 1 << 5, 1 << 15, 1 << 22
_DIRECT_IO, _PARALLEL_DIRECT_WRITES = 1 << 0, 1 << 6
_CACHED_S = 3600
_DIRECTORY_MODE, _FILE_MODE = 0o040700, 0o100600


@dataclass(frozen=True, slots=True)
class Request:
    """One request of the kernel's."""

    opcode: int
    unique: int
    node: int
    body: memoryview


@dataclass(frozen=True, slots=True)
class Transfer:
    """What a READ or WRITE asks for, in bytes."""

    offset: int
    size: int
    data: memoryview


def request(message: memoryview) -> Request:
    """One message read from /dev/fuse. ValueError where it is not whole."""
    if len(message) < _HEADER.size:
        raise ValueError(f"a FUSE request of {len(message)} bytes")
    length, opcode, unique, node, *_ = _HEADER.unpack_from(message)
    return Request(opcode, unique, node, message[_HEADER.size : length])


def transfer(body: memoryview) -> Transfer:
    """The body of a READ, or of a WRITE with its data."""
    _, offset, size, *_ = _TRANSFER.unpack_from(body)
    return Transfer(offset, size, body[_TRANSFER.size : _TRANSFER.size + size])


def answer(unique: int, body: bytes = b"", error: int = 0) -> bytes:
    """`error`: an errno; the answer then has no body."""
    if error:
        return _ANSWER.pack(_ANSWER.size, -error, unique)
    return _ANSWER.pack(_ANSWER.size + len(body), 0, unique) + body


def init(body: memoryview) -> bytes:
    """What we take of what the kernel offers: many requests at once, and large ones."""
    _, minor, readahead, offered = struct.unpack_from("=IIII", body)
    flags = offered & (_ASYNC_READ | _BIG_WRITES | _ASYNC_DIRECT | _MAX_PAGES)
    pages = MAX_WRITE_BYTES // 4096
    head = struct.pack("=IIIIHHIIHH", _MAJOR, min(minor, _MINOR), readahead, flags, 128, 96, MAX_WRITE_BYTES, 1, pages, 0)
    return head.ljust(64, b"\0")


def attributes(node: int, size_bytes: int) -> bytes:
    """Answer to GETATTR."""
    return struct.pack("=QII", _CACHED_S, 0, 0) + _attributes(node, size_bytes)


def entry(size_bytes: int) -> bytes:
    """Answer to LOOKUP of the file."""
    return struct.pack("=QQQQII", FILE, 0, _CACHED_S, _CACHED_S, 0, 0) + _attributes(FILE, size_bytes)


def _attributes(node: int, size_bytes: int) -> bytes:
    size, mode, links = (size_bytes, _FILE_MODE, 1) if node == FILE else (0, _DIRECTORY_MODE, 2)
    return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, links, 0, 0, 0, 4096, 0)


def opened() -> bytes:
    """Answer to OPEN: nothing of the file is cached by the kernel, and writes need not wait for each other."""
    return struct.pack("=QIi", 0, _DIRECT_IO | _PARALLEL_DIRECT_WRITES, 0)


def written(size: int) -> bytes:
    """Answer to WRITE."""
    return struct.pack("=II", size, 0)


def statistics(size_bytes: int) -> bytes:
    """Answer to STATFS."""
    return struct.pack("=QQQQQIIII6I", size_bytes // 4096, 0, 0, 1, 0, 4096, 255, 4096, 0, *(0,) * 6)
