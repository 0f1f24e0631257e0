"""Processes that are killed again whenever they return. Standard library only."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from chaoskit.backends.linux_host import census
from chaoskit.backends.linux_host.activities import Activities, Activity
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.services import Supervisor
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.model import choosing

_TOLD = 100
"""So many kills are told about as events; all are counted."""
_DYING_S = 2.0


class Killing(Department):
    """Kills what matches, and what comes in its place, until it is told to cease."""

    def __init__(
        self, supervisor: Supervisor, find: Callable[[str], Node], activities: Activities, say: Callable[..., None]
    ) -> None:
        self._supervisor, self._find, self._activities, self._say = supervisor, find, activities, say
        self._begun: dict[tuple[str, str], Activity] = {}

    def acts(self) -> dict[str, Handler]:
        return {"keep_killing": self._begin}

    def questions(self) -> dict[str, Handler]:
        return {"kills": self._kills}

    async def _begin(self, act: Json) -> Json:
        node = self._find(act["node"])
        number = getattr(signal, f"SIG{act['signal']}", None)
        if number is None:
            raise Refused(f"there is no signal {act['signal']!r}")
        work = partial(self._work, node, act["match"], number, act["every_s"], act["delay_s"])
        self._begun[act["tag"], node.name] = self._activities.begin(act["tag"], node.name, work)
        return {}

    async def _work(self, node: Node, match: Json, number: int, every_s: float, delay_s: float, activity: Activity) -> None:
        since: dict[tuple[int, int], float] | None = None
        killed: set[tuple[int, int]] = set()
        try:
            while True:
                now = time.monotonic()
                found = self._matching(node, match) if node.state == "up" else []
                present = {(info["pid"], info["start_ticks"]): info for info in found}
                # those that are there at the beginning are due at once
                since = dict.fromkeys(present, now - delay_s) if since is None else {key: since.get(key, now) for key in present}
                killed &= present.keys()
                for key, info in present.items():
                    due = now - since[key] >= delay_s
                    if due and key not in killed and self._hit(node, info, number):
                        killed.add(key)
                        activity.acts += 1
                        if activity.acts <= _TOLD:
                            text = f"{node.name}: killed {info['name']}, process {info['pid']}: kill number {activity.acts}"
                            self._say("note", text=text, author="backend")
                await asyncio.sleep(every_s)
        finally:
            await self._gone(node, match, killed)

    async def _gone(self, node: Node, match: Json, killed: set[tuple[int, int]]) -> None:
        """Wait for those that were hit last: what starts services again after this must not find them still running."""
        deadline = time.monotonic() + _DYING_S
        while node.state == "up" and time.monotonic() < deadline:
            if not killed & {(info["pid"], info["start_ticks"]) for info in self._matching(node, match)}:
                break
            await asyncio.sleep(0.005)

    def _matching(self, node: Node, match: Json) -> list[Mapping[str, Any]]:
        in_file = census.first_integer(node, match["pid_file"]) if match["pid_file"] is not None else None
        return choosing.chosen(match, census.listing(node, self._supervisor.mains(node.name)), in_file)

    def _hit(self, node: Node, info: Mapping[str, Any], number: int) -> bool:
        place = census.find(node, info["pid"])
        return place is not None and census.signalled(place[0], info["start_ticks"], number)

    async def _kills(self, query: Json) -> Json:
        activity = self._begun.get((query["tag"], query["node"]))
        if activity is None:
            return {"value": "none", "number": 0.0}
        kills = {"number": float(activity.acts)}
        if not activity.running:
            return {"value": "ended", **kills}
        return {"value": "killed again" if activity.acts > 1 else "killed" if activity.acts else "waiting", **kills}
