"""Limits of running processes, lowered and given back through prlimit. Standard library only."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import Callable
from pathlib import Path

from chaoskit.backends.linux_host import census
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Nursery
from chaoskit.backends.linux_host.wire import Refused
from chaoskit.linux import procfs

_NUMBERS = {"descriptors": resource.RLIMIT_NOFILE}


class Limits(Department):
    """What a lab can be told and asked about the limits of exact processes."""

    def __init__(self, nursery: Nursery, find: Callable[[str], Node]) -> None:
        self._nursery, self._find = nursery, find

    def acts(self) -> dict[str, Handler]:
        return {"set_limit": self._set}

    def questions(self) -> dict[str, Handler]:
        return {"limit": self._limit, "room": self._room}

    def _exactly(self, node: str, process: Json) -> int | None:
        """The holder's number of this very process; None where it is gone."""
        place = self._find(node)
        found = census.find(place, process["pid"]) if place.init else None
        gone = found is None or found[1].start_ticks != process["start_ticks"] or found[1].state in "ZX"
        return None if gone or found is None else found[0]

    async def _set(self, act: Json) -> Json:
        wanted = (act["soft"], act["hard"])
        gone = []
        for process in act["processes"]:
            pid = self._exactly(act["node"], process)
            if pid is None:
                gone.append(str(process["pid"]))
                continue
            with contextlib.suppress(ProcessLookupError):
                await self._limited(pid, _NUMBERS[act["resource"]], wanted)
        return {"output": f"gone already: {', '.join(gone)}" if gone else ""}

    async def _limited(self, pid: int, number: int, wanted: tuple[int, int]) -> None:
        try:
            resource.prlimit(pid, number, wanted)
        except PermissionError:
            # without CAP_SYS_RESOURCE only a process of the same user may
            user, group = _owner(pid)

            def as_owner() -> None:
                os.setgroups([])
                os.setresgid(group, group, group)
                os.setresuid(user, user, user)
                resource.prlimit(pid, number, wanted)

            try:
                await self._nursery.call(as_owner, f"setting a limit of process {pid}")
            except RuntimeError as error:
                raise Refused(str(error)) from None
        except ValueError as error:  # what the kernel calls EINVAL
            raise Refused(f"the limit {wanted[0]}:{wanted[1]} of process {pid}: {error}") from None

    async def _limit(self, query: Json) -> Json:
        pid = self._exactly(query["node"], query["process"])
        if pid is None:
            return {"value": "gone"}
        try:
            shown = procfs.limits(Path(f"/proc/{pid}/limits").read_text(encoding="ascii"))[_NAMES[query["resource"]]]
            return {"value": ":".join(shown), "number": float(len(os.listdir(f"/proc/{pid}/fd")))}
        except FileNotFoundError:
            return {"value": "gone"}

    async def _room(self, query: Json) -> Json:
        pid = self._exactly(query["node"], query["process"])
        if pid is None:
            return {"number": None}
        taken = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
        free = (number for number in range(len(taken) + query["spare"] + 1) if number not in taken)
        for _ in range(query["spare"]):
            next(free)
        return {"number": float(next(free))}


_NAMES = {"descriptors": "Max open files"}


def _owner(pid: int) -> tuple[int, int]:
    seen = os.stat(f"/proc/{pid}")
    return seen.st_uid, seen.st_gid
