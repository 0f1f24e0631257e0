"""FUSE messages, byte for byte as the kernel's header has them."""

from __future__ import annotations

import struct

import pytest

from chaoskit.linux import fuse


def message(opcode: int, body: bytes, unique: int = 7, node: int = fuse.FILE) -> memoryview:
    return memoryview(struct.pack("=IIQQIIIHH", 40 + len(body), opcode, unique, node, 0, 0, 1, 0, 0) + body)


def test_a_write_is_read_with_its_data_and_nothing_of_an_older_message() -> None:
    body = struct.pack("=QQIIQII", 1, 8192, 3, 0, 0, 0, 0) + b"abc"
    request = fuse.request(memoryview(bytes(message(fuse.WRITE, body)) + b"older"))
    assert (request.opcode, request.unique, request.node) == (fuse.WRITE, 7, fuse.FILE)
    asked = fuse.transfer(request.body)
    assert (asked.offset, asked.size, bytes(asked.data)) == (8192, 3, b"abc")


def test_what_is_not_whole_is_refused() -> None:
    with pytest.raises(ValueError, match="10 bytes"):
        fuse.request(memoryview(bytes(10)))


def test_answers() -> None:
    assert fuse.answer(9, b"data") == struct.pack("=IiQ", 20, 0, 9) + b"data"
    assert fuse.answer(9, b"data", error=5) == struct.pack("=IiQ", 16, -5, 9)
    assert len(fuse.init(memoryview(struct.pack("=IIII", 7, 41, 1 << 17, 0xFFFFFFFF) + bytes(48)))) == 64
    major, minor, _, flags = struct.unpack_from("=IIII", fuse.init(memoryview(struct.pack("=IIII", 7, 28, 0, 1) + bytes(48))))
    assert (major, minor, flags) == (7, 28, 1), "no newer than the kernel, and nothing it does not offer"
    assert len(fuse.entry(4096)) == 128
    assert len(fuse.attributes(fuse.FILE, 4096)) == 104
    assert len(fuse.opened()) == 16
    assert len(fuse.written(1)) == 8
    assert len(fuse.statistics(4096)) == 80


def test_the_file_has_its_size_and_the_root_is_a_directory() -> None:
    _, _, _, node, size, blocks = struct.unpack_from("=QIIQQQ", fuse.attributes(fuse.FILE, 1 << 20))
    assert (node, size, blocks) == (fuse.FILE, 1 << 20, 2048)
    (mode,) = struct.unpack_from("=I", fuse.attributes(fuse.ROOT, 1 << 20), 16 + 60)
    assert mode & 0o170000 == 0o040000
