"""A lab of namespaces from the inside: how its nodes, switch and volumes come to be and go. Runs in the holder's loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Sequence

from chaoskit.backends.linux_host import freezer, syscalls, transport
from chaoskit.backends.linux_host.department import Department
from chaoskit.backends.linux_host.disks import Disks
from chaoskit.backends.linux_host.failing_volumes import FailingVolumes
from chaoskit.backends.linux_host.lab_host import LabHost
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.volumes import Volumes
from chaoskit.backends.linux_host.wire import Blueprint, Refused, VolumeJson, unpacked
from chaoskit.backends.namespace.building import start_building
from chaoskit.linux import netlink

_BOOT_DEADLINE_S = 20.0


class NamespaceHost(LabHost):
    """Its nodes are the holder's own children, in namespaces of their own."""

    def __init__(self, lab: Blueprint, nursery: Nursery, *, rootless: bool) -> None:
        self.drawn, self.rootless = lab, rootless
        self.volumes = Volumes(lab["directory"], loop_backed=not rootless)
        self.disks = Disks(self.volumes, nursery, self.say)
        self.failing = FailingVolumes(self.volumes, self.disks, nursery, self.node, self.say)
        super().__init__(lab, nursery)

    def own_departments(self) -> Sequence[Department]:
        return (self.failing,)

    async def build(self, progress: Callable[[str], None]) -> None:
        self.cgroup = freezer.make_cgroup(self.groups.name)
        self.groups.unified = self.cgroup
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(self.lab["switch"]))
        for plan in self.lab["nodes"]:
            self.add_node(plan)
        if self.drawn["image"]:
            await self.blocking(self._mount_image, "package image")
        await asyncio.gather(*(self._make_volumes(node) for node in self.nodes.values()))
        await self.boot_all()
        progress(f"{len(self.nodes)} nodes are up")
        if self.supervisor.services:
            await self.supervisor.bring_up(progress)
        for node in self.nodes.values():
            # power loss also takes configuration that was never flushed
            await self._flush(node)

    def _mount_image(self) -> None:
        directory = self.lab["directory"]
        os.mkdir(f"{directory}/image")
        with syscalls.loop_device(self.drawn["image"], f"{directory}/disks", read_only=True) as device:
            syscalls.mount(device, f"{directory}/image", "ext4", syscalls.MS_RDONLY | syscalls.MS_NODEV, "noload")

    async def _make_volumes(self, node: Node) -> None:
        if node.plan["volumes"]:
            for volume in node.plan["volumes"]:
                if volume["kind"] == "programmable":
                    self._start_disk(node, volume)
            await self.blocking(lambda: self.volumes.make_all(node.name, node.plan["volumes"]), f"{node.name}: volumes")

    def _start_disk(self, node: Node, volume: VolumeJson) -> None:
        if not self.volumes.loop_backed:
            raise Refused(f"{node.name}: the volume {volume['name']} is of kind programmable, which needs root")
        try:
            self.disks.start(node.name, volume)
        except OSError as error:
            raise Refused(f"{node.name}: the programmable disk of {volume['name']}: {error}") from error

    async def _flush(self, node: Node) -> None:
        if node.plan["volumes"]:
            names = [v["name"] for v in node.plan["volumes"]]
            await self.blocking(lambda: self.volumes.flush(node.name, names), f"{node.name}: sync")

    async def boot(self, node: Node) -> None:
        node.busy = "booting"
        reader, writer = os.pipe()
        lines: asyncio.Queue[str] = asyncio.Queue()
        loop = asyncio.get_running_loop()
        partial = bytearray()

        def hear() -> None:
            data = os.read(reader, 4096)
            partial.extend(data)
            *whole, rest = bytes(partial).split(b"\n")
            partial[:] = rest
            for line in whole:
                lines.put_nowait(line.decode("utf-8", "replace"))
            if not data:
                loop.remove_reader(reader)
                lines.put_nowait("")

        pid = start_building(self.drawn, node, self.switch, writer, rootless=self.rootless)
        os.close(writer)
        self.nursery.forget(pid)
        loop.add_reader(reader, hear)
        try:
            await asyncio.wait_for(self._built(node, lines), _BOOT_DEADLINE_S)
            self.wired(node)
        except TimeoutError:
            raise Refused(f"{node.name} was not built within {_BOOT_DEADLINE_S} s") from None
        finally:
            loop.remove_reader(reader)
            os.close(reader)
            node.busy = ""

    async def _built(self, node: Node, lines: asyncio.Queue[str]) -> None:
        ready = False
        while not (ready and node.init):
            word, _, rest = (await lines.get()).partition(" ")
            if word == "pid":
                self._adopt(node, int(rest))
            elif word == "ready":
                ready = True
            else:
                raise Refused(f"{node.name} could not be built", rest or "its first process ended without a word")

    def _adopt(self, node: Node, init: int) -> None:
        self.adopt(node, init)
        self.nursery.forget(init)
        self.nursery.expect(init).add_done_callback(lambda _: self.init_ended(node, init))

    # ---- power

    async def lose_power(self, node: Node, *, unsynced: bool) -> None:
        if unsynced:
            await self.failing.lose_power(node)
        else:
            await self.failing.thaw(node)  # who waits for a hanging volume cannot be killed

    async def off(self, node: Node, *, unsynced: bool) -> Json:
        names = [v["name"] for v in node.plan["volumes"]]
        if self.volumes.loop_backed and names:
            await self.blocking(lambda: self.volumes.unmount_all(node.name, names), f"{node.name}: unmount")
        if unsynced and names and not self.volumes.loop_backed:
            return {"output": "its volumes are plain directories: unsynced data was not lost"}
        return {}

    async def regain_power(self, node: Node) -> None:
        await self.failing.regain_power(node)
        names = [v["name"] for v in node.plan["volumes"]]
        if names and self.volumes.loop_backed:
            await self.blocking(lambda: self.volumes.mount_all(node.name, names), f"{node.name}: mount")

    # ---- ending

    async def end(self) -> list[str]:
        trouble: list[str] = []
        for department in self.departments:
            department.lab_ending()
        for node in self.nodes.values():
            if node.init:
                node.busy = "powering off"
                with contextlib.suppress(OSError, Refused):
                    await self.failing.lose_power(node)  # nobody will read it: do not wait for its flush
        for node in self.nodes.values():
            try:
                if node.init:
                    await self.kill(node)
                self.volumes.unmount_all(node.name, [v["name"] for v in node.plan["volumes"]])
            except (Refused, OSError) as error:
                trouble.append(f"{node.name}: {error}")
        try:
            self.disks.end()
        except OSError as error:
            trouble.append(str(error))
        return [*trouble, *self.remove_groups()]


def prepare_directories(directory: str) -> None:
    """In the holder's own mount namespace: its /proc, and the tmpfs that holds the nodes' disks."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    for name in ("disks", "inside", "volumes"):
        os.makedirs(f"{directory}/{name}", exist_ok=True)
    syscalls.mount("tmpfs", f"{directory}/disks", "tmpfs", 0, "mode=755")
