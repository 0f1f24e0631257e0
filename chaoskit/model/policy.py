"""What a client does about an error: try again or not, when, how often, and when it gives up."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from chaoskit.model.record import Record
from chaoskit.model.units import Duration

RetriedError = Literal[
    "timeout", "refused", "reset", "unreachable", "dns", "tls", "wrong_role", "wrong_data", "app_error",
]  # fmt: skip


class RetryPolicy(Record):
    """How the user of a client goes about errors. One request may then be several attempts, each with the client's `deadline`."""

    retry: Literal["none", "fixed", "exponential"] = "none"
    """`fixed`: after the same wait each time; `exponential`: after twice the wait each time."""
    wait: Duration = Duration(0.1)
    """Before the first retry."""
    longest_wait: Duration = Duration(10.0)
    """What exponential waits grow to at most."""
    jitter: bool | None = None
    """Each wait is drawn between 0 and its full length. Left out: yes for exponential, no for fixed."""
    attempts: Annotated[int, Field(ge=1, le=1000)] | None = None
    """So many at most, the first one included."""
    give_up_after: Duration | None = None
    """The user's patience, from when the request was due: no answer within it is none."""
    retry_on: tuple[RetriedError, ...] = ()
    """The errors that are worth another attempt; any where left out."""
    when_unsure: Literal["retry", "give_up"] = "retry"
    """After an attempt that may have taken effect: `retry` risks a duplicate, `give_up` an error that was none."""
    judge_rto: bool = False
    """Lets an `rto` objective name this client although its retries hide outages; the report says so."""

    @model_validator(mode="after")
    def _ends(self) -> RetryPolicy:
        if self.retry == "none":
            if (self.attempts or 1) > 1:
                raise ValueError(f"retry: none makes one attempt, not {self.attempts}; write retry: fixed or exponential")
            return self
        if self.attempts is None and self.give_up_after is None:
            raise ValueError("say when it gives up: attempts, such as 5, or give_up_after, such as 10s")
        if self.attempts is None and float(self.wait) <= 0:
            raise ValueError("without a wait it would try as fast as it can until it gives up; say how often: attempts")
        if self.retry == "exponential" and not 0 < float(self.wait) <= float(self.longest_wait):
            raise ValueError(f"an exponential wait is more than 0 and at most longest_wait ({self.longest_wait})")
        return self

    @property
    def retries(self) -> bool:
        return self.retry != "none" and self.attempts != 1

    @property
    def draws(self) -> bool:
        """Whether its waits are drawn at random."""
        return self.retry == "exponential" if self.jitter is None else self.jitter

    def full_wait_s(self, retry: int) -> float:
        """The longest that the wait before retry number `retry` (from 1) may be."""
        if self.retry == "fixed":
            return float(self.wait)
        doubled = float(self.wait) * math.pow(2.0, min(retry - 1, 60))
        return min(doubled, float(self.longest_wait))

    def patience_ns(self, deadline_ns: int) -> int:
        """How long one request may take, with `deadline_ns` for each attempt."""
        limits = [] if self.give_up_after is None else [self.give_up_after.ns]
        if not self.retries:
            limits.append(deadline_ns)
        elif self.attempts is not None:
            waits_s = math.fsum(self.full_wait_s(n) for n in range(1, self.attempts))
            limits.append(self.attempts * deadline_ns + round(waits_s * 1e9))
        return min(limits)

    def text(self) -> str:
        """Such as "exponential from 100ms to 10s with jitter, 5 attempts"."""
        if not self.retries:
            return "no retry"
        waits = f"fixed {self.wait}" if self.retry == "fixed" else f"exponential from {self.wait} to {self.longest_wait}"
        ends = [] if self.attempts is None else [f"{self.attempts} attempts"]
        ends += [] if self.give_up_after is None else [f"gives up after {self.give_up_after}"]
        ends += [] if not self.retry_on else [f"only {', '.join(self.retry_on)}"]
        ends += [] if self.when_unsure == "retry" else ["gives up when unsure"]
        return f"{waits}{' with jitter' if self.draws else ''}, {', '.join(ends)}"


class NamedPolicy(RetryPolicy):
    """One of several policies side by side: a client of its own, named `CLIENT-POLICY`."""

    with_: dict[str, Any] = Field(default={}, alias="with")
    """Keys of the client that differ for this one, such as {class: pooled, deadline: 2s}."""
