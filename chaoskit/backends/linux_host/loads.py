"""Loads: processes of a node that use its processors, memory or a volume, for as long as they are told to.

A load is forked from the holder into the node's namespaces and groups, so it is limited, frozen and powered off with the node,
and nothing of it is left when the node, the lab or its owner ends. Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import mmap
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from chaoskit.backends.linux_host import load_process
from chaoskit.backends.linux_host.activities import Activities, Activity
from chaoskit.backends.linux_host.controllers import LabGroups
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node, start_body_in_node
from chaoskit.backends.linux_host.processes import Nursery, PipeText
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs

SHARE_OF_MEMORY = 0.8
"""Of what is available on this machine, a load takes no more."""
_BEGINS_WITHIN_S = 3.0
_ENDS_WITHIN_S = 4.0


@dataclass
class _Load:
    kind: str
    pid: int
    ended: asyncio.Future[int]
    counted: mmap.mmap
    """One number of 8 bytes a worker: nanoseconds of CPU time, or bytes."""
    workers: int
    amount_bytes: int

    def counts(self) -> list[int]:
        return [int.from_bytes(self.counted[8 * at : 8 * at + 8], "little") for at in range(self.workers)]


class Loads(Department):
    """What a lab can be told and asked about loads."""

    def __init__(
        self, nursery: Nursery, find: Callable[[str], Node], groups: Callable[[], LabGroups], activities: Activities
    ) -> None:
        self._nursery, self._find, self._groups, self._activities = nursery, find, groups, activities
        self._loads: dict[tuple[str, str], _Load] = {}

    def acts(self) -> dict[str, Handler]:
        return {"start_load": self._start}

    def questions(self) -> dict[str, Handler]:
        return {"load": self._ask}

    async def _start(self, act: Json) -> Json:
        node, kind = self._find(act["node"]), act["load"]
        key = (act["tag"], node.name)
        if key in self._loads and not self._loads[key].ended.done():
            raise Refused(f"{act['tag']}: the same goes on already on {node.name}")
        amount = self._amount(node, act)
        workers = (act["workers"] or len(os.sched_getaffinity(0))) if kind == "cpu" else 1
        counted = mmap.mmap(-1, 8 * workers)
        body = {
            "cpu": partial(load_process.spin, counted, workers, act["share"]),
            "memory": partial(load_process.hold, counted, amount),
            "disk": partial(load_process.write, counted, self._mount(node, act["volume"]), amount, act["chunk_bytes"]),
        }[kind]
        load = await self._begun(node, kind, body, counted)
        load.workers, load.amount_bytes = workers, amount
        self._loads[key] = load
        self._activities.begin(act["tag"], node.name, partial(self._last, node, load), ends_with_node=True)
        return {"output": f"pid {load.pid}"}

    async def _begun(self, node: Node, kind: str, body: Callable[[], int], counted: mmap.mmap) -> _Load:
        """The load's first process, once it says that it begins. Refused with its words where it does not."""
        said = PipeText(4096)
        groups = ([node.cgroup] if node.cgroup is not None else []) + node.limiting()
        try:
            pid = start_body_in_node(node, partial(load_process.begin, body), said.writer, groups=groups)
        except BaseException:
            os.close(said.writer)
            os.close(said.reader)
            raise
        self._nursery.forget(pid)
        ended = self._nursery.expect(pid)
        said.listen()
        load = _Load(kind, pid, ended, counted, 1, 0)
        words = await said.finish(_BEGINS_WITHIN_S)  # it closes its end when it begins
        if words != load_process.BEGUN:
            await _killed(load)
            raise Refused(f"{node.name}: a load could not begin: {words or 'its process ended without a word'}")
        return load

    async def _last(self, node: Node, load: _Load, activity: Activity) -> None:
        """Until it ends, however that comes."""
        activity.acts += 1
        try:
            code = await asyncio.shield(load.ended)
            if node.init:
                raise RuntimeError(f"its process ended by itself: {'killed' if code == -signal.SIGKILL else f'exit code {code}'}")
        finally:
            await _killed(load)

    def _amount(self, node: Node, act: Json) -> int:
        """Bytes of memory or of a file. Refused where that would hurt more than the node."""
        if act["load"] != "memory":
            return int(act["amount_bytes"])
        available = procfs.available_bytes(Path("/proc/meminfo").read_text(encoding="ascii"))
        group = self._groups().find(node.name, "memory")
        limit = group.limit() if group is not None else None
        room = available if group is None or limit is None else max(0, round(limit - (group.used() or 0.0)))
        leave: int | None = act["leave_bytes"]
        amount = int(act["amount_bytes"]) if leave is None else room - leave
        if amount < mmap.PAGESIZE:
            raise Refused(f"{node.name} has {room} bytes of memory left: no load leaves it {leave}")
        # a node's limit, where there is one, protects the machine: what exceeds it is killed in the node
        if limit is None and amount > (most := round(SHARE_OF_MEMORY * available)):
            raise Refused(f"{node.name}: a load of {amount} bytes is too much: of the {available} available here, at most {most}")
        return amount

    def _mount(self, node: Node, volume: str | None) -> str:
        if volume is None:
            return ""
        for there in node.plan["volumes"]:
            if there["name"] == volume:
                return there["mount"]
        raise Refused(
            f"{node.name} has no volume {volume!r}; it has {', '.join(v['name'] for v in node.plan['volumes']) or 'none'}"
        )

    async def _ask(self, query: Json) -> Json:
        load = self._loads.get((query["tag"], query["node"]))
        if load is None:
            return {"value": "none"}
        before, began = load.counts(), time.monotonic()
        if load.kind != "memory":
            await asyncio.sleep(query["window_s"])
        after, took_s = load.counts(), time.monotonic() - began
        if load.ended.done():
            return {"value": "ended"}
        if load.kind == "memory":
            resident = min(after[0], _resident_bytes(load.pid))
            return {"value": "busy" if after[0] >= load.amount_bytes else "beginning", "number": float(resident)}
        rates = [(now - then) / took_s for now, then in zip(after, before, strict=True)]
        rate = sum(rates) / (1e9 if load.kind == "cpu" else 1)
        return {"value": "busy" if all(rates) else "idle", "number": round(rate, 3)}


def _resident_bytes(pid: int) -> int:
    try:
        return procfs.resident_bytes(Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return 0


async def _killed(load: _Load) -> None:
    """SIGKILL to it and all its workers. Refused where it outlives that."""
    if not load.ended.done():
        with contextlib.suppress(ProcessLookupError):
            os.killpg(load.pid, signal.SIGKILL)
    done, _ = await asyncio.wait([load.ended], timeout=_ENDS_WITHIN_S)
    if not done:
        raise Refused(f"the load's process {load.pid} outlives SIGKILL")
