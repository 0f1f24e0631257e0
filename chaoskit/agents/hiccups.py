"""A watch for stalls of this process itself: what it did not do in time must not be blamed on the service under test."""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable

from chaoskit.agents.realtime import tune_thread

_SLEEP_NS = 1_000_000
_NOTED_NS = 2_000_000
LEAST_BEATS_NS = 2_000_000
_REST_NS = 20_000_000
_KEPT_NS = 60_000_000_000


class HiccupWatch:
    """A thread that sleeps 1 ms again and again and notes each time it woke more than 2 ms late. Instants CLOCK_MONOTONIC ns.

    Where something else in the process wakes up as often, it may say so (`beat`), and the thread looks every 20 ms only.
    """

    def __init__(self, serious_ns: int, on_stall: Callable[[int, int], None]) -> None:
        """`on_stall(t_ns, stall_ns)` is called from the thread for each stall. Only those beyond `serious_ns` taint samples."""
        self._serious_ns = serious_ns
        self._on_stall = on_stall
        self._ends: list[int] = []
        self._begins: list[int] = []
        self._lock = threading.Lock()
        self._ending = False
        self._beat_ns = 0
        self.seen_until_ns = time.monotonic_ns()
        """Up to here every stall is known."""
        self._thread = threading.Thread(target=self._watch, name="hiccups", daemon=True)
        self._thread.start()

    def note(self, due_ns: int, stall_ns: int) -> None:
        """A stall that something else in the process noticed: it was due at `due_ns` and came `stall_ns` later."""
        self._on_stall(due_ns, stall_ns)
        if stall_ns <= self._serious_ns:
            return
        with self._lock:
            index = bisect.bisect(self._ends, due_ns + stall_ns)
            self._ends.insert(index, due_ns + stall_ns)
            self._begins.insert(index, due_ns)
            while self._ends and self._ends[-1] - self._ends[0] > _KEPT_NS:
                del self._ends[0], self._begins[0]

    def beat(self, due_ns: int, now_ns: int) -> None:
        """Something in the process that wakes up every `LEAST_BEATS_NS` or oftener woke up, and had been due at `due_ns`.

        While it does, its wakes tell what those of the watch's own thread would, which then rests: each wake of a thread costs
        as much as an attempt does.
        """
        if now_ns - due_ns > _NOTED_NS:
            self.note(due_ns, now_ns - due_ns)
        self.seen_until_ns = self._beat_ns = now_ns

    def stalled_between(self, begin_ns: int, end_ns: int) -> bool:
        """Whether a serious stall overlaps [begin_ns, end_ns]."""
        with self._lock:
            first = bisect.bisect_left(self._ends, begin_ns)
            return any(begin <= end_ns for begin in self._begins[first:])

    def close(self) -> None:
        self._ending = True
        self._thread.join(1.0)

    def _watch(self) -> None:
        tune_thread()
        while not self._ending:
            began = time.monotonic_ns()
            sleep_ns = _REST_NS if began - self._beat_ns < LEAST_BEATS_NS else _SLEEP_NS
            due = began + sleep_ns
            time.sleep(sleep_ns / 1e9)
            now = time.monotonic_ns()
            if now - due > _NOTED_NS:
                self.note(due, now - due)
            self.seen_until_ns = max(now, self._beat_ns)
