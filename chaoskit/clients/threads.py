"""Threads for work that may block for ever, such as an fsync on a disk that hangs: nobody waits for them at the end."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from chaoskit.agents.realtime import tune_thread

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class _Work:
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[Any]
    do: Callable[[], Any]


class DaemonThreads:
    """At most `count` threads, made when they are needed. The standard library's executor joins its threads at exit."""

    def __init__(self, count: int, name: str) -> None:
        self._count = count
        self._name = name
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._threads = 0
        self._busy = 0

    async def run(self, do: Callable[[], T]) -> T:
        """What `do` returns or raises, in a thread. Being cancelled before a thread is free, it is never run."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._busy += 1
        future.add_done_callback(self._one_less)
        if self._busy > self._threads and self._threads < self._count:
            self._threads += 1
            threading.Thread(target=self._serve, name=f"{self._name}-{self._threads}", daemon=True).start()
        self._work.put(_Work(loop, future, do))
        return await future

    def close(self) -> None:
        """Let idle threads end."""
        for _ in range(self._threads):
            self._work.put(None)

    def _one_less(self, future: asyncio.Future[Any]) -> None:
        self._busy -= 1

    def _serve(self) -> None:
        tune_thread()
        while (work := self._work.get()) is not None:
            if work.future.cancelled():
                continue
            result: Any = None
            failure: BaseException | None = None
            try:
                result = work.do()
            except BaseException as error:  # noqa: BLE001 - handed to whoever awaits it
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended meanwhile: nobody awaits it
                work.loop.call_soon_threadsafe(_settle, work.future, result, failure)


def _settle(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.done():
        return
    if isinstance(failure, (asyncio.CancelledError, StopIteration)):
        future.cancel()
    elif failure is not None:
        future.set_exception(failure)
    else:
        future.set_result(result)
