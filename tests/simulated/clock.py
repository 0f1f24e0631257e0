"""A clock that only moves when somebody sleeps."""

from __future__ import annotations

from collections.abc import Callable

START_NS = 1_000_000_000_000
WALL_OFFSET_NS = 1_700_000_000_000_000_000


class FakeClock:
    """Starts at 1000 s. `before_step` functions see every 10 ms of the time that passes; one of them may raise."""

    def __init__(self) -> None:
        self._now_ns = START_NS
        self.on_step: list[Callable[[int], None]] = []

    def monotonic_ns(self) -> int:
        return self._now_ns

    def wall_ns(self) -> int:
        return WALL_OFFSET_NS + self._now_ns

    def sleep(self, seconds: float) -> None:
        end_ns = self._now_ns + round(max(seconds, 0.001) * 1e9)
        while self._now_ns < end_ns:
            self._now_ns = min(end_ns, self._now_ns + 10_000_000)
            for step in list(self.on_step):
                step(self._now_ns)
