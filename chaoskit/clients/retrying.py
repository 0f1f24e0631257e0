"""A client's operation, tried again as a policy says: tenacity decides when, this counts what became of each attempt.

No client type knows of it. A retry carries the token of its request, so that a write which took effect twice is found twice.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_result,
    stop_after_attempt,
    wait_exponential,
    wait_fixed,
    wait_random,
    wait_random_exponential,
)
from tenacity.stop import stop_base
from tenacity.wait import wait_base

from chaoskit.agents.lines import log_line
from chaoskit.clients.failures import describe
from chaoskit.model.history import Certainty
from chaoskit.model.policy import RetryPolicy
from chaoskit.ports.client import Answer, ClientConfig, request_number

LET_GO_S = 0.02
"""An attempt that was cancelled at its deadline is waited for so long; then it is a time-out, whatever it still does."""
Operation = Callable[[str], Awaitable[Answer]]
Row = Sequence[Any]


@dataclass(slots=True, eq=False)
class Attempt:
    """One attempt of a request. Instants CLOCK_MONOTONIC ns."""

    number: int
    waited_ns: int
    t_send: int
    t_end: int = 0
    answer: Answer | None = None


@dataclass(slots=True, eq=False)
class Request:
    """What a user wants, in as many attempts as it takes."""

    token: str
    until_ns: int
    """The end of the user's patience."""
    attempts: list[Attempt] = field(default_factory=list)
    wait_s: float = 0.0
    """Before the next attempt."""

    def answer(self) -> Answer:
        """What the last attempt answered, with the certainty of all of them together."""
        answers = [a.answer for a in self.attempts if a.answer is not None]
        if not answers:
            return Answer(outcome="timeout", certainty="fail", error="patience ended before anything was sent")
        return answers[-1].model_copy(update={"certainty": together([a.certainty for a in answers])})


def together(certainties: Sequence[Certainty]) -> Certainty:
    """Of several attempts of one request: once acknowledged is acknowledged; nothing was applied only where all surely failed."""
    return "ok" if "ok" in certainties else "info" if "info" in certainties else "fail"


class out_of_patience(stop_base):
    """Stop where the next attempt would begin after the request's patience."""

    def __init__(self, clock: Callable[[], int], until_ns: int) -> None:
        self._clock, self._until_ns = clock, until_ns

    def __call__(self, retry_state: RetryCallState) -> bool:
        return self._clock() + round(retry_state.upcoming_sleep * 1e9) >= self._until_ns


def waits(policy: RetryPolicy) -> wait_base:
    """tenacity's strategy for the waits of a policy."""
    if policy.retry == "exponential":
        grows = wait_random_exponential if policy.draws else wait_exponential
        return grows(multiplier=float(policy.wait), max=float(policy.longest_wait))
    return wait_random(0, float(policy.wait)) if policy.draws else wait_fixed(float(policy.wait))


class RetryingClient:
    """Stands between the open loop and a client type's operation."""

    def __init__(
        self,
        config: ClientConfig,
        operation: Operation,
        record: Callable[[Row], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`record` takes rows of the table `attempts`. ValueError where the configuration has no policy."""
        if config.policy is None:
            raise ValueError(f"the client {config.client} has no policy")
        self._config = config
        self._policy = config.policy
        self._operation = operation
        self._record = record
        self._clock = clock
        self._waits = waits(config.policy)
        self._stubborn: set[asyncio.Task[Answer]] = set()
        """Attempts that did not end when they were cancelled."""

    async def attempt(self, token: str) -> Answer:
        """One request, in as many attempts as the policy has. Being cancelled, it answers at once, as client types do."""
        request = Request(token, self._clock() + self._config.patience_ns)
        try:
            await self._retrying(request)(self._try, request)
        except asyncio.CancelledError:  # patience is over, or the probe ends: what is known so far is the answer
            return request.answer()
        return request.answer()

    def _retrying(self, request: Request) -> AsyncRetrying:
        stop: Any = out_of_patience(self._clock, request.until_ns)
        if self._policy.attempts is not None or not self._policy.retries:
            stop = stop | stop_after_attempt(self._policy.attempts or 1)

        def note_wait(state: RetryCallState) -> None:
            request.wait_s = state.upcoming_sleep

        return AsyncRetrying(
            sleep=asyncio.sleep,
            stop=stop,
            wait=self._waits,
            retry=retry_if_result(self._is_worth_another),
            before_sleep=note_wait,
            retry_error_callback=lambda state: state.outcome.result() if state.outcome is not None else None,
        )

    def _is_worth_another(self, answer: Answer) -> bool:
        policy = self._policy
        if answer.outcome in ("ok", "degraded", "not_sent") or not policy.retries:
            return False
        if policy.retry_on and answer.outcome not in policy.retry_on:
            return False
        return policy.when_unsure == "retry" or answer.certainty == "fail"

    async def _try(self, request: Request) -> Answer:
        if len(self._stubborn) >= self._config.in_flight:
            return self._refused(request)
        attempt = Attempt(len(request.attempts) + 1, round(request.wait_s * 1e9), self._clock())
        request.attempts.append(attempt)
        task = asyncio.ensure_future(self._operation(request.token))
        limit_s = max(min(self._config.deadline_ns, request.until_ns - attempt.t_send), 0) / 1e9
        try:
            await asyncio.wait({task}, timeout=limit_s)
            await self._let_go(task)
        except asyncio.CancelledError:
            await self._let_go(task)
            raise
        finally:
            attempt.t_end = self._clock()
            attempt.answer = self._answer(task)
            self._record(self._row(request, attempt))
        return attempt.answer

    async def _let_go(self, task: asyncio.Task[Answer]) -> None:
        if not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=LET_GO_S)
        if not task.done():
            self._stubborn.add(task)
            task.add_done_callback(self._gone)

    def _gone(self, task: asyncio.Task[Answer]) -> None:
        self._stubborn.discard(task)
        if not task.cancelled():
            task.exception()  # nobody waits for it any more

    def _answer(self, task: asyncio.Task[Answer]) -> Answer:
        if not task.done():
            return Answer(outcome="timeout", certainty="info", error="the client did not let go at the deadline")
        if task.cancelled():
            return Answer(outcome="timeout", certainty="info", error="deadline")
        error = task.exception()
        if error is None:
            return task.result()
        log_line(f"client type {self._config.type} raised: {describe(error)}")
        return Answer(outcome="app_error", certainty="info", error=f"defect of the client type: {describe(error)}")

    def _refused(self, request: Request) -> Answer:
        """Client types that never let go end up here, and not out of memory."""
        now = self._clock()
        words = f"{len(self._stubborn)} attempts did not end when they were cancelled"
        answer = Answer(outcome="not_sent", certainty="fail", error=words)
        request.attempts.append(Attempt(len(request.attempts) + 1, round(request.wait_s * 1e9), now, now, answer))
        return answer

    def _row(self, request: Request, attempt: Attempt) -> Row:
        config, answer = self._config, attempt.answer
        if answer is None:
            raise RuntimeError(f"attempt {attempt.number} of {request.token} was handed on before it had finished")
        return (
            config.trial, config.client, request_number(request.token), attempt.number, attempt.t_send, attempt.t_end,
            attempt.waited_ns, answer.outcome, answer.certainty, answer.node or None, answer.error or None,
        )  # fmt: skip
