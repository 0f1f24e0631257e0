"""What the sender makes of answers that come when their time is over."""

import asyncio

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.spool import Spool
from chaoskit.clients import sending
from chaoskit.clients.retrying import RetryingClient
from chaoskit.clients.sending import Sender
from chaoskit.clients.tally import Tally
from chaoskit.model.policy import RetryPolicy
from chaoskit.ports.client import Answer
from tests.clients.probing import config, rows

MS = 1_000_000


class Late:
    """Acknowledges as soon as it is cancelled, thus after W."""

    async def attempt(self, token: str) -> Answer:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            return Answer(outcome="ok", certainty="ok", node="n1")
        raise AssertionError


def test_an_acknowledgement_after_w_is_a_time_out_that_was_acknowledged_and_says_when(tmp_path):
    async def main() -> None:
        given = config(tmp_path / "s.sqlite", 80, deadline_ns=50 * MS)
        spool = Spool(tmp_path / "s.sqlite", print)
        hiccups = HiccupWatch(given.interval_ns // 2, lambda *_: None)
        sender = Sender(given, Late(), spool, hiccups, Tally("orders", 0))  # type: ignore[arg-type]
        sender.start()
        await asyncio.sleep(0.5)
        assert await sender.drain(2.0) == 0
        hiccups.close()
        sender.settle(all_of_them=True)
        spool.close(5.0)

    asyncio.run(main())
    found = rows(tmp_path / "s.sqlite", "SELECT outcome, certainty, t_end - t_intended, late_end - t_intended FROM samples")
    assert len(found) > 20
    assert {row[:3] for row in found} == {("timeout", "ok", 50 * MS)}
    assert all(50 * MS < late < 2_000 * MS for *_, late in found)


class Hung:
    """Answers nothing."""

    async def attempt(self, token: str) -> Answer:
        await asyncio.sleep(60)
        raise AssertionError


def test_requests_that_are_tried_again_never_delay_the_next_and_those_beyond_the_cap_are_not_sent(tmp_path):
    policy = RetryPolicy.model_validate({"retry": "fixed", "wait": "10ms", "attempts": 100, "give_up_after": "600ms"})

    async def main() -> None:
        file = tmp_path / "s.sqlite"
        given = config(file, 80, deadline_ns=50 * MS, policy=policy, in_flight=40)
        spool = Spool(file, print)
        hiccups = HiccupWatch(given.interval_ns // 2, lambda *_: None)
        client = RetryingClient(given, Hung().attempt, lambda row: spool.put("attempts", row))
        sender = Sender(given, client, spool, hiccups, Tally("orders", 0))
        sender.start()
        await asyncio.sleep(1.0)
        assert await sender.drain(2.0) == 0
        hiccups.close()
        sender.settle(all_of_them=True)
        spool.close(5.0)

    asyncio.run(main())
    found = rows(tmp_path / "s.sqlite", "SELECT seq, outcome, certainty, t_send - t_intended, t_end - t_intended FROM samples")
    assert sorted(seq for seq, *_ in found) == list(range(len(found)))
    assert len(found) > 90, "an open loop of 100/s"
    sent = [row for row in found if row[1] != "not_sent"]
    unsent = [row for row in found if row[1] == "not_sent"]
    assert {row[1:3] for row in sent} == {("timeout", "info")}
    assert sorted(late for *_, late, _ in sent)[len(sent) // 2] < 20 * MS, "sent when it was due, not when there was room"
    took = sorted(row[-1] for row in sent)
    assert took[0] > 500 * MS
    assert took[len(took) // 2] < 900 * MS, "given up after 600 ms; a busy machine may stretch some"
    assert len(unsent) >= len(found) - 40 - 40, "forty at once, for 600 ms each"
    tries = rows(
        tmp_path / "s.sqlite", "SELECT seq, count(*), max(attempt), min(waited_ns), max(waited_ns) FROM attempts GROUP BY seq"
    )
    assert {seq for seq, *_ in tries} == {row[0] for row in sent}
    assert all(count == last and 2 <= last <= 12 and (least, most) == (0, 10 * MS) for _, count, last, least, most in tries)


class AnswersAfter:
    """Answers 120 ms after it was asked, unless it is cancelled."""

    LATE_CLASSES = frozenset({"fresh"})

    def __init__(self, outcome: str = "ok", after_s: float = 0.12) -> None:
        self.answer = Answer(outcome=outcome, certainty="ok" if outcome == "ok" else "fail", node="n1")
        self.after_s = after_s
        self.running = self.most = 0

    async def attempt(self, token: str) -> Answer:
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(self.after_s)
        except asyncio.CancelledError:
            return Answer(outcome="timeout", certainty="info", error="deadline")
        finally:
            self.running -= 1
        return self.answer


def sent(file, client, for_s=0.8, **changes):
    """What a client of 100/s with W = 50 ms recorded, and its tally."""
    given = config(file, 80, deadline_ns=50 * MS, **changes)
    tally = Tally("orders", 0)

    async def main() -> None:
        spool = Spool(file, print)
        hiccups = HiccupWatch(given.interval_ns // 2, lambda *_: None)
        sender = Sender(given, client, spool, hiccups, tally)
        sender.start()
        await asyncio.sleep(for_s)
        assert await sender.drain(2.0) == 0
        hiccups.close()
        sender.settle(all_of_them=True)
        spool.close(5.0)

    asyncio.run(main())
    columns = "outcome, certainty, t_end - t_intended, late_end - t_intended, in_flight, seq"
    return rows(file, f"SELECT {columns} FROM samples ORDER BY seq"), tally


def test_an_answer_after_w_is_noted_and_never_ok_and_leaves_room_for_others(tmp_path):
    found, tally = sent(tmp_path / "s.sqlite", AnswersAfter(), in_flight=7)
    assert [row[5] for row in found] == list(range(len(found))), "none was kept back, and none recorded twice"
    assert {row[0] for row in found} == {"timeout"}, "five or six are in flight up to W; those left to themselves take no room"
    assert {row[2] for row in found if row[3] is not None} == {50 * MS}
    noted = [row for row in found if row[3] is not None]
    assert len(noted) > len(found) / 2
    assert all(row[1] == "ok" and 119 * MS < row[3] < 500 * MS for row in noted)
    assert (tally.attempts, tally.ok) == (len(found), 0)


def test_a_class_that_is_not_named_is_cancelled_at_w(tmp_path):
    found, _ = sent(tmp_path / "s.sqlite", AnswersAfter(), client_class="pooled")
    assert {(row[0], row[1], row[3]) for row in found} == {("timeout", "info", None)}


def test_a_late_refusal_is_an_answer_and_a_late_reset_is_none(tmp_path):
    refused, _ = sent(tmp_path / "a.sqlite", AnswersAfter("app_error"))
    assert {row[0] for row in refused} == {"timeout"}
    assert any(row[3] is not None and row[1] == "fail" for row in refused)
    reset, _ = sent(tmp_path / "b.sqlite", AnswersAfter("reset"))
    assert {(row[0], row[3]) for row in reset} == {("timeout", None)}
    assert any(row[2] == 50 * MS for row in reset), "W decided; those cancelled at the end took as long as cancelling does"


def test_what_never_answers_is_left_to_itself_only_ten_deadlines_long_and_only_so_many_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(sending, "LATE_AT_MOST", 20)
    client = AnswersAfter(after_s=60.0)
    found, tally = sent(tmp_path / "s.sqlite", client, for_s=1.5)
    assert client.most <= 20 + 12, "20 left to themselves, and those up to W"
    assert client.running == 0
    assert {(row[0], row[1], row[3]) for row in found} == {("timeout", "info", None)}
    assert [row[5] for row in found] == list(range(len(found)))
    assert tally.attempts == len(found)
