"""An asyncio event loop whose timers are accurate to tens of microseconds.

Stock asyncio rounds every timer up to the next millisecond, because epoll_wait counts in milliseconds. Here a timerfd is armed
for the exact instant and waited for together with the sockets, so that everything built on the loop's timers is accurate.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import selectors
import time

_CLOCK_MONOTONIC = 1
_TFD_TIMER_ABSTIME = 1
_NS = 1_000_000_000


class _Timespec(ctypes.Structure):
    _fields_ = [("tv_sec", ctypes.c_long), ("tv_nsec", ctypes.c_long)]


class _Itimerspec(ctypes.Structure):
    _fields_ = [("it_interval", _Timespec), ("it_value", _Timespec)]


_libc = ctypes.CDLL(None, use_errno=True)
_libc.timerfd_settime.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.POINTER(_Itimerspec), ctypes.c_void_p)


class TimerDescriptor:
    """A timerfd on CLOCK_MONOTONIC: readable from the instant on for which it is armed, until it is armed again or read."""

    def __init__(self) -> None:
        """OSError where the kernel has none."""
        # os.timerfd_create came with Python 3.13 only
        self.descriptor = int(_libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC))
        if self.descriptor < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_create: {os.strerror(number)}")
        self._spec = _Itimerspec()
        self._value = self._spec.it_value
        self._pointer = ctypes.byref(self._spec)

    def arm(self, at_ns: int) -> None:
        """For an instant, also one that has passed; whatever it was armed for before is forgotten."""
        value = self._value
        value.tv_sec, value.tv_nsec = divmod(at_ns, _NS)
        if _libc.timerfd_settime(self.descriptor, _TFD_TIMER_ABSTIME, self._pointer, None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, f"timerfd_settime: {os.strerror(number)}")

    def close(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


class TimerSelector(selectors.EpollSelector):
    """An epoll selector that waits to the nanosecond asked for, not to the next millisecond. OSError where timerfd is missing."""

    def __init__(self) -> None:
        super().__init__()
        self._timer = TimerDescriptor()
        self._timer_key = self.register(self._timer.descriptor, selectors.EVENT_READ)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """As EpollSelector.select; `timeout` in seconds."""
        if timeout is not None and timeout > 0:
            self._timer.arm(time.monotonic_ns() + int(timeout * _NS))
            timeout = None
        events = super().select(timeout)
        for index, (key, _) in enumerate(events):
            if key is self._timer_key:
                del events[index]
                with contextlib.suppress(BlockingIOError):  # re-armed by another call meanwhile
                    os.read(self._timer.descriptor, 8)
                break
        return events

    def close(self) -> None:
        super().close()
        self._timer.close()


def accurate_event_loop() -> asyncio.SelectorEventLoop:
    """A new event loop with accurate timers. Its `time()` is CLOCK_MONOTONIC in seconds."""
    return asyncio.SelectorEventLoop(TimerSelector())
