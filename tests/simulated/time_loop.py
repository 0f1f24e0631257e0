"""An event loop whose time passes only while everybody waits: hours of retries in milliseconds."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any


class _NoWaiting(selectors.SelectSelector):
    """Instead of waiting, the loop's clock is put forward."""

    def __init__(self, loop: FakeTimeLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits for something that never comes")
        self._loop.now_ns += round(max(timeout, 0.0) * 1e9)
        return super().select(0)


class FakeTimeLoop(asyncio.SelectorEventLoop):
    """Begins at `now_ns`; `clock` is its CLOCK_MONOTONIC."""

    def __init__(self, now_ns: int = 1_000_000_000_000) -> None:
        self.now_ns = now_ns
        super().__init__(_NoWaiting(self))

    def time(self) -> float:
        return self.now_ns / 1e9

    def clock(self) -> int:
        return self.now_ns

    def finish(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What `work` returns, and the loop closed."""
        try:
            return self.run_until_complete(work)
        finally:
            self.close()
