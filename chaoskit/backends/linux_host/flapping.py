"""Links that go down and up again by themselves, and how steady a link is. Standard library only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from chaoskit.backends.linux_host import asking, transport
from chaoskit.backends.linux_host.activities import Activities, Activity
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.wire import unpacked

_ASKED_EVERY_S = 0.03


class Flapping(Department):
    """What can be told and asked about links that change."""

    def __init__(self, find: Callable[[str], Node], activities: Activities) -> None:
        self._find, self._activities = find, activities

    def acts(self) -> dict[str, Handler]:
        return {"flap_link": self._flap}

    def questions(self) -> dict[str, Handler]:
        return {"flaps": self._flaps}

    async def _flap(self, act: Json) -> Json:
        def switch(way: str) -> None:
            transport.send_batch(act["family"], unpacked(act[way]), tolerate=act["tolerate"])

        async def flapping(activity: Activity) -> None:
            loop = asyncio.get_running_loop()
            fell = loop.time()
            while True:
                switch("down")
                activity.acts += 1
                await asyncio.sleep(fell + act["down_s"] - loop.time())
                switch("up")
                fell = max(fell + act["period_s"], loop.time())
                await asyncio.sleep(fell - loop.time())

        self._activities.begin(act["tag"], act["node"], flapping)
        await asyncio.sleep(0)  # the first fall
        return {}

    async def _flaps(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "off", "number": 0.0}
        if query["peer"] is None:
            before = _carrier_changes(node, query["devices"])
            await asyncio.sleep(query["over_s"])
            changes = _carrier_changes(node, query["devices"]) - before
        else:
            changes = await self._changes_heard(node, query)
        return {"value": "flapping" if changes >= 2 else "steady", "number": float(changes)}

    async def _changes_heard(self, node: Node, query: Json) -> int:
        """How often what it hears of its peer turned from silence to answers, or back."""
        loop = asyncio.get_running_loop()
        end, last, changes = loop.time() + query["over_s"], "", 0
        while loop.time() < end and node.init:
            began = loop.time()
            heard = await asking.reach(node.init, query["address"], query["device"], 2 * _ASKED_EVERY_S)
            changes += bool(last) and heard != last
            last = heard
            await asyncio.sleep(began + _ASKED_EVERY_S - loop.time())
        return changes


def _carrier_changes(node: Node, devices: list[str]) -> int:
    """As the node's own kernel counts them; 0 where it has ended meanwhile."""
    if not node.init:
        return 0
    places = [Path(f"/proc/{node.init}/root/sys/class/net/{device}/carrier_changes") for device in devices]
    return sum(int(place.read_text(encoding="ascii")) for place in places)
