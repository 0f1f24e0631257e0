"""What goes on by itself in a lab until it is told to cease: links that flap, processes that are killed again and again.

An activity is a task of the holder's loop under a fault's tag. It outlives whoever asked for it, but not the lab: the armed
heal of its fault ends it when chaoskit is gone. Standard library only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.wire import Refused

_CEASE_DEADLINE_S = 5.0
_ENDED_KEPT = 1000


class Activity:
    """One thing that goes on by itself. Whoever does it counts its acts here."""

    def __init__(self, tag: str, node: str, ends_with_node: bool) -> None:
        self.tag, self.node, self.ends_with_node = tag, node, ends_with_node
        self.acts = 0
        self.task: asyncio.Task[None] | None = None

    @property
    def running(self) -> bool:
        return self.task is not None and not self.task.done()


Work = Callable[[Activity], Awaitable[None]]


class Activities(Department):
    """Begins, counts and ends them. Other departments get it by their constructor and call `begin`."""

    def __init__(self, say: Callable[..., None]) -> None:
        self._say = say
        self._all: dict[tuple[str, str], Activity] = {}

    def acts(self) -> dict[str, Handler]:
        return {"cease": self._cease}

    def questions(self) -> dict[str, Handler]:
        return {"activity": self._activity}

    def begin(self, tag: str, node: str, work: Work, *, ends_with_node: bool = False) -> Activity:
        """Let `work` go on under this tag, for this node ("" for none in particular), until it returns or is told to cease.

        It is cancelled then, and its `finally` may put things right. `ends_with_node`: the node's end is its end too; else it
        has to bear that the node is off for a while. Where it raises, the lab's events say so. Refused where the same goes on.
        """
        found = self._all.get((tag, node))
        if found is not None and found.running:
            raise Refused(f"{tag}: the same goes on already{f' on {node}' if node else ''}")
        activity = self._all[tag, node] = Activity(tag, node, ends_with_node)
        activity.task = asyncio.get_running_loop().create_task(_worked(work, activity))
        activity.task.add_done_callback(lambda task: self._ended(activity, task))
        self._forget_the_oldest()
        return activity

    def _ended(self, activity: Activity, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            where = f" on {activity.node}" if activity.node else ""
            self._say("problem", message=f"{activity.tag}: what went on by itself{where} failed: {error}")

    def _forget_the_oldest(self) -> None:
        done = [key for key, activity in self._all.items() if not activity.running]
        for key in done[: max(0, len(done) - _ENDED_KEPT)]:
            del self._all[key]

    async def _cease(self, act: Json) -> Json:
        ceasing = [activity for activity in self._all.values() if activity.tag == act["tag"]]
        tasks = [activity.task for activity in ceasing if activity.task is not None and activity.running]
        for task in tasks:
            task.cancel()
        if tasks:
            _, left = await asyncio.wait(tasks, timeout=_CEASE_DEADLINE_S)
            if left:
                raise Refused(f"{act['tag']}: what goes on by itself does not end within {_CEASE_DEADLINE_S:g} s")
        return {"output": f"{sum(activity.acts for activity in ceasing)} acts" if ceasing else "nothing went on"}

    async def _activity(self, query: Json) -> Json:
        asked = [a for a in self._all.values() if a.tag == query["tag"] and query["node"] in (None, a.node)]
        acts: dict[str, Any] = {"number": float(sum(activity.acts for activity in asked))}
        if not asked:
            return {"value": "none", **acts}
        return {"value": "running" if any(activity.running for activity in asked) else "ended", **acts}

    def node_ended(self, node: Node) -> None:
        for activity in self._all.values():
            if activity.node == node.name and activity.ends_with_node and activity.task is not None:
                activity.task.cancel()

    def lab_ending(self) -> None:
        for activity in self._all.values():
            if activity.task is not None:
                activity.task.cancel()


async def _worked(work: Work, activity: Activity) -> None:
    await work(activity)
