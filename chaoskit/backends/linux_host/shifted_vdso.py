"""Wall clocks of processes, made false and true again by rewriting their vDSO. The functions run in a process of their own.

A process's vDSO page becomes its own copy with the first write, and its forks inherit it; exec gives a new one. What it was
before is no secret: every process of this kernel has the same, and so has this one. Standard library only.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from chaoskit.backends.linux_host import tracing
from chaoskit.backends.linux_host.processes import Json
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs, vdso

_STILL_WITHIN_S = 2.0
_ATTEMPTS = 200
_PAUSE_S, _LONGEST_PAUSE_S = 0.001, 0.02
"""Between two attempts, longer each time: on a busy machine a thread has to get its turn to move on."""
_PASSES = 50
_WINDOW_S = 0.25
_TRIES = 40
_REALTIME, _MONOTONIC = 0, 1


@dataclass(frozen=True)
class Target:
    """A process as the holder numbers it."""

    pid: int
    start_ticks: int

    def lives(self) -> bool:
        try:
            now = procfs.stat(Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace"))
        except (OSError, ValueError):
            return False
        return now.start_ticks == self.start_ticks and now.state not in "ZX"


@cache
def true_image() -> bytes:
    """The vDSO of this kernel. Refused where clocks cannot be shifted here."""
    machine = os.uname().machine
    if machine != "x86_64":
        raise Refused(f"only x86-64 programs' clocks can be shifted so far, and this is {machine}")
    found = _image(os.getpid())
    if found is None:
        raise Refused("this kernel maps no vDSO (vdso=0): every program asks the kernel itself")
    try:
        vdso.shifted(found[1], vdso.Shift(b"\0" * 8, 0, 0, 0))
    except vdso.VdsoUnknown as error:
        raise Refused(f"this kernel's vDSO: {error}") from error
    return found[1]


def _image(pid: int) -> tuple[int, bytes] | None:
    """(address, bytes) of a process's vDSO; None where it has none, or is gone."""
    try:
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
        found = vdso.mapped(maps)
        return None if found is None else (found[0], tracing.memory(pid, found[0], found[1] - found[0]))
    except (FileNotFoundError, ProcessLookupError):
        return None


def shift(targets: Iterable[Target], tag: str, offset_ns: int, rate_ppb: int, since_ns: int) -> Json:
    """Shift the wall clocks of these processes; one that is gone is passed over, one that is so already left alone."""
    mark = vdso.mark_of(tag)
    wanted = vdso.shifted(true_image(), vdso.Shift(mark, offset_ns, rate_ppb, since_ns))

    def made(now: bytes) -> bytes | None:
        there = vdso.shift_in(now)
        if there is not None and (there.mark, there.offset_ns, there.rate_ppb) == (mark, offset_ns, rate_ppb):
            return None
        if there is not None and there.mark != mark:
            raise Refused("its wall clock is shifted already, by another fault")
        if there is None and now != true_image():
            raise Refused("its vDSO is not the kernel's own: somebody else has changed it, or it is another kind of program")
        return wanted

    return _told(*_rewritten(targets, made), "already so or gone")


def restore(candidates: Callable[[], Iterable[Target]], tag: str) -> Json:
    """Give every candidate that the tag's shift reached, itself or by a fork, the kernel's own vDSO again."""
    mark = vdso.mark_of(tag)

    def made(now: bytes) -> bytes | None:
        there = vdso.shift_in(now)
        return true_image() if there is not None and there.mark == mark else None

    total, longest_s = 0, 0.0
    for _ in range(_PASSES):
        done, took_s = _rewritten((c for c in candidates() if carries(c, mark)), made)
        if not done and not any(carries(c, mark) for c in candidates()):
            return _told(total, longest_s, "no other had it")
        total, longest_s = total + done, max(longest_s, took_s)
    raise Refused(f"after {_PASSES} rounds there are still processes with a shifted clock: they fork faster than they are found")


def carries(target: Target, mark: bytes) -> bool:
    found = _image(target.pid)
    there = None if found is None else vdso.shift_in(found[1])
    return there is not None and there.mark == mark


def _told(done: int, longest_s: float, rest: str) -> Json:
    return {"output": f"{done} processes, none stood still for longer than {longest_s * 1e3:.1f} ms" if done else rest}


def _rewritten(targets: Iterable[Target], made: Callable[[bytes], bytes | None]) -> tuple[int, float]:
    """(how many were rewritten, how long the slowest stood still). Every target is tried; Refused with all that failed."""
    done, longest_s, failed = 0, 0.0, []
    for target in targets:
        try:
            took_s = _rewrite(target, made)
        except Refused as error:
            failed.append(f"process {target.pid}: {error}")
            continue
        if took_s is not None:
            done, longest_s = done + 1, max(longest_s, took_s)
    if failed:
        raise Refused("; ".join(failed))
    return done, longest_s


def _rewrite(target: Target, made: Callable[[bytes], bytes | None]) -> float | None:
    """Replace a process's vDSO by what `made` makes of it; for how long it stood still, None where nothing was to be done.

    No thread may stand in what changes: it is led out. Nor may one come back to it from a signal handler: all are let go
    and stopped again then.
    """
    places = vdso.unsafe(true_image())
    for attempt in range(1, _ATTEMPTS + 1):
        if not target.lives():
            return None
        began = time.monotonic()
        try:
            with tracing.still(target.pid, _STILL_WITHIN_S) as threads:
                found = _image(target.pid)
                if found is None or not target.lives():
                    return None
                address, now = found
                wanted = made(now)
                if wanted is None:
                    return None

                def unsafe(at: int, address: int = address) -> bool:
                    return any(first <= at - address < end for first, end in places)

                out = all([tracing.led_out(thread, unsafe) for thread in threads])
                if out and not any(tracing.returns_into(target.pid, thread, unsafe) for thread in threads):
                    tracing.overwrite(threads[0].number, address, now, wanted)
                    if tracing.memory(target.pid, address, len(wanted)) != wanted:
                        raise Refused("what was written to its vDSO is not there")
                    return time.monotonic() - began
        except ProcessLookupError:
            return None
        time.sleep(min(attempt * _PAUSE_S, _LONGEST_PAUSE_S))
    raise Refused(f"in {_ATTEMPTS} attempts there was always a thread inside the clock functions")


# ---- what a process's clock shows


def judged(targets: list[Target], everybody: list[Target], tag: str, offset_ns: int, rate_ppb: int) -> Json:
    """Reading of a ClockQuery: see there."""
    mark = vdso.mark_of(tag)
    images = {t: found[1] for t in targets if t.lives() and (found := _image(t.pid)) is not None}
    of_ours = [t for t in everybody if carries(t, mark)]
    if not images:
        return {"value": "partly" if of_ours else "gone"}
    false = [image for image in images.values() if image != true_image()]
    if not false:
        return {"value": "partly" if of_ours else "true", "number": 0.0}
    shifts = {vdso.shift_in(image) for image in false}
    if len(false) < len(images) or None in shifts or len(set(false)) > 1:
        return {"value": "partly" if mark in {s.mark for s in shifts if s is not None} else "foreign"}
    first = next(iter(shifts))
    assert first is not None
    if first.mark != mark:
        return {"value": "foreign"}
    as_asked, number = _felt(false[0], offset_ns, rate_ppb)
    return {"value": "as_asked" if as_asked else "other", "number": number}


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _Copy:
    """The clock functions of an image, run here: the very code that the process runs."""

    def __init__(self, image: bytes) -> None:
        self._pages = mmap.mmap(-1, len(image), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._pages[:] = image
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        known = vdso.functions(image)
        self._gettime = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_void_p)(address + known["__vdso_clock_gettime"][0])
        self._day = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(address + known["__vdso_gettimeofday"][0])
        self._time = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p)(address + known["__vdso_time"][0])
        self._spec = _TimeSpec()
        self._where = ctypes.addressof(self._spec)

    def gettime_ns(self, clock: int) -> int:
        if self._gettime(clock, self._where) != 0:
            raise Refused(f"the shifted clock_gettime({clock}) failed")
        return int(self._spec.seconds * vdso.NS + self._spec.nanoseconds)

    def gettimeofday_ns(self) -> int:
        if self._day(self._where, None) != 0:
            raise Refused("the shifted gettimeofday failed")
        return int(self._spec.seconds * vdso.NS + self._spec.nanoseconds * 1000)

    def time_s(self) -> int:
        return int(self._time(None))


def _felt(image: bytes, offset_ns: int, rate_ppb: int) -> tuple[bool, float]:
    """(whether the clock is off as asked, seconds off; or with a rate, how much faster it runs in ppm).

    Each reading lies between two of the true clock, so the bounds are exact however this process is scheduled.
    """
    copy, expected = _Copy(image), vdso.shift_in(image)
    assert expected is not None
    low, felt, high = _bracketed(copy)
    agree = abs(copy.gettimeofday_ns() - copy.gettime_ns(_REALTIME)) < vdso.NS and abs(copy.time_s() - felt // vdso.NS) <= 1
    before, monotonic, after = time.monotonic_ns(), copy.gettime_ns(_MONOTONIC), time.monotonic_ns()
    agree = agree and before <= monotonic <= after and (expected.offset_ns, expected.rate_ppb) == (offset_ns, rate_ppb)
    if rate_ppb == 0:
        return agree and low <= felt - offset_ns <= high, (felt - (low + high) // 2) / vdso.NS
    time.sleep(_WINDOW_S)
    later_low, later, later_high = _bracketed(copy)
    slow, fast = ((later - felt) / (later_high - low) - 1) * 1e6, ((later - felt) / (later_low - high) - 1) * 1e6
    asked_ppm = rate_ppb / 1e3
    sharp = fast - slow <= max(5.0, abs(asked_ppm) * 0.1)
    return agree and sharp and slow <= asked_ppm <= fast, (slow + fast) / 2


def _bracketed(copy: _Copy) -> tuple[int, int, int]:
    """(true, shifted, true): the tightest of several, in nanoseconds since 1970."""
    found = []
    for _ in range(_TRIES):
        low = time.clock_gettime_ns(time.CLOCK_REALTIME)
        felt = copy.gettime_ns(_REALTIME)
        found.append((low, felt, time.clock_gettime_ns(time.CLOCK_REALTIME)))
    return min(found, key=lambda seen: seen[2] - seen[0])
