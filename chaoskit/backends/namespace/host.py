"""A lab from the inside: its nodes, switch and volumes, and what can be done to them. Runs in the holder's loop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoskit.backends.namespace import census, freezer, syscalls, transport
from chaoskit.backends.namespace.activities import Activities
from chaoskit.backends.namespace.addresses import Addresses
from chaoskit.backends.namespace.clocks import Clocks
from chaoskit.backends.namespace.commands import Commands
from chaoskit.backends.namespace.connections import Connections
from chaoskit.backends.namespace.controllers import NOTED, LabGroups, own_v1_places
from chaoskit.backends.namespace.department import Department, Handler
from chaoskit.backends.namespace.disks import Disks
from chaoskit.backends.namespace.failing_volumes import FailingVolumes
from chaoskit.backends.namespace.files import Files
from chaoskit.backends.namespace.flapping import Flapping
from chaoskit.backends.namespace.killing import Killing
from chaoskit.backends.namespace.limits import Limits
from chaoskit.backends.namespace.links import Links
from chaoskit.backends.namespace.loads import Loads
from chaoskit.backends.namespace.node import Node, start_building
from chaoskit.backends.namespace.processes import Json, Nursery
from chaoskit.backends.namespace.quotas import Quotas
from chaoskit.backends.namespace.responding import Responding
from chaoskit.backends.namespace.services import Supervisor
from chaoskit.backends.namespace.shapes import Shapes
from chaoskit.backends.namespace.volumes import Volumes
from chaoskit.backends.namespace.wire import Blueprint, NodeJson, Refused, VolumeJson, unpacked
from chaoskit.linux import netlink

_BOOT_DEADLINE_S = 20.0
_KILL_DEADLINE_S = 10.0
_EVENTS_KEPT = 20_000


class LabHost:
    """Holds one lab. Every method runs in the loop; none blocks it for longer than a few milliseconds."""

    def __init__(self, lab: Blueprint, nursery: Nursery, *, rootless: bool) -> None:
        self.lab, self.nursery, self.rootless = lab, nursery, rootless
        self.volumes = Volumes(lab["directory"], loop_backed=not rootless)
        self.files = Files(nursery, self.node)
        self.activities = Activities(self.say)
        self.disks = Disks(self.volumes, nursery, self.say)
        self.failing = FailingVolumes(self.volumes, self.disks, nursery, self.node, self.say)
        self.supervisor = Supervisor(lab, nursery, self.say)
        self.events: list[Json] = []
        self.nodes: dict[str, Node] = {}
        self.cgroup: Path | None = None
        directory = Path(lab["directory"])
        self.groups = LabGroups(freezer.lab_cgroup_name(directory), own_v1_places(), directory / NOTED)
        self._departments: tuple[Department, ...] = (
            self.activities,
            Commands(self.supervisor, self.node),
            Links(self.node),
            Shapes(nursery, self.node, self.say),
            Flapping(self.node, self.activities),
            Connections(self.node, self.activities),
            Addresses(self.node),
            Responding(self.node, self.activities),
            self.supervisor,
            Clocks(nursery, self.node),
            self.files,
            self.failing,
            Limits(nursery, self.node),
            Quotas(nursery, self.node, lambda: self.groups),
            Loads(nursery, self.node, lambda: self.groups, self.activities),
            Killing(self.supervisor, self.node, self.activities, self.say),
        )
        self._acts: dict[str, Handler] = {
            "power_off": self._power_off,
            "power_on": self._power_on,
            "freeze": self._freeze,
            "thaw": self._thaw,
        }
        self._questions: dict[str, Handler] = {}
        for department in self._departments:
            self._acts |= department.acts()
            self._questions |= department.questions()
        self._switch = os.open("/proc/self/ns/net", os.O_RDONLY)
        self._locks: dict[str, asyncio.Lock] = {}

    def say(self, kind: str, **data: Any) -> None:
        """Note something that happened by itself."""
        wall = datetime.now(UTC).isoformat()
        event = {"t_ns": time.monotonic_ns(), "wall": wall, "trial": None, "kind": kind, "source": "backend", "data": data}
        if len(self.events) < _EVENTS_KEPT:
            self.events.append(event)
        print(f"{wall} {kind} {data}", file=sys.stderr, flush=True)

    def node(self, name: str) -> Node:
        found = self.nodes.get(name)
        if found is None:
            raise Refused(f"this lab has no node {name!r}; it has {', '.join(self.nodes)}")
        return found

    # ---- building

    async def build(self, progress: Callable[[str], None]) -> None:
        """Switches, volumes, nodes, services. Refused with evidence where anything fails."""
        self.cgroup = freezer.make_cgroup(self.groups.name)
        self.groups.unified = self.cgroup
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(self.lab["switch"]))
        for plan in self.lab["nodes"]:
            self._add_node(plan)
        if self.lab["image"]:
            await self._blocking(self._mount_image, "package image")
        await asyncio.gather(*(self._make_volumes(node) for node in self.nodes.values()))
        await self._boot_all()
        progress(f"{len(self.nodes)} nodes are up")
        if self.supervisor.services:
            await self.supervisor.bring_up(progress)
        for node in self.nodes.values():
            # power loss also takes configuration that was never flushed
            await self._flush(node)

    def _add_node(self, plan: NodeJson) -> None:
        group = None
        if self.cgroup is not None:
            group = self.cgroup / plan["name"]
            group.mkdir()
        node = self.nodes[plan["name"]] = Node(plan, group, limiting=lambda: self.groups.joined(plan["name"]))
        self.groups.add(node.name, group)
        self._locks[node.name] = asyncio.Lock()
        self.supervisor.add(node)

    def _mount_image(self) -> None:
        directory = self.lab["directory"]
        os.mkdir(f"{directory}/image")
        with syscalls.loop_device(self.lab["image"], f"{directory}/disks", read_only=True) as device:
            syscalls.mount(device, f"{directory}/image", "ext4", syscalls.MS_RDONLY | syscalls.MS_NODEV, "noload")

    async def _make_volumes(self, node: Node) -> None:
        if node.plan["volumes"]:
            for volume in node.plan["volumes"]:
                if volume["kind"] == "programmable":
                    self._start_disk(node, volume)
            await self._blocking(lambda: self.volumes.make_all(node.name, node.plan["volumes"]), f"{node.name}: volumes")

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
            await self._blocking(lambda: self.volumes.flush(node.name, names), f"{node.name}: sync")

    async def _blocking(self, body: Callable[[], Any], what: str) -> None:
        try:
            await self.nursery.call(body, what)
        except RuntimeError as error:
            raise Refused(str(error)) from None

    async def _boot_all(self) -> None:
        """All nodes at once; a few at a time, because they queue for the kernel's network lock anyway."""
        gate = asyncio.Semaphore(2 * (os.cpu_count() or 1))

        async def one(node: Node) -> None:
            async with gate:
                await self._boot(node)

        tasks = [asyncio.create_task(one(node)) for node in self.nodes.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _boot(self, node: Node) -> None:
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

        pid = start_building(self.lab, node, self._switch, writer, rootless=self.rootless)
        os.close(writer)
        self.nursery.forget(pid)
        loop.add_reader(reader, hear)
        try:
            await asyncio.wait_for(self._built(node, lines), _BOOT_DEADLINE_S)
            for department in self._departments:
                department.node_wired(node)
            transport.send_batch(netlink.NETLINK_ROUTE, unpacked(node.plan["plug"]))
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
        node.init, node.frozen = init, False
        try:
            node.pid_namespace = os.readlink(f"/proc/{init}/ns/pid")
        except OSError as error:
            raise Refused(f"{node.name}: its first process is gone", str(error)) from None
        (Path(self.lab["directory"]) / "inside" / node.name).write_text(f"{init}\n", encoding="utf-8")
        self.nursery.forget(init)
        self.nursery.expect(init).add_done_callback(lambda _: self._init_ended(node, init))

    def _init_ended(self, node: Node, init: int) -> None:
        if node.init == init:
            node.init, node.frozen = 0, False
            (Path(self.lab["directory"]) / "inside" / node.name).write_text("", encoding="utf-8")
            for department in self._departments:
                department.node_ended(node)
            if node.busy != "powering off":
                self.say("problem", message=f"{node.name}: its first process ended; the node is off")

    # ---- acts and questions

    async def act(self, act: Json) -> Json:
        """Perform one compiled step; fields of the answer. Refused where it could not be done."""
        began = time.monotonic_ns()
        try:
            answer = await self._acts[act["act"]](act)
        except OSError as error:
            raise Refused(f"{act['act']}: {error}") from error
        return {"output": "", "began_ns": began, "ended_ns": time.monotonic_ns(), **answer}

    async def ask(self, query: Json) -> Json:
        """Answer a query; fields of a Reading, and "code" for a command."""
        if query["kind"] not in self._questions:
            raise Refused(f"no such question: {query['kind']!r}")
        return await self._questions[query["kind"]](query)

    async def _freeze(self, act: Json) -> Json:
        node = self.node(act["node"])
        async with self._locks[node.name]:
            if node.state == "off":
                raise Refused(f"{node.name} is off: there is nothing to freeze")
            if node.frozen:
                return {"output": "it was frozen already"}
            if node.cgroup is not None:
                await freezer.freeze_cgroup(node.cgroup, frozen=True)
            else:
                await freezer.stop_all(node, lambda: census.members(node))
            node.frozen = True
        return {}

    async def _thaw(self, act: Json) -> Json:
        node = self.node(act["node"])
        async with self._locks[node.name]:
            if node.frozen:
                await self._unfreeze(node)
        return {}

    async def _unfreeze(self, node: Node) -> None:
        if node.cgroup is not None:
            await freezer.freeze_cgroup(node.cgroup, frozen=False)
        else:
            freezer.continue_all(node, lambda: census.members(node))
        node.frozen = False

    async def _power_off(self, act: Json) -> Json:
        node = self.node(act["node"])
        async with self._locks[node.name]:
            if not node.init:
                return {"output": "it was off already"}
            node.busy = "powering off"
            try:
                return await self._cut_power(node, silent=act["silent"], lose_unsynced=act["lose_unsynced"])
            finally:
                node.busy = ""

    async def _cut_power(self, node: Node, *, silent: bool, lose_unsynced: bool) -> Json:
        names = [v["name"] for v in node.plan["volumes"]]
        if silent:
            transport.send_batch(netlink.NETLINK_NETFILTER, unpacked(node.plan["silence"]))
        if lose_unsynced:
            await self.failing.lose_power(node)
        else:
            await self.failing.thaw(node)  # who waits for a hanging volume cannot be killed
        await self._kill(node)
        dead = {"ended_ns": time.monotonic_ns()}  # what follows is tidying up: the node has no power any more
        self._unplug(node)
        if self.volumes.loop_backed and names:
            await self._blocking(lambda: self.volumes.unmount_all(node.name, names), f"{node.name}: unmount")
        if lose_unsynced and names and not self.volumes.loop_backed:
            return {"output": "its volumes are plain directories: unsynced data was not lost", **dead}
        return dead

    async def _kill(self, node: Node) -> None:
        """SIGKILL to PID 1; the kernel ends the rest with it, and waits for it."""
        init = node.init
        os.kill(init, signal.SIGKILL)
        if node.cgroup is not None and node.frozen:
            await freezer.freeze_cgroup(node.cgroup, frozen=False)  # cgroup v1-style freezers hold even the killed
        deadline = time.monotonic() + _KILL_DEADLINE_S
        while node.init == init:
            if time.monotonic() > deadline:
                left = census.members(node)
                raise Refused(f"{node.name}: {len(left)} processes outlive SIGKILL", str(list(left.values())[:10]))
            await asyncio.sleep(0.0005)

    def _unplug(self, node: Node) -> None:
        for batch in node.plan["unplug"]:
            transport.send_batch(netlink.NETLINK_ROUTE, unpacked(batch), tolerate=(errno.ENODEV,))

    async def _power_on(self, act: Json) -> Json:
        node = self.node(act["node"])
        async with self._locks[node.name]:
            if node.init:
                return {"output": "it was on already"}
            self._unplug(node)
            transport.send_batch(netlink.NETLINK_NETFILTER, unpacked(node.plan["unsilence"]), tolerate=(errno.ENOENT,))
            for department in self._departments:
                department.node_booting(node)
            await self.failing.regain_power(node)
            names = [v["name"] for v in node.plan["volumes"]]
            if names and self.volumes.loop_backed:
                await self._blocking(lambda: self.volumes.mount_all(node.name, names), f"{node.name}: mount")
            await self._boot(node)
            self.supervisor.boot(node.name)
        return {}

    # ---- ending

    async def end(self) -> list[str]:
        """End every node and give everything back; what could not be, in words."""
        trouble: list[str] = []
        for department in self._departments:
            department.lab_ending()
        for node in self.nodes.values():
            if node.init:
                node.busy = "powering off"
                with contextlib.suppress(OSError, Refused):
                    await self.failing.lose_power(node)  # nobody will read it: do not wait for its flush
        for node in self.nodes.values():
            try:
                if node.init:
                    await self._kill(node)
                self.volumes.unmount_all(node.name, [v["name"] for v in node.plan["volumes"]])
            except (Refused, OSError) as error:
                trouble.append(f"{node.name}: {error}")
        try:
            self.disks.end()
        except OSError as error:
            trouble.append(str(error))
        for group in ([self.cgroup] if self.cgroup is not None else []) + self.groups.directories():
            try:
                freezer.remove_cgroup(group)
            except OSError as error:
                trouble.append(f"{group}: {error.strerror}")
        return trouble


def prepare_directories(directory: str) -> None:
    """In the holder's own mount namespace: its /proc, and the tmpfs that holds the nodes' disks."""
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_SLAVE)
    syscalls.mount("proc", "/proc", "proc", syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC)
    for name in ("disks", "inside", "volumes"):
        os.makedirs(f"{directory}/{name}", exist_ok=True)
    syscalls.mount("tmpfs", f"{directory}/disks", "tmpfs", 0, "mode=755")
