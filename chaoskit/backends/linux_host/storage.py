"""The volumes of a lab's nodes over their lives: made, attached to a node that boots, without power, mounted again, given back.

They are mounted in the holder's own mount namespace, and from there put into the nodes'. Standard library only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterable
from functools import partial

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.disks import Disks
from chaoskit.backends.linux_host.errands import inside
from chaoskit.backends.linux_host.failing_volumes import FailingVolumes
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.volumes import Volumes
from chaoskit.backends.linux_host.wire import Refused, VolumeJson

_ATTACH_WITHIN_S = 20.0


class Storage:
    """The volumes of one lab. Refused is what its methods raise where something cannot be done."""

    def __init__(
        self, directory: str, nursery: Nursery, find: Callable[[str], Node], say: Callable[..., None], *, loop_backed: bool
    ) -> None:
        self._nursery = nursery
        self._volumes = Volumes(directory, loop_backed=loop_backed)
        self._disks = Disks(self._volumes, nursery, say)
        self.failing = FailingVolumes(self._volumes, self._disks, nursery, find, say)

    # ---- building

    async def make(self, nodes: Iterable[Node]) -> None:
        """Create every node's volumes, empty."""
        await asyncio.gather(*(self._make(node) for node in nodes if node.plan["volumes"]))

    async def _make(self, node: Node) -> None:
        for volume in node.plan["volumes"]:
            if volume["kind"] == "programmable":
                self._start_disk(node, volume)
        await self._child(partial(self._volumes.make_all, node.name, node.plan["volumes"]), f"{node.name}: volumes")

    def _start_disk(self, node: Node, volume: VolumeJson) -> None:
        if not self._volumes.loop_backed:
            raise Refused(f"{node.name}: the volume {volume['name']} is of kind programmable, which needs root and loop devices")
        try:
            self._disks.start(node.name, volume)
        except OSError as error:
            raise Refused(f"{node.name}: the programmable disk of {volume['name']}: {error}") from error

    async def flush(self, node: Node) -> None:
        """Everything written so far is on disk: power loss also takes configuration that was never flushed."""
        if node.plan["volumes"]:
            await self._child(partial(self._volumes.flush, node.name, _names(node)), f"{node.name}: sync")

    async def attach(self, node: Node) -> None:
        """Put its volumes into a node whose mount namespace knows nothing of them."""
        for volume in node.plan["volumes"]:
            tree = syscalls.clone_mount(str(self._volumes.place(node.name, volume["name"])))
            try:
                put = partial(_put, tree, volume["mount"], covered=self._volumes.loop_backed)
                await inside(self._nursery, node, put, f"mounting {volume['mount']}", _ATTACH_WITHIN_S, keep=(tree,))
            finally:
                os.close(tree)

    # ---- the node's power

    async def lose_power(self, node: Node, *, unsynced: bool) -> None:
        if unsynced:
            await self.failing.lose_power(node)
        else:
            await self.failing.thaw(node)  # who waits for a hanging volume cannot be killed

    async def off(self, node: Node, *, unsynced: bool) -> Json:
        """Its processes are gone: so are its mounts."""
        if self._volumes.loop_backed and node.plan["volumes"]:
            await self._child(partial(self._volumes.unmount_all, node.name, _names(node)), f"{node.name}: unmount")
        if unsynced and node.plan["volumes"] and not self._volumes.loop_backed:
            return {"output": "its volumes are plain directories: unsynced data was not lost"}
        return {}

    async def regain_power(self, node: Node) -> None:
        await self.failing.regain_power(node)
        if node.plan["volumes"] and self._volumes.loop_backed:
            await self._child(partial(self._volumes.mount_all, node.name, _names(node)), f"{node.name}: mount")

    # ---- ending

    async def abandon(self, node: Node) -> None:
        """The node is about to end: nobody will read its volumes, so nobody waits for their flush."""
        with contextlib.suppress(OSError, Refused):
            await self.failing.lose_power(node)

    def unmount(self, node: Node) -> None:
        """OSError where that is in use."""
        self._volumes.unmount_all(node.name, _names(node))

    def end(self) -> list[str]:
        """End the disks; what could not be, in words."""
        try:
            self._disks.end()
        except OSError as error:
            return [str(error)]
        return []

    async def _child(self, body: Callable[[], None], what: str) -> None:
        try:
            await self._nursery.call(body, what)
        except RuntimeError as error:
            raise Refused(str(error)) from None


def _names(node: Node) -> list[str]:
    return [volume["name"] for volume in node.plan["volumes"]]


def _put(tree: int, mount: str, *, covered: bool) -> Json:
    os.makedirs(mount, exist_ok=True)
    if covered:
        cover(mount)
    syscalls.attach_mount(tree, mount)
    return {}


def cover(target: str) -> None:
    """What lies beneath a volume: while that is away, nobody can write where it belongs."""
    syscalls.mount("none", target, "tmpfs", syscalls.MS_RDONLY | syscalls.MS_NODEV, "mode=755")
