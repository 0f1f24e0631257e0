"""What the processes of a load do. They run in a node, forked from the lab's holder. Standard library only."""

from __future__ import annotations

import errno
import mmap
import os
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from chaoskit.backends.linux_host import syscalls

BEGUN = "begun"
_PERIOD_S = 0.01
_STEP_BYTES = 1 << 20


def begin(body: Callable[[], int]) -> NoReturn:
    """Run the load; its first word on standard output is `BEGUN`, or why it cannot."""
    code = 1
    try:
        syscalls.name_process("chaoskit-load")
        os.setsid()
        os.chdir("/")
        code = body()
    except OSError as error:
        os.write(1, str(error).encode())
    finally:
        os._exit(code)


def _say_begun() -> None:
    os.write(1, BEGUN.encode())
    null = os.open("/dev/null", os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


def _count(counted: mmap.mmap, at: int, value: int) -> None:
    counted[8 * at : 8 * at + 8] = value.to_bytes(8, "little")


def spin(counted: mmap.mmap, workers: int, share: float) -> int:
    """So many workers, each busy for this share of the time."""
    _say_begun()  # before any worker is there: each would keep the pipe open
    for at in range(workers):
        if os.fork() == 0:
            syscalls.die_with_parent()
            _work(counted, at, share)
    while True:
        signal.pause()


def _work(counted: mmap.mmap, at: int, share: float) -> NoReturn:
    while True:
        began = time.monotonic()
        while time.monotonic() - began < _PERIOD_S * share:
            pass
        _count(counted, at, time.process_time_ns())
        if share < 1 and (rest := _PERIOD_S - (time.monotonic() - began)) > 0:
            time.sleep(rest)


def hold(counted: mmap.mmap, amount: int) -> int:
    """Have so much memory, every page of it touched."""
    taken = mmap.mmap(-1, amount, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    _say_begun()
    filling = b"\x5a" * _STEP_BYTES
    at = 0
    while at < amount:
        step = min(_STEP_BYTES, amount - at)
        taken[at : at + step] = filling[:step]
        at += step
        _count(counted, 0, at)
    while True:
        signal.pause()


def write(counted: mmap.mmap, mount: str, amount: int, chunk: int) -> int:
    """Write and flush a file of this size over and over. It has no name, so nothing of it stays."""
    seen = os.statvfs(mount)
    free = seen.f_bavail * seen.f_frsize
    if amount > free // 2:
        raise OSError(errno.ENOSPC, f"a file of {amount} bytes would take more than half of the {free} that are free in {mount}")
    fd = os.open(mount, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    _say_begun()
    filling = os.urandom(min(chunk, _STEP_BYTES))
    place = total = 0
    while True:
        if place + len(filling) > amount:
            place = 0
        total += os.pwrite(fd, filling, place)
        place += len(filling)
        if place % chunk < len(filling):
            os.fdatasync(fd)
        _count(counted, 0, total)
