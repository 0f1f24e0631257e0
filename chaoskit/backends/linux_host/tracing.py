"""Standing a process still: every thread of it held by ptrace(2), looked at, and let go as it was. Standard library only.

Only for a process of its own with one thread: who traces must be who lets go, and when it ends the kernel lets go of all.
x86-64, like what it is for.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.restype = ctypes.c_long
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_POKEDATA, _SINGLESTEP, _GETREGS, _DETACH, _SEIZE, _INTERRUPT = 5, 9, 12, 17, 0x4206, 0x4207
_EVENT_STOP = 128
_WALL = 0x40000000
_REGISTERS = struct.Struct("<27Q")
_RIP, _CS, _RSP, _SS = 16, 17, 19, 20
_STACK_BYTES = 128 << 10
_PAGE = 4096
_UCONTEXT_TO_HANDLERS_STACK, _UCONTEXT_TO_SEGMENTS = 16, 184
"""Where in a struct ucontext its uc_stack begins, and the four segment registers."""
_MOST_STEPS = 200
_FIRST_QUEUED = 32
"""Signals from here on do not merge with one like them that waits."""


@dataclass
class Thread:
    """A thread that stands still, and where."""

    number: int
    withheld: int
    """A signal on its way to it, delivered when it is let go; 0 for none."""
    instruction: int = 0
    stack: int = 0
    code_segment: int = 0
    stack_segment: int = 0

    def look(self) -> None:
        registers = ctypes.create_string_buffer(_REGISTERS.size)
        _ptrace(_GETREGS, self.number, 0, ctypes.addressof(registers))
        words = _REGISTERS.unpack(registers.raw)
        self.instruction, self.stack, self.code_segment, self.stack_segment = (words[at] for at in (_RIP, _RSP, _CS, _SS))

    def step(self) -> None:
        """Let it execute one instruction. A first signal that comes in its way is withheld; with a second one, another handler
        begins. ProcessLookupError where it ends."""
        deliver = 0
        while True:
            _ptrace(_SINGLESTEP, self.number, 0, deliver)
            _, status = os.waitpid(self.number, _WALL)
            if not os.WIFSTOPPED(status):
                raise ProcessLookupError(f"thread {self.number} has ended")
            arrived = os.WSTOPSIG(status)
            if status >> 16 != 0 or arrived == signal.SIGTRAP:
                break
            if self.withheld == 0 or (self.withheld == arrived < _FIRST_QUEUED):  # once more is no more, as while it is blocked
                self.withheld = arrived
            else:
                deliver = arrived
        self.look()


def _ptrace(request: int, thread: int, address: int = 0, data: int = 0) -> None:
    ctypes.set_errno(0)
    if _libc.ptrace(request, thread, address, data) == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"ptrace({request:#x}) of {thread}: {os.strerror(code)}")


@contextlib.contextmanager
def still(pid: int, within_s: float) -> Iterator[tuple[Thread, ...]]:
    """All threads of a process stand still meanwhile. ProcessLookupError where it has ended; Refused where it may not be
    traced, or a thread does not stop in time."""
    held: dict[int, Thread] = {}
    try:
        deadline = time.monotonic() + within_s
        while new := [thread for thread in _threads(pid) if thread not in held]:
            asked = [thread for thread in new if _asked_to_stop(thread)]
            for thread in asked:
                withheld = _await_stop(pid, thread, deadline)
                if withheld is not None:
                    held[thread] = Thread(thread, withheld)
            if not asked:
                break
        if not held:
            raise ProcessLookupError(f"process {pid} has ended")
        for standing in held.values():
            standing.look()
        yield tuple(held.values())
    finally:
        for standing in held.values():
            with contextlib.suppress(ProcessLookupError):  # killed while it stood
                _ptrace(_DETACH, standing.number, 0, standing.withheld)


def _threads(pid: int) -> list[int]:
    """Those that can still run."""
    found = []
    try:
        for entry in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                with open(f"/proc/{pid}/task/{entry}/stat", encoding="utf-8", errors="replace") as file:
                    if procfs.stat(file.read()).state not in "ZX":
                        found.append(int(entry))
    except FileNotFoundError:
        return []
    return found


def _asked_to_stop(thread: int) -> bool:
    try:
        _ptrace(_SEIZE, thread)
        _ptrace(_INTERRUPT, thread)
    except ProcessLookupError:
        return False
    except PermissionError as error:
        with contextlib.suppress(FileNotFoundError):
            with open(f"/proc/{thread}/status", encoding="utf-8", errors="replace") as file:
                if "\nTracerPid:\t0\n" not in (status := file.read()) and "\nState:\tZ" not in status:
                    raise Refused(f"process {thread} is traced already, by a debugger perhaps") from error
                if "\nState:\tZ" in status or "\nState:\tX" in status:
                    return False
        raise Refused(f"process {thread} may not be traced: {error}") from error
    return True


def _await_stop(pid: int, thread: int, deadline: float) -> int | None:
    """The signal that is withheld from it, or 0; None where it has ended."""
    pause_s = 0.0
    while True:
        done, status = os.waitpid(thread, _WALL | os.WNOHANG)
        if done:
            if not os.WIFSTOPPED(status):
                return None
            return 0 if status >> 16 == _EVENT_STOP else os.WSTOPSIG(status)
        if time.monotonic() > deadline:
            raise Refused(f"thread {thread} of process {pid} does not stand still: it waits in the kernel, for a disk perhaps")
        time.sleep(pause_s)
        pause_s = min(pause_s + 0.00005, 0.002)


def memory(pid: int, address: int, size: int) -> bytes:
    """A piece of a process's memory; less where it is not all mapped."""
    read = bytearray()
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as file:
        while len(read) < size:
            here = address + len(read)
            try:
                file.seek(here)
                part = file.read(min(size - len(read), _PAGE - here % _PAGE))
            except OSError:  # this page is not mapped
                break
            if not part:
                break
            read += part
    return bytes(read)


def led_out(thread: Thread, unsafe: Callable[[int], bool]) -> bool:
    """Let a thread that stands still go on, instruction by instruction, until it is out of there; False where it is not soon."""
    for _ in range(_MOST_STEPS):
        if not unsafe(thread.instruction):
            return True
        thread.step()
    return False


def returns_into(pid: int, thread: Thread, unsafe: Callable[[int], bool]) -> bool:
    """Whether a signal handler that runs in this thread will return to such a place."""
    return frame_returns_into(memory(pid, thread.stack, _STACK_BYTES), thread, unsafe)


def frame_returns_into(stack: bytes, thread: Thread, unsafe: Callable[[int], bool]) -> bool:
    """The same, of the memory from the thread's stack pointer on.

    The kernel leaves a struct ucontext there: the stack for handlers that the thread had, and the interrupted instruction two
    words before the segment registers. One that lies on a stack for handlers is a leftover when the thread does not run on that
    stack: behind a Go routine's stack lie those of others, and what was left on them never goes away.
    """
    segments = struct.pack("<HHHH", thread.code_segment & 0xFFFF, 0, 0, thread.stack_segment & 0xFFFF)
    at = stack.find(segments)
    while at >= 0:
        context = at - _UCONTEXT_TO_SEGMENTS
        if context >= 0 and (thread.stack + at) % 8 == 0 and unsafe(int(struct.unpack_from("<Q", stack, at - 16)[0])):
            first, size = struct.unpack_from("<Q8xQ", stack, context + _UCONTEXT_TO_HANDLERS_STACK)
            on_it = first <= thread.stack + context < first + size
            if not on_it or first <= thread.stack < first + size:
                return True
        at = stack.find(segments, at + 1)
    return False


def overwrite(thread: int, address: int, now: bytes, wanted: bytes) -> None:
    """Make memory at `address` (a multiple of 8) of a thread that stands still `wanted` where it differs from `now`, though it
    may be read only: the process gets its own copy of the page."""
    for at in range(0, len(now), 8):
        if now[at : at + 8] != wanted[at : at + 8]:
            _ptrace(_POKEDATA, thread, address + at, int.from_bytes(wanted[at : at + 8], "little"))
