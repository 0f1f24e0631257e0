"""Using a client type as a probe does: attempts are cancelled at the deadline, and nothing may be left behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from chaoskit.clients.catalogue import open_client
from chaoskit.ports.client import Answer, ClientConfig, ClientType


def use(given: ClientConfig, work: Callable[[ClientType], Coroutine[Any, Any, Any]], *, opened: bool = True) -> Any:
    """Open a client, do `work` with it, close it; no task of it may be left in the loop."""

    async def main() -> Any:
        client = open_client(given)
        if opened:
            await client.open()
        try:
            return await work(client)
        finally:
            await client.close()
            await asyncio.sleep(0.1)
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            assert left == []

    return asyncio.run(main())


async def attempt(client: ClientType, given: ClientConfig, seq: int = 0) -> Answer:
    """One attempt, cancelled at W; it must be back at once."""
    task = asyncio.ensure_future(client.attempt(token(given, seq)))
    timer = asyncio.get_running_loop().call_later(given.deadline_ns / 1e9, task.cancel)
    began = time.monotonic()
    answer = await task
    timer.cancel()
    assert time.monotonic() - began < given.deadline_ns / 1e9 + 0.5
    return answer


def token(given: ClientConfig, seq: int) -> str:
    return f"{given.run_id}.{given.client}.{given.trial}.{seq}"


def one_attempt(given: ClientConfig, *, opened: bool = True) -> Answer:
    found: Answer = use(given, lambda client: attempt(client, given), opened=opened)
    return found
