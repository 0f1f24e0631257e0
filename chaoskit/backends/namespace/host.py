"""A lab of namespaces from the inside: how its nodes, switch and volumes come to be and go. Runs in the holder's loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence

from chaoskit.backends.linux_host import freezer, syscalls, transport
from chaoskit.backends.linux_host.department import Department
from chaoskit.backends.linux_host.lab_host import LabHost
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.storage import Storage
from chaoskit.backends.linux_host.wire import Blueprint, Refused, unpacked
from chaoskit.backends.namespace.building import start_building
from chaoskit.linux import netlink

_BOOT_DEADLINE_S = 20.0


class NamespaceHost(LabHost):
    """Its nodes are the holder's own children, in namespaces of their own."""

    def __init__(self, lab: Blueprint, nursery: Nursery, *, rootless: bool) -> None:
        self.drawn, self.rootless = lab, rootless
        self.storage = Storage(lab["directory"], nursery, self.node, self.say, loop_backed=not rootless)
        super().__init__(lab, nursery)

    def own_departments(self) -> Sequence[Department]:
        return (self.storage.failing,)

    async def build(self, progress: Callable[[str], None]) -> None:
        self.cgroup = freezer.make_cgroup(self.groups.name)
        self.groups.unified = self.cgroup
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(self.lab["switch"]))
        for plan in self.lab["nodes"]:
            self.add_node(plan)
        if self.drawn["image"]:
            await self.blocking(self._mount_image, "package image")
        await self.storage.make(self.nodes.values())
        await self.boot_all()
        progress(f"{len(self.nodes)} nodes are up")
        if self.supervisor.services:
            await self.supervisor.bring_up(progress)
        for node in self.nodes.values():
            await self.storage.flush(node)

    def _mount_image(self) -> None:
        directory = self.lab["directory"]
        os.mkdir(f"{directory}/image")
        with syscalls.loop_device(self.drawn["image"], f"{directory}/disks", read_only=True) as device:
            syscalls.mount(device, f"{directory}/image", "ext4", syscalls.MS_RDONLY | syscalls.MS_NODEV, "noload")

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

        pid = start_building(self.drawn, node, writer, rootless=self.rootless)
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
        await self.storage.lose_power(node, unsynced=unsynced)

    async def off(self, node: Node, *, unsynced: bool) -> Json:
        return await self.storage.off(node, unsynced=unsynced)

    async def regain_power(self, node: Node) -> None:
        await self.storage.regain_power(node)

    # ---- ending

    async def end(self) -> list[str]:
        trouble: list[str] = []
        for department in self.departments:
            department.lab_ending()
        for node in self.nodes.values():
            if node.init:
                node.busy = "powering off"
                await self.storage.abandon(node)
        for node in self.nodes.values():
            try:
                if node.init:
                    await self.kill(node)
                self.storage.unmount(node)
            except (Refused, OSError) as error:
                trouble.append(f"{node.name}: {error}")
        return [*trouble, *self.storage.end(), *self.remove_groups()]


def prepare_directories(directory: str) -> None:
    """In the holder's own mount namespace: its /proc, and the tmpfs that holds the nodes' disks."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    for name in ("disks", "inside", "volumes"):
        os.makedirs(f"{directory}/{name}", exist_ok=True)
    syscalls.mount("tmpfs", f"{directory}/disks", "tmpfs", 0, "mode=755")
