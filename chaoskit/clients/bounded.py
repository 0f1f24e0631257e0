"""Waiting for what a client type does, with a bound that holds even when it ignores being cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_LET_GO_S = 0.5


async def result_or_error(work: Coroutine[Any, Any, T], within_s: float) -> T | BaseException:
    """What `work` returned or raised; TimeoutError where it did neither `within_s`. Being cancelled itself, it cancels `work`."""
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=within_s)
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=_LET_GO_S)
            return TimeoutError(f"no end within {within_s:g} s")
    except asyncio.CancelledError:
        task.cancel()
        raise
    if task.cancelled():
        return TimeoutError("cancelled")
    error = task.exception()
    return task.result() if error is None else error


async def error_of(work: Coroutine[Any, Any, None], within_s: float) -> BaseException | None:
    """What `work` raised, or TimeoutError; None where it came to its end."""
    found = await result_or_error(work, within_s)
    return found if isinstance(found, BaseException) else None
