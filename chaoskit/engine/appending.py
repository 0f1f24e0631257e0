"""Appending whole lines to a file that must stay readable whatever happens: a full disk, a kill in the middle."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

RESERVE_FILE = ".reserve"
RESERVE_BYTES = 2 << 20
LOCK_WAIT_S, LOCK_RETRY_S = 0.2, 0.001


def keep_reserve(directory: Path) -> None:
    """Set space aside, so that the end of a run can be written down on a disk that filled up. OSError where there is none."""
    handle = os.open(directory / RESERVE_FILE, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(handle, 0, RESERVE_BYTES)
    finally:
        os.close(handle)


def use_reserve(directory: Path) -> bool:
    """Give the space back; whether there was any."""
    try:
        (directory / RESERVE_FILE).unlink()
    except OSError:
        return False
    return True


def append_line(path: Path, line: bytes, *, sync: bool = False) -> None:
    """Append `line` and its newline, all or nothing; `sync`: on the disk before this returns. OSError where it could not be kept.

    What a kill left of an earlier line is cut off first: nothing was done on its strength. A disk that fills up half-way through
    a line (a short write is no error to the kernel) leaves the file as it was. Several processes may append at once.
    """
    handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        _take_turns(handle)
        end = _end_of_last_line(handle)
        os.ftruncate(handle, end)
        rest = memoryview(line + b"\n")
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
            if sync:
                os.fsync(handle)
        except OSError:
            os.ftruncate(handle, end)
            raise
    finally:
        os.close(handle)


def _take_turns(handle: int) -> None:
    """Keep other writers out while a line is written; closing the handle lets them in.

    Waits shortly only: whoever heals must not be kept waiting by a writer that was stopped in the middle.
    """
    until = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= until:
                return
            time.sleep(LOCK_RETRY_S)
        except OSError:
            return  # a file system without locks: then there is nobody to wait for


def _end_of_last_line(handle: int) -> int:
    """Where the last whole line ends."""
    end = os.fstat(handle).st_size
    if end == 0 or os.pread(handle, 1, end - 1) == b"\n":
        return end
    while end > 0:
        start = max(0, end - 65536)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
