"""What all processes of a node together may use, set through cgroups, and felt by a process in the node's place.

Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import math
import mmap
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from chaoskit.backends.linux_host import census, syscalls
from chaoskit.backends.linux_host.controllers import PERIOD_US, Group, LabGroups
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Nursery
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs

_LEAST = {"cpu": 1000 / PERIOD_US, "memory": 4 << 20, "pids": 1}
_SPIN_S = 0.35
_WITHIN_S = 8.0
_BEYOND_BYTES = 8 << 20
_STEP_BYTES = 1 << 20
_MOST_PROCESSES = 2000
_LOOKS, _LOOK_EVERY_S = 20, 0.002


class Quotas(Department):
    """What a lab can be told and asked about quotas of whole nodes."""

    def __init__(self, nursery: Nursery, find: Callable[[str], Node], groups: Callable[[], LabGroups]) -> None:
        self._nursery, self._find, self._groups = nursery, find, groups

    def acts(self) -> dict[str, Handler]:
        return {"set_quota": self._set}

    def questions(self) -> dict[str, Handler]:
        return {"quota": self._quota, "beyond": self._beyond}

    async def _set(self, act: Json) -> Json:
        node, controller, value = self._find(act["node"]), act["resource"], act["value"]
        groups = self._groups()
        group = groups.find(node.name, controller)
        if value is None:
            if group is not None:
                group.set_limit(None)
                groups.release(node.name, controller)
            return {}
        self._check(node, controller, value)
        if group is None:
            group = groups.take(node.name, node.cgroup, controller, lambda: census.members(node))
        try:
            group.set_limit(value)
        except OSError as error:
            used = group.used()
            groups.release(node.name, controller)
            if error.errno == errno.EBUSY:
                raise Refused(
                    f"{node.name} uses {used:.0f} bytes of memory now, and the kernel cannot take enough back"
                ) from None
            raise
        return {}

    def _check(self, node: Node, controller: str, value: float) -> None:
        if value < _LEAST[controller]:
            raise Refused(f"{node.name}: a quota of {value:g} for {controller} is too small: at least {_LEAST[controller]:g}")
        processors = len(os.sched_getaffinity(0))
        if controller == "cpu" and value >= processors:
            raise Refused(f"{node.name}: a quota of {value:g} cores limits nothing here: there are {processors}")
        most = procfs.available_bytes(Path("/proc/meminfo").read_text(encoding="ascii")) / 2
        if controller == "memory" and value > most:
            # what proves it allocates as much
            raise Refused(f"{node.name}: a limit of {value:.0f} bytes is more than half of the {2 * most:.0f} available here")

    async def _quota(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "off"}
        group = self._groups().find(node.name, query["resource"])
        if group is None:
            return {"value": "unlimited"}
        limit = group.limit()
        used = await _standing_use(group)
        return {"value": "unlimited" if limit is None else f"{limit:g}" if limit % 1 else f"{limit:.0f}", "number": used}

    async def _beyond(self, query: Json) -> Json:
        node = self._find(query["node"])
        if not node.init:
            return {"value": "off"}
        group = self._groups().find(node.name, query["resource"])
        limit = group.limit() if group is not None else None
        if group is None or limit is None:
            return {"value": "unlimited"}
        tried = {"cpu": self._spin, "memory": self._allocate, "pids": self._fork}[query["resource"]]
        before = group.denials()
        denied, got = await tried(group, limit)
        # the kernel's own count as well: what this process felt must not be another's doing
        return {"value": "denied" if denied and group.denials() > before else "granted", "number": got}

    async def _spin(self, group: Group, limit: float) -> tuple[bool, float]:
        """One process more than the quota would let run."""
        spinners = min(math.floor(limit) + 1, len(os.sched_getaffinity(0)))
        counted = mmap.mmap(-1, 8 * spinners)
        children = []
        try:
            for at in range(spinners):
                children.append(self._nursery.fork(partial(_spun, group, counted, at)))
            await asyncio.wait_for(asyncio.gather(*(ended for _, ended in children)), _WITHIN_S)
            got = sum(int.from_bytes(counted[8 * at : 8 * at + 8], "little") for at in range(spinners)) / 1e9 / _SPIN_S
        finally:
            _kill(pid for pid, ended in children if not ended.done())
            counted.close()
        return True, got

    async def _allocate(self, group: Group, limit: float) -> tuple[bool, float]:
        counted = mmap.mmap(-1, 8)
        pid, ended = self._nursery.fork(lambda: _allocated(group, counted, round(limit) + _BEYOND_BYTES))
        try:
            code = await asyncio.wait_for(asyncio.shield(ended), _WITHIN_S)
            return code != 0, float(int.from_bytes(counted[:8], "little"))
        except TimeoutError:
            raise Refused(f"allocating {limit:.0f} bytes and more was not over within {_WITHIN_S:g} s") from None
        finally:
            _kill([pid] if not ended.done() else [])
            counted.close()

    async def _fork(self, group: Group, limit: float) -> tuple[bool, float]:
        counted = mmap.mmap(-1, 16)
        pid, ended = self._nursery.fork(lambda: _forked(group, counted, min(round(limit) + 1, _MOST_PROCESSES)))
        try:
            await asyncio.wait_for(asyncio.shield(ended), _WITHIN_S)
            started, failed = (int.from_bytes(counted[at : at + 8], "little") for at in (0, 8))
            return failed == errno.EAGAIN, float(started)
        finally:
            _kill([pid] if not ended.done() else [])
            counted.close()


async def _standing_use(group: Group) -> float | None:
    """Without processes that live for a moment: a limit that counts one of those leaves room for the next one."""
    least = group.used()
    if group.controller == "pids" and least is not None:
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_EVERY_S)
            least = min(least, group.used() or 0.0)
    return least


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _enter(group: Group, name: str) -> None:
    syscalls.die_with_parent()
    syscalls.name_process(name)
    (group.path / "cgroup.procs").write_text("0", encoding="ascii")


def _spun(group: Group, counted: mmap.mmap, at: int) -> int:
    _enter(group, "chaoskit-spin")
    began, used = time.monotonic(), time.process_time_ns()
    while time.monotonic() - began < _SPIN_S:
        pass
    counted[8 * at : 8 * at + 8] = (time.process_time_ns() - used).to_bytes(8, "little")
    return 0


def _allocated(group: Group, counted: mmap.mmap, wanted: int) -> int:
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    _enter(group, "chaoskit-alloc")
    filling = b"\x5a" * _STEP_BYTES
    try:
        with mmap.mmap(-1, wanted, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as taken:
            for at in range(0, wanted - _STEP_BYTES, _STEP_BYTES):
                taken[at : at + _STEP_BYTES] = filling
                counted[:8] = (at + _STEP_BYTES).to_bytes(8, "little")
    except (MemoryError, OSError):
        return 1
    return 0


def _forked(group: Group, counted: mmap.mmap, wanted: int) -> int:
    """Starts so many, or as many as can be, and ends them."""
    _enter(group, "chaoskit-fork")
    started: list[int] = []
    try:
        while len(started) < wanted:
            pid = os.fork()
            if pid == 0:
                syscalls.die_with_parent()
                signal.pause()
                os._exit(0)
            started.append(pid)
            counted[:8] = len(started).to_bytes(8, "little")
    except OSError as error:
        counted[8:16] = (error.errno or 0).to_bytes(8, "little")
    _kill(started)
    for pid in started:
        os.waitpid(pid, 0)
    return 0
