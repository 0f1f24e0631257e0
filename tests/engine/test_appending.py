"""Whole lines or nothing, on a disk that is full and after a kill in the middle of a line."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import time
from pathlib import Path

import pytest

from chaoskit.engine.appending import append_line, keep_reserve, use_reserve


def test_lines_follow_each_other(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    for line in (b"one", b"two", b"three"):
        append_line(file, line, sync=True)
    assert file.read_bytes() == b"one\ntwo\nthree\n"


@pytest.mark.parametrize("torn", [b"", b"{", b"x" * 200_000])
@pytest.mark.parametrize("before", [b"", b"one\n"])
def test_what_a_kill_left_of_a_line_is_cut_off(tmp_path: Path, before: bytes, torn: bytes) -> None:
    file = tmp_path / "lines"
    file.write_bytes(before + torn)
    append_line(file, b"two")
    assert file.read_bytes() == before + b"two\n"


def test_a_short_write_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel writes what fits and says so; only the next write fails."""
    file = tmp_path / "lines"
    append_line(file, b"one")
    left = [3]
    write = os.write

    def nearly_full(handle: int, data: bytes) -> int:
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        count, left[0] = min(len(data), left[0]), 0
        return write(handle, bytes(data)[:count])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", nearly_full)
        with pytest.raises(OSError, match="No space left"):
            append_line(file, b"a line that is longer than three bytes")
    assert file.read_bytes() == b"one\n"


def test_the_reserve_is_there_once(tmp_path: Path) -> None:
    keep_reserve(tmp_path)
    assert sum(p.stat().st_blocks for p in tmp_path.iterdir()) * 512 >= 1 << 20
    assert use_reserve(tmp_path)
    assert not use_reserve(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _append_many(path: str, writer: int) -> None:
    for number in range(300):
        append_line(Path(path), f"{writer} {number} {'x' * (number * 37 % 9000)}".encode())


def test_several_processes_append_at_once_and_no_line_is_lost_or_torn(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    writers = [multiprocessing.get_context("spawn").Process(target=_append_many, args=(str(file), n)) for n in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    lines = [line.split(" ") for line in file.read_text().splitlines()]
    assert sorted((int(w), int(n)) for w, n, _ in lines) == [(w, n) for w in range(4) for n in range(300)]
    assert all(len(text) == int(n) * 37 % 9000 for _, n, text in lines)


def test_a_writer_that_was_stopped_in_the_middle_keeps_nobody_waiting(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    append_line(file, b"one")
    with file.open() as stopped:
        fcntl.flock(stopped, fcntl.LOCK_EX)
        began = time.monotonic()
        append_line(file, b"two")
        assert time.monotonic() - began < 2
    assert file.read_bytes() == b"one\ntwo\n"
