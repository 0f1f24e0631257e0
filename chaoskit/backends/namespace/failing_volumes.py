"""Volumes that fail on purpose: lost, hanging, read-only, full; and how each of them works again.

A volume that was lost or turned read-only can only be had back by a fresh mount, and that only when nobody holds the dead one:
as on a real host, the processes that still do are ended first.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from chaoskit.backends.namespace import census, syscalls
from chaoskit.backends.namespace.department import Department, Handler
from chaoskit.backends.namespace.errands import Hangs, inside
from chaoskit.backends.namespace.node import Node
from chaoskit.backends.namespace.processes import Json, Nursery
from chaoskit.backends.namespace.volumes import MKFS_PATH, Volumes, attached_loops
from chaoskit.backends.namespace.wire import Refused

_WITHIN_S = 20.0
_RELEASE_S = 8.0
_BALLAST = ".chaoskit-ballast"
_BLOCK_BYTES = 4096
_SAID = {errno.EIO: "eio", errno.EUCLEAN: "eio", errno.ESHUTDOWN: "eio", errno.EROFS: "read_only", errno.ENOSPC: "full"}


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
        node, volume, _ = self._named(act)
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
            "hang": partial(syscalls.freeze_filesystem, place),
            "read_only": partial(_break, place),
            "full": partial(_fill, f"{place}/{_BALLAST}", act["free_bytes"]),
        }
        self._failed[key] = how
        try:
            await self._child(failures[how], f"{node.name}: making {volume} fail ({how})")
        except Refused:
            if how in ("lost", "read_only"):
                del self._failed[key]  # its repair would end processes that do no harm
            raise
        return {}

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
            elif how == "full":
                await self._child(partial(_remove, f"{place}/{_BALLAST}"), f"{node.name}: emptying {volume}")
            else:
                said = await self._repair(node, volume, mount, check=how == "read_only")
        self._failed.pop(key, None)
        return {"output": said}

    async def _repair(self, node: Node, volume: str, mount: str, *, check: bool) -> str:
        place = self._volumes.place(node.name, volume)
        device = place.stat().st_dev
        ended: set[int] = set()
        deadline = time.monotonic() + _RELEASE_S
        taken = not node.init
        while True:
            held = holders(node, device)
            for pid in held:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            ended.update(held)
            if not held and not taken:
                await inside(self._nursery, node, partial(_unmounted, mount), f"unmounting {mount}", _WITHIN_S)
                self._volumes.unmount(node.name, volume)
                taken = True
            if taken and not attached_loops(str(place) + ".img"):
                break
            if time.monotonic() > deadline:
                raise Refused(f"{node.name}: {volume} is still in use after {_RELEASE_S:g} s", f"holder's numbers {held}")
            await asyncio.sleep(0.01)
        if check:
            await self._child(partial(_check, f"{place}.img"), f"{node.name}: checking {volume}")
        await self._child(partial(self._volumes.mount, node.name, volume), f"{node.name}: mounting {volume}")
        if node.init:
            tree = syscalls.clone_mount(str(place))
            try:
                put = partial(_put, tree, mount)
                await inside(self._nursery, node, put, f"mounting {mount}", _WITHIN_S, keep=(tree,))
            finally:
                os.close(tree)
        return f"mounted anew; {len(ended)} processes that held the dead one were ended"

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
            probe = partial(_probed, mount, query["write_bytes"])
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


def _break(place: str) -> None:
    """Report an error to ext4, which turns read-only as it does for a real one."""
    syscalls.mount("none", place, "", syscalls.MS_REMOUNT | syscalls.MS_NODEV, "errors=remount-ro")
    device = os.stat(place).st_dev
    name = os.path.basename(os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}"))
    Path(f"/sys/fs/ext4/{name}/trigger_fs_error").write_text("chaoskit", encoding="utf-8")


def _check(image: str) -> None:
    """Repair what the error report left in the superblock."""
    done = subprocess.run(
        ["e2fsck", "-f", "-p", image], capture_output=True, text=True, check=False, timeout=_WITHIN_S, env={"PATH": MKFS_PATH}
    )
    if done.returncode & ~3:  # 1 and 2: errors were corrected
        raise RuntimeError(f"e2fsck {image}: exit code {done.returncode}: {done.stdout}{done.stderr}")


def _free_bytes(place: str) -> int:
    seen = os.statvfs(place)
    return seen.f_bavail * seen.f_frsize


def _fill(ballast: str, free_bytes: int) -> None:
    """Allocate until no more than this is free."""
    fd = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        size = chunk = 0
        while (left := _free_bytes(os.path.dirname(ballast)) - free_bytes) >= _BLOCK_BYTES:
            chunk = min(chunk or left, left) // _BLOCK_BYTES * _BLOCK_BYTES
            try:
                os.posix_fallocate(fd, size, chunk)
                size += chunk
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                chunk //= 2
                if chunk < _BLOCK_BYTES:
                    break
        os.fsync(fd)
    finally:
        os.close(fd)


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _unmounted(mount: str) -> Json:
    if os.path.ismount(mount):
        syscalls.unmount(mount, detach=True)
    return {}


def _put(tree: int, mount: str) -> Json:
    syscalls.attach_mount(tree, mount)
    return {}


def _probed(mount: str, write_bytes: int) -> Json:
    """Write and flush a file without a name, which is gone with this process."""
    try:
        fd = os.open(mount, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if write_bytes > _BLOCK_BYTES:
                os.posix_fallocate(fd, 0, write_bytes)
            os.write(fd, bytes(min(write_bytes, _BLOCK_BYTES)))
            os.fsync(fd)
        finally:
            os.close(fd)
    except OSError as error:
        if error.errno not in _SAID:
            raise
        return {"value": _SAID[error.errno], "number": _free_bytes(mount) if error.errno == errno.ENOSPC else None}
    return {"value": "works", "number": _free_bytes(mount)}
