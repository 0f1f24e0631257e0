"""Sending on bare sockets within a test, without a process of its own."""

import asyncio
import sys
from pathlib import Path

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.spool import Spool
from chaoskit.clients.catalogue import open_client
from chaoskit.clients.tally import Tally
from chaoskit.clients.wire.sending import WireSender
from tests.clients.probing import rows

MS = 1_000_000
PLAIN = {"client_class": "pooled", "options": {"driver": "plain"}}


def sent(given, for_s=0.5, meanwhile=lambda: None):
    """Rows (as dictionaries, by sequence) of a client on bare sockets, and its tally."""
    tally, failures = Tally(given.client, 0), []

    async def main():
        exchange = open_client(given).wire()
        assert exchange is not None
        spool = Spool(Path(given.spool), failures.append)
        hiccups = HiccupWatch(given.interval_ns // 2, lambda *_: None)
        sender = WireSender(given, exchange, spool, hiccups, tally, failures.append)
        sender.start()
        await asyncio.sleep(for_s / 2)
        await asyncio.get_running_loop().run_in_executor(None, meanwhile)
        await asyncio.sleep(for_s / 2)
        assert await sender.drain(3.0) == 0
        hiccups.close()
        sender.settle(all_of_them=True)
        spool.close(5.0)

    before = sys.getswitchinterval()
    try:
        asyncio.run(main())
    finally:
        sys.setswitchinterval(before)
    assert not failures
    names = (
        "seq", "t_intended", "t_send", "t_connected", "t_first_byte", "t_end", "late_end", "outcome", "certainty", "node",
        "value", "error", "in_flight", "token",
    )  # fmt: skip
    found = rows(Path(given.spool), f"SELECT {', '.join(names)} FROM samples ORDER BY seq")
    return [dict(zip(names, row, strict=True)) for row in found], tally
