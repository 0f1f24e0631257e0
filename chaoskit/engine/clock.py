"""The real clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime

from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Backend, KeepsTime


class SystemClock:
    """CLOCK_MONOTONIC and the wall clock of this machine."""

    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(max(0.0, seconds))


def clock_of(backend: Backend) -> Clock:
    """The clock that a backend's labs live by: this machine's, unless it keeps its own."""
    return backend.clock if isinstance(backend, KeepsTime) else SystemClock()


def iso_utc(wall_ns: int) -> str:
    """ISO 8601 UTC with microseconds, such as 2026-01-31T12:00:00.000000Z."""
    return datetime.fromtimestamp(wall_ns / 1e9, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
