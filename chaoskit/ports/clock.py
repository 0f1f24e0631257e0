"""Time comes in through the door."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The real one, or a fake in tests."""

    def monotonic_ns(self) -> int: ...

    def wall_ns(self) -> int: ...

    def sleep(self, seconds: float) -> None:
        """Returns early only by raising (an interrupt)."""
