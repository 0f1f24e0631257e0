"""What the sender makes of answers that come when their time is over."""

import asyncio

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.spool import Spool
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
    assert all(500 * MS < took < 900 * MS for *_, took in sent)
    assert len(unsent) >= len(found) - 40 - 40, "forty at once, for 600 ms each"
    tries = rows(
        tmp_path / "s.sqlite", "SELECT seq, count(*), max(attempt), min(waited_ns), max(waited_ns) FROM attempts GROUP BY seq"
    )
    assert {seq for seq, *_ in tries} == {row[0] for row in sent}
    assert all(count == last and 3 <= last <= 10 and (least, most) == (0, 10 * MS) for _, count, last, least, most in tries)
