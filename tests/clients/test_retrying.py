"""The policy engine on a clock of its own: when it tries again, when it gives up, and what it makes of several answers."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from chaoskit.clients.retrying import LET_GO_S, RetryingClient, together
from chaoskit.model.policy import RetryPolicy
from chaoskit.ports.client import Answer, ClientConfig
from tests.clients.probing import config
from tests.simulated.time_loop import FakeTimeLoop

MS = 1_000_000
START = 1_000_000_000_000
TOKEN = "r1.orders.0.7"
OK = Answer(outcome="ok", certainty="ok", node="n1")
REFUSED = Answer(outcome="refused", certainty="fail", error="no")
LOST = Answer(outcome="reset", certainty="info", error="cut")


@dataclass
class Service:
    """Takes `took_s` for each answer; the last one for good. None: no answer at all."""

    answers: list[Answer | None]
    took_s: float = 0.001
    clings: bool = False
    tokens: list[str] = field(default_factory=list)

    async def attempt(self, token: str) -> Answer:
        self.tokens.append(token)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if answer is None:
            while True:
                try:
                    await asyncio.sleep(100)
                except asyncio.CancelledError:
                    if not self.clings:
                        raise
        await asyncio.sleep(self.took_s)
        return answer


@dataclass
class Outcome:
    answer: Answer
    rows: list[tuple]
    took_ms: float
    tokens: list[str]

    @property
    def sent_ms(self) -> list[float]:
        return [(row[4] - START) / MS for row in self.rows]

    @property
    def waited_ms(self) -> list[float]:
        return [round(row[6] / MS, 3) for row in self.rows]

    @property
    def outcomes(self) -> list[str]:
        return [row[7] for row in self.rows]


def carry_out(service: Service, *, deadline_s: float = 0.1, cut_after_s: float | None = None, **policy) -> Outcome:
    given: ClientConfig = config("s", 1).model_copy(
        update={"policy": RetryPolicy.model_validate(policy), "deadline_ns": round(deadline_s * 1e9)}
    )
    loop, rows = FakeTimeLoop(START), []

    async def main() -> tuple[Answer, int]:
        client = RetryingClient(given, service.attempt, rows.append, clock=loop.clock)
        task = asyncio.ensure_future(client.attempt(TOKEN))
        if cut_after_s is not None:
            loop.call_later(cut_after_s, task.cancel)
        answer = await task
        ended = loop.clock()
        for left in asyncio.all_tasks() - {asyncio.current_task()}:
            service.clings = False
            left.cancel()
        return answer, ended

    answer, ended = loop.finish(main())
    return Outcome(answer, [tuple(r) for r in rows], (ended - START) / MS, service.tokens)


def test_no_retry_is_one_attempt():
    found = carry_out(Service([REFUSED]))
    assert (found.answer.outcome, found.outcomes, found.took_ms) == ("refused", ["refused"], 1.0)


def test_fixed_waits_are_equal_and_the_answer_is_that_of_the_last_attempt():
    found = carry_out(Service([REFUSED, REFUSED, OK]), retry="fixed", wait="200ms", attempts=5)
    assert found.answer.outcome == "ok"
    assert found.sent_ms == pytest.approx([0, 201, 402], abs=0.01)
    assert found.waited_ms == [0, 200, 200]
    assert found.tokens == [TOKEN] * 3, "a retry carries its request's token"


def test_it_gives_up_after_so_many_attempts():
    found = carry_out(Service([REFUSED]), retry="fixed", wait="100ms", attempts=4)
    assert (found.answer.outcome, len(found.rows)) == ("refused", 4)
    assert found.took_ms == pytest.approx(304, abs=0.01)


def test_exponential_waits_double_up_to_the_longest():
    found = carry_out(Service([REFUSED]), retry="exponential", wait="100ms", longest_wait="500ms", jitter=False, attempts=6)
    assert found.waited_ms == [0, 100, 200, 400, 500, 500]


def test_jitter_draws_each_wait_between_nothing_and_its_full_length():
    random.seed(5)
    waits = [
        carry_out(Service([REFUSED]), retry="exponential", wait="100ms", longest_wait="800ms", attempts=5).waited_ms
        for _ in range(60)
    ]
    for retry, full in enumerate((100, 200, 400, 800), start=1):
        drawn = [w[retry] for w in waits]
        assert 0 <= min(drawn) < 0.2 * full
        assert 0.8 * full < max(drawn) <= full
    random.seed(5)
    again = carry_out(Service([REFUSED]), retry="exponential", wait="100ms", longest_wait="800ms", attempts=5)
    assert again.waited_ms == waits[0], "chance comes from the seed"


def test_each_attempt_has_the_deadline_and_a_hung_one_is_a_time_out():
    found = carry_out(Service([None, OK]), deadline_s=0.1, retry="fixed", wait="50ms", attempts=3)
    assert (found.answer.outcome, found.answer.certainty) == ("ok", "ok")
    assert found.sent_ms == pytest.approx([0, 150], abs=0.01)
    assert found.rows[0][7:9] == ("timeout", "info")


def test_patience_ends_it_before_a_wait_that_would_be_too_long():
    found = carry_out(Service([REFUSED]), retry="fixed", wait="300ms", give_up_after="1s")
    assert found.sent_ms == pytest.approx([0, 301, 602, 903], abs=0.01)
    assert found.took_ms == pytest.approx(904, abs=0.01), "the next attempt would begin after the patience: why wait for it"


def test_patience_cuts_the_last_attempt_short():
    found = carry_out(Service([None]), deadline_s=0.4, retry="fixed", wait="50ms", give_up_after="1s")
    assert found.took_ms == pytest.approx(1000, abs=0.1)
    assert found.outcomes == ["timeout"] * 3


def test_only_the_errors_named_are_tried_again():
    assert carry_out(Service([LOST, OK]), retry="fixed", attempts=3, retry_on=["refused"]).outcomes == ["reset"]
    assert carry_out(Service([REFUSED, OK]), retry="fixed", attempts=3, retry_on=["refused"]).outcomes == ["refused", "ok"]


def test_a_careful_client_gives_up_when_it_may_have_taken_effect():
    found = carry_out(Service([REFUSED, LOST, OK]), retry="fixed", attempts=5, when_unsure="give_up")
    assert (found.outcomes, found.answer.outcome, found.answer.certainty) == (["refused", "reset"], "reset", "info")


@pytest.mark.parametrize(
    ("answers", "certainty"),
    [
        ([REFUSED, OK], "ok"),
        ([LOST, OK], "ok"),  # acknowledged, perhaps twice there: the read back counts
        ([LOST, REFUSED], "info"),  # the first may take effect at any time, whatever the second says
        ([REFUSED, LOST], "info"),
        ([REFUSED, REFUSED], "fail"),
    ],
)
def test_what_several_attempts_say_of_a_write(answers, certainty):
    found = carry_out(Service(list(answers)), retry="fixed", attempts=2)
    assert found.answer.certainty == certainty
    assert together([a.certainty for a in answers]) == certainty


@pytest.mark.parametrize(("first", "certainty"), [(REFUSED, "fail"), (LOST, "info")])
def test_being_cancelled_while_it_waits_it_tells_what_is_known(first, certainty):
    found = carry_out(Service([first]), retry="fixed", wait="1s", attempts=5, cut_after_s=0.5)
    assert (found.answer.outcome, found.answer.certainty) == (first.outcome, certainty)
    assert found.took_ms == pytest.approx(500, abs=0.01)


def test_being_cancelled_within_an_attempt_it_records_that_attempt():
    found = carry_out(Service([REFUSED, None]), deadline_s=1, retry="fixed", wait="100ms", attempts=5, cut_after_s=0.5)
    assert found.outcomes == ["refused", "timeout"]
    assert (found.answer.outcome, found.answer.certainty) == ("timeout", "info")
    assert found.took_ms == pytest.approx(500, abs=0.01)


def test_an_operation_that_never_lets_go_is_left_behind():
    found = carry_out(Service([None, OK], clings=True), deadline_s=0.1, retry="fixed", wait="50ms", attempts=3)
    assert found.outcomes == ["timeout", "ok"]
    assert found.sent_ms[1] == pytest.approx(150 + LET_GO_S * 1000, abs=0.01)


def test_a_client_type_that_raises_is_a_defect_and_told():
    class Broken(Service):
        async def attempt(self, token: str) -> Answer:
            raise RuntimeError("not a driver's error")

    found = carry_out(Broken([OK]), retry="fixed", wait="10ms", attempts=2)
    assert found.answer.certainty == "info"
    assert found.answer.error == "defect of the client type: RuntimeError: not a driver's error"
    assert found.outcomes == ["app_error", "app_error"]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"retry": "fixed"}, "say when it gives up"),
        ({"retry": "none", "attempts": 3}, "retry: none makes one attempt, not 3"),
        ({"retry": "fixed", "wait": "0s", "give_up_after": "5s"}, "say how often: attempts"),
        ({"retry": "exponential", "wait": "20s", "attempts": 3}, "at most longest_wait (10s)"),
    ],
)
def test_a_policy_without_an_end_is_none(policy, words):
    with pytest.raises(ValueError, match=words.replace("(", r"\(").replace(")", r"\)")):
        RetryPolicy.model_validate(policy)


@pytest.mark.parametrize(
    ("policy", "patience_ms"),
    [
        ({}, 100),
        ({"retry": "fixed", "wait": "200ms", "attempts": 3}, 700),
        ({"retry": "exponential", "wait": "100ms", "longest_wait": "300ms", "attempts": 5}, 500 + 100 + 200 + 300 + 300),
        ({"retry": "exponential", "attempts": 50, "give_up_after": "8s"}, 8000),
        ({"retry": "fixed", "give_up_after": "2s"}, 2000),
    ],
)
def test_patience_is_what_a_request_may_take_at_most(policy, patience_ms):
    assert RetryPolicy.model_validate(policy).patience_ns(100 * MS) == patience_ms * MS
