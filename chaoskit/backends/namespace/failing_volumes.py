"""Volumes that fail on purpose: lost, detached, hanging, read-only, full; and how each of them works again.

A volume that was lost or turned read-only can only be had back by a fresh mount, and that only when nobody holds the dead one:
as on a real host, the processes that still do are ended first.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from chaoskit.backends.namespace import census, syscalls
from chaoskit.backends.namespace import volume_errands as on_volume
from chaoskit.backends.namespace.department import Department, Handler
from chaoskit.backends.namespace.errands import Hangs, inside
from chaoskit.backends.namespace.node import Node
from chaoskit.backends.namespace.processes import Json, Nursery
from chaoskit.backends.namespace.volumes import Volumes, attached_to
from chaoskit.backends.namespace.wire import Refused

_WITHIN_S = 20.0
_RELEASE_S = 8.0
_BALLAST = ".chaoskit-ballast"
_NEEDS_REPAIR = ("lost", "detach", "read_only")


class FailingVolumes(Department):
    """What a lab can be told and asked about failing volumes."""

    def __init__(self, volumes: Volumes, nursery: Nursery, find: Callable[[str], Node]) -> None:
        self._volumes, self._nursery, self._find = volumes, nursery, find
        self._failed: dict[tuple[str, str], str] = {}
        self._probes: dict[tuple[str, str], asyncio.Future[int]] = {}

    def acts(self) -> dict[str, Handler]:
        return {"fail_volume": self._fail, "restore_volume": self._restore}

    def questions(self) -> dict[str, Handler]:
        return {"volume": self._ask}

    def thaw(self, node: Node) -> None:
        """Let a node's hanging volumes go on: who waits for one cannot even be killed. Nothing where none hangs."""
        for volume in node.plan["volumes"]:
            if self._failed.get((node.name, volume["name"])) == "hang":
                syscalls.thaw_filesystem(str(self._volumes.place(node.name, volume["name"])))

    def node_booting(self, node: Node) -> None:
        """The node's volumes are about to be mounted afresh: none of them fails any more."""
        for key in [key for key in self._failed if key[0] == node.name]:
            del self._failed[key]

    def _named(self, asked: Json) -> tuple[Node, str, str]:
        """(node, volume, where the node mounts it)."""
        node = self._find(asked["node"])
        for volume in node.plan["volumes"]:
            if volume["name"] == asked["volume"]:
                return node, volume["name"], volume["mount"]
        known = ", ".join(v["name"] for v in node.plan["volumes"]) or "none"
        raise Refused(f"{node.name} has no volume {asked['volume']!r}; it has {known}")

    # ---- failing

    async def _fail(self, act: Json) -> Json:
        node, volume, mount = self._named(act)
        how, key = act["how"], (node.name, volume)
        place = str(self._volumes.place(node.name, volume))
        if not self._volumes.loop_backed:
            raise Refused(f"{node.name}: the volume {volume} is a plain directory, which cannot fail")
        if not os.path.ismount(place):
            raise Refused(f"{node.name} is off: its volumes are not mounted")
        if key in self._failed:
            raise Refused(f"{node.name}: the volume {volume} fails already ({self._failed[key]})")
        failures: dict[str, Callable[[], None]] = {
            "lost": partial(syscalls.shut_down_ext4, place),
            "detach": partial(syscalls.shut_down_ext4, place),
            "hang": partial(syscalls.freeze_filesystem, place),
            "read_only": partial(on_volume.break_file_system, place),
            "full": partial(on_volume.fill, f"{place}/{_BALLAST}", act["free_bytes"]),
            "no_inodes": partial(on_volume.fill_inodes, f"{place}/{_BALLAST}", act["free_inodes"]),
        }
        self._failed[key] = how
        try:
            await self._child(failures[how], f"{node.name}: making {volume} fail ({how})")
        except Refused:
            if how in _NEEDS_REPAIR:
                del self._failed[key]  # its repair would end processes that do no harm
            raise
        if how == "detach":
            await self._take_away(node, volume, mount)
        return {}

    async def _take_away(self, node: Node, volume: str, mount: str) -> None:
        device = self._volumes.place(node.name, volume).stat().st_dev
        unmounted = partial(on_volume.unmounted, mount, device)
        await inside(self._nursery, node, unmounted, f"unmounting {mount}", _WITHIN_S)

    async def _child(self, body: Callable[[], None], what: str) -> None:
        try:
            await asyncio.wait_for(self._nursery.call(body, what), _WITHIN_S)
        except RuntimeError as error:
            raise Refused(str(error)) from None
        except TimeoutError:
            raise Refused(f"{what} did not end within {_WITHIN_S:g} s") from None

    # ---- and working again

    async def _restore(self, act: Json) -> Json:
        node, volume, mount = self._named(act)
        key = (node.name, volume)
        how = self._failed.get(key)
        place = self._volumes.place(node.name, volume)
        said = "it works"
        if how is not None and os.path.ismount(place):
            if how == "hang":
                syscalls.thaw_filesystem(str(place))
            elif how in ("full", "no_inodes"):
                await self._child(partial(on_volume.empty, f"{place}/{_BALLAST}"), f"{node.name}: emptying {volume}")
            else:
                node.mending += 1
                try:
                    said = await self._repair(node, volume, mount, check=how == "read_only")
                finally:
                    node.mending -= 1
        self._failed.pop(key, None)
        return {"output": said}

    async def _repair(self, node: Node, volume: str, mount: str, *, check: bool) -> str:
        place = self._volumes.place(node.name, volume)
        image = self._volumes.image(node.name, volume)
        ended = await self._let_go(node, volume, mount)
        if check:
            await self._child(partial(on_volume.check, str(image)), f"{node.name}: checking {volume}")
        await self._child(partial(self._volumes.mount, node.name, volume), f"{node.name}: mounting {volume}")
        if node.init:
            tree = syscalls.clone_mount(str(place))
            try:
                put = partial(on_volume.put, tree, mount)
                await inside(self._nursery, node, put, f"mounting {mount}", _WITHIN_S, keep=(tree,))
            finally:
                os.close(tree)
        return f"mounted anew; {ended} processes that held the dead one were ended"

    async def _let_go(self, node: Node, volume: str, mount: str) -> int:
        """End whoever holds the dead volume until its device is free; how many that were."""
        place, image = self._volumes.place(node.name, volume), self._volumes.image(node.name, volume)
        device = place.stat().st_dev
        ended: set[int] = set()
        deadline = time.monotonic() + _RELEASE_S
        mounted = True
        while True:
            held = holders(node, device)
            for pid in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            ended.update(held)
            if not held and mounted:
                if node.init:
                    await self._take_away(node, volume, mount)
                self._volumes.unmount(node.name, volume)
                mounted = False
            if not mounted and not attached_to(str(image)):
                return len(ended)
            if time.monotonic() > deadline:
                raise Refused(f"{node.name}: {volume} is still in use after {_RELEASE_S:g} s", f"holder's numbers {held}")
            await asyncio.sleep(0.01)

    # ---- asking

    async def _ask(self, query: Json) -> Json:
        node, volume, mount = self._named(query)
        key, within_s = (node.name, volume), query["timeout_s"]
        if not node.init:
            return {"value": "off"}
        if (waiting := self._probes.get(key)) is not None:
            done, _ = await asyncio.wait([waiting], timeout=within_s)
            if not done:
                return {"value": "hangs"}
            del self._probes[key]
        try:
            device = self._volumes.place(node.name, volume).stat().st_dev
            probe = partial(on_volume.probed, mount, device, query)
            return await inside(self._nursery, node, probe, f"writing to {mount}", within_s)
        except Hangs as hangs:
            self._probes[key] = hangs.ended
            return {"value": "hangs"}


def holders(node: Node, device: int) -> list[int]:
    """The holder's numbers of a node's processes that have something of this device open, mapped, or as their directory."""
    marked = f"{os.major(device):02x}:{os.minor(device):02x}"
    return [pid for pid in census.members(node) if pid != node.init and _holds(pid, device, marked)]


def _holds(pid: int, device: int, marked: str) -> bool:
    with contextlib.suppress(OSError):
        links: Iterable[str] = (f"fd/{number}" for number in os.listdir(f"/proc/{pid}/fd"))
        for link in (*links, "cwd", "root", "exe"):
            with contextlib.suppress(OSError):
                if os.stat(f"/proc/{pid}/{link}").st_dev == device:
                    return True
        maps = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
        return any(line.split()[3] == marked for line in maps.splitlines())
    return False
