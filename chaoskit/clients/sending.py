"""The open loop: attempts leave at instants fixed in advance, whatever became of those before them."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Protocol

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.lines import log_line
from chaoskit.agents.spool import Spool
from chaoskit.clients.failures import describe
from chaoskit.clients.tally import Tally
from chaoskit.model.history import Outcome
from chaoskit.ports.client import Answer, ClientConfig

_NS = 1e9
_ABANDON_AFTER_S = 0.05
"""A client type that has not let go this long after it was cancelled is recorded as timed out without it."""
LATE_UNTIL_DEADLINES = 10
"""An attempt left to itself at W is given up at so many W after its intended instant."""
LATE_AT_MOST = 100
"""So many at once are left to themselves; further ones are cancelled at W. They do not count as in flight."""
ANSWERED = frozenset({"ok", "degraded", "app_error", "wrong_role", "wrong_data"})
_NOT_SENT = Answer(outcome="not_sent", certainty="fail")


class Attempting(Protocol):
    """A client type, or what stands before one and tries again."""

    async def attempt(self, token: str) -> Answer: ...


@dataclass(slots=True, eq=False)
class Flight:
    """One request, from its intended instant to its end. Instants CLOCK_MONOTONIC ns."""

    seq: int
    probe: int
    token: str
    t_intended: int
    in_flight: int
    t_send: int | None = None
    t_end: int | None = None
    late_end: int | None = None
    """When the answer came, where that was after W; `t_end` is then W's end."""
    answer: Answer | None = None
    task: asyncio.Task[None] | None = None
    timer: asyncio.TimerHandle | None = None
    recorded: bool = False
    late: bool = False
    """W passed and it counts as timed out; it was left to itself to see when the answer comes."""


class Sender:
    """Sends the requests of one client and records what became of each.

    Probe i of m sends at t0 + n*D + i*D/m. Without a policy a request is one attempt. With one, W is the user's patience: however
    often a request is tried again, the next one leaves at its instant. One that cannot be sent (too many in flight, or this
    process itself woke up after W) is recorded as `not_sent`, never skipped.
    """

    def __init__(self, config: ClientConfig, client: Attempting, spool: Spool, hiccups: HiccupWatch, tally: Tally) -> None:
        self._config = config
        self._deadline_ns = config.patience_ns
        self._client = client
        self._spool = spool
        self._hiccups = hiccups
        self._tally = tally
        self._loop = asyncio.get_running_loop()
        self._t0 = 0
        self._sequence = 0
        self._timer: asyncio.TimerHandle | None = None
        self._flights: set[Flight] = set()
        self._late: set[Flight] = set()
        self._may_be_late = config.client_class in getattr(client, "LATE_CLASSES", ())
        self._finished: deque[Flight] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    def start(self) -> None:
        """Begin at the next whole multiple of D on the monotonic clock."""
        interval = self._config.interval_ns
        self._t0 = (time.monotonic_ns() // interval + 1) * interval
        self._await_next()

    def stop(self) -> None:
        """Send no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def drain(self, timeout_s: float) -> int:
        """Stop, and wait for what is in flight; returns how many still are after `timeout_s`."""
        self.stop()
        self._may_be_late = False
        left = [flight.task for flight in self._late if flight.task is not None]
        for flight in list(self._late):
            self._cancel(flight)
        if left:
            await asyncio.wait(left, timeout=2 * _ABANDON_AFTER_S)
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return len(self._flights)
        return 0

    def settle(self, *, all_of_them: bool = False) -> None:
        """Hand finished attempts to the spool, as soon as every stall of this process up to their end is known."""
        known_until = self._hiccups.seen_until_ns
        for _ in range(len(self._finished)):
            flight = self._finished.popleft()
            if all_of_them or (flight.late_end or flight.t_end or 0) <= known_until:
                self._spool.put("samples", self._row(flight))
            else:
                self._finished.append(flight)

    def intended_ns(self, sequence: int) -> int:
        """When attempt number `sequence` is to be sent."""
        turn, probe = divmod(sequence, self._config.probes)
        return self._t0 + turn * self._config.interval_ns + probe * self._config.interval_ns // self._config.probes

    def _await_next(self) -> None:
        self._timer = self._loop.call_at(self.intended_ns(self._sequence) / _NS, self._send_due)

    def _send_due(self) -> None:
        now = time.monotonic_ns()
        first = self.intended_ns(self._sequence)
        if now - first > self._config.interval_ns // 2:
            self._hiccups.note(first, now - first)
        while (intended := self.intended_ns(self._sequence)) <= now:
            self._send(intended, now)
            self._sequence += 1
        self._await_next()

    def _send(self, intended: int, now: int) -> None:
        config = self._config
        token = f"{config.run_id}.{config.client}.{config.trial}.{self._sequence}"
        flight = Flight(self._sequence, self._sequence % config.probes, token, intended, len(self._flights))
        if now >= intended + self._deadline_ns:
            self._finish(flight, _NOT_SENT.model_copy(update={"error": "this process woke up after the deadline"}))
            return
        if len(self._flights) >= config.in_flight:
            self._finish(flight, _NOT_SENT.model_copy(update={"error": f"{len(self._flights)} attempts in flight"}))
            return
        self._flights.add(flight)
        self._idle.clear()
        flight.timer = self._loop.call_at((intended + self._deadline_ns) / _NS, self._deadline_passed, flight)
        flight.task = self._loop.create_task(self._attempt(flight))
        flight.task.add_done_callback(lambda task: self._landed(flight, task))

    async def _attempt(self, flight: Flight) -> None:
        flight.t_send = time.monotonic_ns()
        flight.answer = await self._client.attempt(flight.token)
        flight.t_end = time.monotonic_ns()

    def _deadline_passed(self, flight: Flight) -> None:
        if flight.task is None or flight.task.done():
            return
        if self._may_be_late and len(self._late) < LATE_AT_MOST:
            self._leave(flight)
        else:
            self._cancel(flight)

    def _leave(self, flight: Flight) -> None:
        """It has failed, and is no longer in flight; when its answer comes is noted."""
        self._late.add(flight)
        self._gone(flight)
        flight.late = True
        self._tally.add(flight.t_intended, flight.t_intended + self._deadline_ns, False, "timeout: deadline")
        give_up_ns = flight.t_intended + LATE_UNTIL_DEADLINES * self._deadline_ns
        flight.timer = self._loop.call_at(give_up_ns / _NS, self._cancel, flight)

    def _cancel(self, flight: Flight) -> None:
        if flight.task is not None and not flight.task.done():
            flight.task.cancel()
            flight.timer = self._loop.call_later(_ABANDON_AFTER_S, self._abandon, flight)

    def _gone(self, flight: Flight) -> None:
        self._flights.discard(flight)
        if not self._flights:
            self._idle.set()

    def _abandon(self, flight: Flight) -> None:
        """It still counts as in flight, so that client types that never let go end up at the cap and not out of memory."""
        self._finish(flight, Answer(outcome="timeout", certainty="info", error="the client did not let go at the deadline"))

    def _landed(self, flight: Flight, task: asyncio.Task[None]) -> None:
        if flight.timer is not None:
            flight.timer.cancel()
        self._late.discard(flight)
        self._gone(flight)
        answer = flight.answer
        if task.cancelled():
            answer = Answer(outcome="timeout", certainty="info", error="deadline")
        elif (error := task.exception()) is not None:
            log_line(f"client type {self._config.type} raised: {describe(error)}")
            answer = Answer(outcome="app_error", certainty="info", error=f"defect of the client type: {describe(error)}")
        if answer is not None:
            self._finish(flight, answer)

    def _finish(self, flight: Flight, answer: Answer) -> None:
        if flight.recorded:
            return
        flight.recorded = True
        if flight.late:
            self._finish_late(flight, answer)
            return
        flight.t_end = flight.t_end or time.monotonic_ns()
        flight.answer = self._judged(answer, flight.t_end - flight.t_intended)
        if flight.answer.outcome == "timeout" and answer.outcome == "ok":
            flight.late_end, flight.t_end = flight.t_end, flight.t_intended + self._deadline_ns
        flight.timer = flight.task = None
        self._finished.append(flight)
        ok = flight.answer.outcome in ("ok", "degraded")
        self._tally.add(flight.t_intended, flight.t_end, ok, "" if ok else f"{answer.outcome}: {answer.error}")

    def _finish_late(self, flight: Flight, answer: Answer) -> None:
        """A time-out, whatever came after W; an answer is kept as a fact. Certainty stays: an acknowledgement after W is one."""
        if answer.outcome in ANSWERED and flight.t_end is not None:
            flight.late_end = flight.t_end
        elif not answer.error:
            answer = answer.model_copy(update={"error": "deadline"})
        flight.t_end = flight.t_intended + self._deadline_ns
        flight.answer = answer.model_copy(update={"outcome": "timeout"})
        flight.timer = flight.task = None
        self._finished.append(flight)

    def _judged(self, answer: Answer, latency_ns: int) -> Answer:
        """The answer with the outcome that its latency gives it. Its certainty stays: an acknowledgement after W is still one."""
        if answer.outcome != "ok":
            return answer
        outcome: Outcome = "ok"
        if latency_ns > self._deadline_ns:
            outcome = "timeout"
        elif self._config.slo_ns is not None and latency_ns > self._config.slo_ns:
            outcome = "degraded"
        return answer if outcome == "ok" else answer.model_copy(update={"outcome": outcome})

    def _row(self, flight: Flight) -> tuple[Any, ...]:
        config, answer, end = self._config, flight.answer, flight.t_end
        # what a left one's answer met after W, which had decided already, is no doubt about it
        decided = end if flight.late else flight.late_end or end
        if answer is None or end is None:
            raise RuntimeError(f"attempt {flight.token} was handed on before it had finished")
        return (
            config.trial, config.client, flight.probe, config.client_class, config.operation,
            config.vantage, config.target, flight.seq, flight.token,
            flight.t_intended, flight.t_send, answer.t_connected, answer.t_first_byte, end,
            answer.outcome, answer.certainty, answer.node or None, answer.term or None, answer.value or None,
            flight.late_end, flight.in_flight,
            int(self._hiccups.stalled_between(flight.t_intended, decided or 0)), answer.error or None,
        )  # fmt: skip
