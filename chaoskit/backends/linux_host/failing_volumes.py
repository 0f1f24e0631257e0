"""Volumes that fail on purpose: lost, detached, hanging, read-only, full, slow, wrong, lying; and how each of them works again.

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

from chaoskit.backends.linux_host import census, syscalls
from chaoskit.backends.linux_host import volume_errands as on_volume
from chaoskit.backends.linux_host.department import Department, Handler
from chaoskit.backends.linux_host.disk_model import TAIL_BYTES
from chaoskit.backends.linux_host.disks import Disk, Disks
from chaoskit.backends.linux_host.errands import Hangs, beside, inside
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.volumes import Volumes, attached_to
from chaoskit.backends.linux_host.wire import Refused

_WITHIN_S = 20.0
_RELEASE_S = 8.0
_BALLAST = ".chaoskit-ballast"
_NEEDS_REPAIR = ("lost", "power_loss", "detach", "read_only")
_BY_DISK = ("lost", "power_loss", "detach", "hang", "slow", "errors", "lying")
"""What a programmable disk plays itself."""
_DISK_ONLY = ("slow", "errors", "lying")
_LASTING = ("slow", "lying")
"""What a power cycle of the node does not repair."""
_PROGRAM = ("how", "latency_s", "iops", "bytes_per_s", "share", "reads", "writes", "seed")


class FailingVolumes(Department):
    """What a lab can be told and asked about failing volumes."""

    def __init__(
        self, volumes: Volumes, disks: Disks, nursery: Nursery, find: Callable[[str], Node], say: Callable[..., None]
    ) -> None:
        self._volumes, self._disks, self._nursery, self._find, self._say = volumes, disks, nursery, find, say
        self._failed: dict[tuple[str, str], str] = {}
        self._probes: dict[tuple[str, str], asyncio.Future[int]] = {}

    def acts(self) -> dict[str, Handler]:
        return {"fail_volume": self._fail, "restore_volume": self._restore}

    def questions(self) -> dict[str, Handler]:
        return {
            "volume": self._ask_working,
            "volume_speed": self._ask_speed,
            "disk_errors": self._ask_errors,
            "disk_flushes": self._ask_flushes,
        }

    # ---- the node's power

    async def lose_power(self, node: Node) -> None:
        """What was not flushed is gone; what hangs goes on and ends with errors, for who waits cannot even be killed."""
        for disk in self._disks.of(node.name):
            try:
                self._note_loss(disk.name, await disk.tell("power", on=False))
            except Refused as refusal:  # a disk that is gone answers with errors: as good as without power
                self._say("problem", message=str(refusal))
        self._volumes.lose_unsynced(node.name, [volume["name"] for volume in node.plan["volumes"]])
        await self.thaw(node)

    def _note_loss(self, name: str, report: Json) -> str:
        lost, flushed = report["lost_bytes"], report["lost_flushed_bytes"]
        text = f"the disk of {name} lost {lost} bytes of its cache with its power, {flushed} of them acknowledged as flushed"
        self._say("note", text=text, author="backend")
        return text

    async def thaw(self, node: Node) -> None:
        """Let a node's hanging volumes go on. Nothing where none hangs."""
        for volume in node.plan["volumes"]:
            name = volume["name"]
            if self._failed.get((node.name, name)) == "hang":
                disk = self._disks.find(node.name, name)
                if disk is None:
                    syscalls.thaw_filesystem(str(self._volumes.place(node.name, name)))
                elif disk.alive:
                    await disk.tell("restore")

    async def regain_power(self, node: Node) -> None:
        """The node's volumes are about to be mounted afresh: what that repairs fails no more."""
        for disk in self._disks.of(node.name):
            await disk.tell("power", on=True)
        for key, how in list(self._failed.items()):
            if key[0] == node.name and how not in _LASTING:
                failing = self._disks.find(*key)
                if failing is not None and how in _BY_DISK:
                    await failing.tell("restore")
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
        disk = self._disks.find(node.name, volume)
        if disk is None and how in _DISK_ONLY:
            raise Refused(f"{node.name}: the volume {volume} is no programmable disk: write `kind: programmable` in the lab file")
        self._failed[key] = how
        said = ""
        try:
            if disk is not None and how in _BY_DISK:
                report = await disk.tell("fail", **{name: act[name] for name in _PROGRAM})
                said = self._note_loss(disk.name, report) if how == "power_loss" else ""
            if (failure := _failure(act, place, by_disk=disk is not None)) is not None:
                await self._child(failure, f"{node.name}: making {volume} fail ({how})")
        except Refused:
            if how in _NEEDS_REPAIR and disk is None:
                del self._failed[key]  # its repair would end processes that do no harm
            raise
        if how == "detach":
            await self._take_away(node, volume, mount)
        return {"output": said}

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
        disk = self._disks.find(node.name, volume)
        if how is not None and disk is not None and how in _BY_DISK:
            await disk.tell("restore")
        if how is not None and (node.init or os.path.ismount(place)):
            if how == "hang" and disk is None:
                syscalls.thaw_filesystem(str(place))
            elif how in ("full", "no_inodes"):
                await self._child(partial(on_volume.empty, f"{place}/{_BALLAST}"), f"{node.name}: emptying {volume}")
            elif how in _NEEDS_REPAIR or (how == "errors" and not await self._still_works(place)):
                node.mending += 1
                try:
                    said = await self._repair(node, volume, mount, check=how in ("read_only", "errors"))
                finally:
                    node.mending -= 1
        self._failed.pop(key, None)
        return {"output": said}

    async def _still_works(self, place: Path) -> bool:
        """Whether the file system took no harm: after an error in its journal ext4 writes no more."""
        try:
            await self._child(partial(on_volume.demand_working, str(place)), f"writing to {place}")
        except Refused:
            return False
        return True

    async def _repair(self, node: Node, volume: str, mount: str, *, check: bool) -> str:
        place = self._volumes.place(node.name, volume)
        image = self._volumes.image(node.name, volume)
        ended = await self._let_go(node, volume, mount) if os.path.ismount(place) else 0
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

    async def _ask_working(self, query: Json) -> Json:
        return await self._inside(query, on_volume.probed)

    async def _ask_speed(self, query: Json) -> Json:
        return await self._inside(query, on_volume.speed)

    async def _inside(self, query: Json, errand: Callable[[str, int, Json], Json]) -> Json:
        """What an errand at the volume's mount point says, or that the node is off or the volume hangs."""
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
            return await inside(self._nursery, node, partial(errand, mount, device, query), f"asking {mount}", within_s)
        except Hangs as hangs:
            self._probes[key] = hangs.ended
            return {"value": "hangs"}

    def _disk_asked(self, query: Json) -> tuple[Node, str, Disk]:
        node, volume, _ = self._named(query)
        disk = self._disks.find(node.name, volume)
        if disk is None:
            raise Refused(f"{node.name}: the volume {volume} is no programmable disk")
        return node, volume, disk

    async def _ask_errors(self, query: Json) -> Json:
        node, volume, disk = self._disk_asked(query)
        file, at = str(self._volumes.image(node.name, volume)), disk.size_bytes - TAIL_BYTES
        errand = partial(on_volume.errors_of, file, at, query)
        return await beside(self._nursery, node, errand, f"asking the disk of {volume}", query["timeout_s"])

    async def _ask_flushes(self, query: Json) -> Json:
        node, _, disk = self._disk_asked(query)
        if node.init:
            await self._ask_working({**query, "write_bytes": 1, "inodes": 1, "count_inodes": False})
        lies = (await disk.tell("report"))["flushes_not_done"]
        return {"value": "lying" if lies else "honest", "number": lies}


def _failure(act: Json, place: str, *, by_disk: bool) -> Callable[[], None] | None:
    """What is done to the file system itself; None where the disk beneath does all of it."""
    failures: dict[str, Callable[[], None]] = {
        "lost": partial(syscalls.shut_down_ext4, place),
        "power_loss": partial(syscalls.shut_down_ext4, place),
        "detach": partial(syscalls.shut_down_ext4, place),
        "read_only": partial(on_volume.break_file_system, place),
        "full": partial(on_volume.fill, f"{place}/{_BALLAST}", act["free_bytes"]),
        "no_inodes": partial(on_volume.fill_inodes, f"{place}/{_BALLAST}", act["free_inodes"]),
    }
    if not by_disk:
        failures["hang"] = partial(syscalls.freeze_filesystem, place)
    return failures.get(act["how"])


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
