"""Wall clocks of a node's processes: what can be told and asked. Standard library only."""

from __future__ import annotations

import time
from collections.abc import Callable

from chaoskit.backends.linux_host import census, shifted_vdso
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.errands import beside
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Nursery
from chaoskit.backends.linux_host.shifted_vdso import Target

_WITHIN_S = 20.0


class Clocks(Department):
    """Shifts clocks and tells how far they are off. The work is done by children: this process must not trace its own."""

    def __init__(self, nursery: Nursery, find: Callable[[str], Node]) -> None:
        self._nursery, self._find = nursery, find

    def acts(self) -> dict[str, Handler]:
        return {"shift_clock": self._shift}

    def questions(self) -> dict[str, Handler]:
        return {"clock": self._ask}

    async def _shift(self, act: Json) -> Json:
        node = self._find(act["node"])
        offset_ns, rate_ppb = _amounts(act)
        since_ns = time.time_ns()
        if not node.init:
            return {"output": "the node is off: its processes are gone"}

        def errand() -> Json:
            if not (offset_ns or rate_ppb):
                return shifted_vdso.restore(lambda: _everybody(node), act["tag"])
            return shifted_vdso.shift(_named(node, act["processes"]), act["tag"], offset_ns, rate_ppb, since_ns)

        return await beside(self._nursery, node, errand, "shifting clocks", _WITHIN_S)

    async def _ask(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "gone"}

        def errand() -> Json:
            named = _named(node, query["processes"])
            return shifted_vdso.judged(named, _everybody(node), query["tag"], *_amounts(query))

        return await beside(self._nursery, node, errand, "reading clocks", _WITHIN_S)


def _amounts(asked: Json) -> tuple[int, int]:
    """(offset in ns, rate in parts per billion)."""
    return round(asked["offset_s"] * 1e9), round(asked["rate_ppm"] * 1e3)


def _everybody(node: Node) -> list[Target]:
    return [Target(pid, stat.start_ticks) for pid, stat in census.members(node).items() if pid != node.init]


def _named(node: Node, wanted: list[Json]) -> list[Target]:
    """Those of these processes, as the node numbers them, that there are."""
    numbers = {(census.inner_number(target.pid), target.start_ticks): target for target in _everybody(node)}
    return [numbers[key] for process in wanted if (key := (process["pid"], process["start_ticks"])) in numbers]
