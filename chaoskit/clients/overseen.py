"""Attempts by drivers that take their time to let go: at the deadline the answer leaves at once, clean-up goes on behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from chaoskit.model.history import Certainty, Outcome
from chaoskit.ports.client import Answer


@dataclass(slots=True)
class Use:
    """How far one attempt came. Instants CLOCK_MONOTONIC ns."""

    node: str = ""
    t_connected: int | None = None
    t_first_byte: int | None = None
    sent: bool = False
    """A byte of the operation may have left."""
    answered: bool = False
    """The caller was told what became of it: when that was `fail`, nothing may be sent any more."""

    def begin(self) -> None:
        """Call this right before the first byte of the operation may leave. CancelledError where it is too late for that.

        Cancelling alone is not enough: `asyncio.wait_for`, in which pools wait, swallows it before Python 3.12 when what it waits
        for comes at the same instant.
        """
        # In this order, and the overseer in the other: whoever runs in a thread is seen to have sent, or sees that it may not.
        self.sent = True
        if self.answered:
            raise asyncio.CancelledError

    def answer(self, outcome: Outcome, certainty: Certainty, error: str = "", *, term: str = "", value: str = "") -> Answer:
        """An answer with what is known of the way it went."""
        return Answer(
            outcome=outcome,
            certainty=certainty,
            t_connected=self.t_connected,
            t_first_byte=self.t_first_byte,
            node=self.node,
            term=term,
            value=value,
            error=error,
        )

    def broken(self, outcome: Outcome, error: str) -> Answer:
        """No answer came: `info` where something was sent, else `fail`, and then no node had a part in it."""
        if not self.sent:
            self.node = ""
        return self.answer(outcome, "info" if self.sent else "fail", error)


class Overseer:
    """Runs attempts, and answers for them when they are cancelled."""

    def __init__(self) -> None:
        self._leaving: set[asyncio.Task[Answer]] = set()

    async def attempt(self, work: Coroutine[Any, Any, Answer], use: Use) -> Answer:
        """What `work` answers; being cancelled, at once a timeout with the certainty that `use` tells."""
        task = asyncio.ensure_future(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            use.answered = True
            task.cancel()
            # held here until it has ended: the loop keeps only weak references
            self._leaving.add(task)
            task.add_done_callback(self._left)
            return use.broken(
                "timeout", "deadline while waiting for the answer" if use.sent else "deadline before anything was sent"
            )

    async def close(self) -> None:
        """Give up what is still being cleaned up."""
        for task in self._leaving:
            task.cancel()
        await asyncio.gather(*self._leaving, return_exceptions=True)

    def _left(self, task: asyncio.Task[Answer]) -> None:
        self._leaving.discard(task)
        if not task.cancelled():
            task.exception()  # its answer came too late for anyone; what it raised is the driver's word on a dead connection
