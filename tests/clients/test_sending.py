"""What the sender makes of answers that come when their time is over."""

import asyncio

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.spool import Spool
from chaoskit.clients.sending import Sender
from chaoskit.clients.tally import Tally
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
