"""A lab of containers from the inside: how a container becomes a node, and goes. Runs in the holder's loop."""

from __future__ import annotations

import asyncio
import os
import resource
from collections.abc import Callable, Sequence
from pathlib import Path

from chaoskit.backends.docker import engine
from chaoskit.backends.docker.wire import ContainerJson, ContainersJson
from chaoskit.backends.linux_host import freezer, syscalls, transport
from chaoskit.backends.linux_host.controllers import CONTROLLERS, FROM_BOOT, NOTED, Group, LabGroups, v1_places
from chaoskit.backends.linux_host.department import Department
from chaoskit.backends.linux_host.errands import beside, inside
from chaoskit.backends.linux_host.furnishing import furnish
from chaoskit.backends.linux_host.lab_host import LabHost
from chaoskit.backends.linux_host.node import RLIMITS, SWITCH_FD, Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.storage import Storage
from chaoskit.backends.linux_host.volumes import can_fail_here
from chaoskit.backends.linux_host.wire import Refused, unpacked
from chaoskit.linux import netlink, procfs
from chaoskit.model.errors import LabUnavailable

_START_WITHIN_S = 60.0
_FURNISH_WITHIN_S = 10.0
_SHARES = "1024"
"""What the kernel gives a group for which nobody asked for more, as of a lab's containers."""


class ContainerGroups(LabGroups):
    """Containers are limited in the groups that the engine made for them."""

    def __init__(self, name: str, noted: Path, places: Callable[[str], dict[str, Group]]) -> None:
        super().__init__(name, {}, noted)
        self._of = places
        self._taken: dict[tuple[str, str], Group] = {}

    def add(self, node: str, unified: Path | None) -> None:
        pass

    def joined(self, node: str) -> list[Path]:
        return list(dict.fromkeys(group.path for group in self._of(node).values() if group.version == 1))

    def find(self, node: str, controller: str) -> Group | None:
        taken = self._taken.get((node, controller))
        if taken is None and controller in FROM_BOOT:
            own = self._of(node).get(controller)
            if own is not None and own.limit() is None:
                taken = self._taken[node, controller] = own
        return taken if taken is not None and taken.path.is_dir() else None

    def take(self, node: str, unified: Path | None, controller: str, members: object) -> Group:
        group = self.find(node, controller) or self._of(node).get(controller)
        if group is None:
            raise Refused(f"{node}: its container is in no group of the controller {controller}")
        if (node, controller) not in self._taken and group.limit() is not None:
            raise Refused(f"{node}: its container has a limit of its own for {controller}, which a quota would change")
        self._taken[node, controller] = group
        return group

    def release(self, node: str, controller: str) -> None:
        group = self._taken.pop((node, controller), None)
        if group is not None and controller == "cpu" and group.version == 1:
            (group.path / "cpu.shares").write_text(_SHARES, encoding="ascii")  # a quota had raised them

    def forget(self, node: str) -> None:
        """Its container has ended, and its groups with it."""
        for key in [key for key in self._taken if key[0] == node]:
            del self._taken[key]

    def directories(self) -> list[Path]:
        return []


class DockerHost(LabHost):
    """Its nodes are containers without a network of the engine's; their cables come from the holder's switch."""

    def __init__(self, lab: ContainersJson, nursery: Nursery) -> None:
        self.storage = Storage(lab["directory"], nursery, self.node, self.say, loop_backed=can_fail_here())
        super().__init__(lab, nursery)
        self._containers: dict[str, ContainerJson] = lab["containers"]
        self._engine, self._hosts, self._volumes = lab["engine"], lab["hosts"], lab["volumes"]
        self._furnished: set[str] = set()
        self.groups: ContainerGroups = ContainerGroups(self.groups.name, Path(lab["directory"], NOTED), self._groups_of)

    def own_departments(self) -> Sequence[Department]:
        return (self.storage.failing,)

    def _groups_of(self, node: str) -> dict[str, Group]:
        init = self.nodes[node].init
        return container_groups(init) if init else {}

    async def build(self, progress: Callable[[str], None]) -> None:
        self.cgroup = freezer.make_cgroup(freezer.lab_cgroup_name(Path(self.lab["directory"])))
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(self.lab["switch"]))
        for plan in self.lab["nodes"]:
            self.add_node(plan)
        await self.storage.make(self.nodes.values())
        await self.boot_all()
        progress(f"{len(self.nodes)} containers are up")
        if self.supervisor.services:
            await self.supervisor.bring_up(progress)
        for node in self.nodes.values():
            await self.storage.flush(node)

    async def boot(self, node: Node) -> None:
        node.busy = "booting"
        try:
            init = (await beside(self.nursery, node, lambda: self._start(node), "its container", _START_WITHIN_S))["pid"]
            self._adopt(node, init)
            self._placed(node)
            await self._wire(node)
            await self.storage.attach(node)
            first = node.name not in self._furnished
            hosts, hostname = self._hosts, self._containers[node.name]["hostname"]
            await inside(self.nursery, node, lambda: _furnished(node, hosts, hostname, first), "its files", _FURNISH_WITHIN_S)
            self._furnished.add(node.name)
            self.wired(node)
        finally:
            node.busy = ""

    def _start(self, node: Node) -> Json:
        """In a child: the SDK waits, and the loop must not."""
        try:
            return {"pid": engine.opened(self._engine).start(self._containers[node.name]["id"])}
        except LabUnavailable as error:
            raise Refused(str(error)) from error

    def _adopt(self, node: Node, init: int) -> None:
        handle = os.pidfd_open(init)
        container = self._containers[node.name]["id"]
        if container not in Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8"):
            os.close(handle)
            raise Refused(f"{node.name}: process {init} of this machine is not the container's first: the engine is elsewhere")
        self.adopt(node, init)
        node.rlimits = [(kind, resource.prlimit(init, kind)) for kind in RLIMITS]
        status = Path(f"/proc/{init}/status").read_text(encoding="utf-8")
        node.bounding = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:"))
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            self.groups.forget(node.name)
            self.init_ended(node, init)

        loop.add_reader(handle, ended)

    def _placed(self, node: Node) -> None:
        """Where the node is frozen: in its container's own v2 group, or in one of ours where it has none."""
        own = unified_group(node.init)
        if own is not None:
            node.cgroup = own
        elif node.cgroup is not None:
            (node.cgroup / "cgroup.procs").write_text(str(node.init), encoding="ascii")

    async def _wire(self, node: Node) -> None:
        switch, place = os.dup(self.switch), f"/proc/{node.init}/ns/net"

        def lay() -> int:
            try:
                os.dup2(switch, SWITCH_FD)
                away = os.open(place, os.O_RDONLY)
                syscalls.setns(away, syscalls.CLONE_NEWNET)
                transport.send_batch(netlink.NETLINK_ROUTE, unpacked(node.plan["cables"]))
                if node.plan["forwards"]:
                    Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")
            except (OSError, Refused) as error:
                os.write(writer, f"{error} {getattr(error, 'evidence', '')}".encode())
                return 1
            return 0

        reader, writer = os.pipe()
        try:
            _, ended = self.nursery.fork(lay, keep=[switch, writer])
            os.close(writer)
            if await ended:
                raise Refused(f"{node.name}: its cables could not be laid", os.read(reader, 4096).decode("utf-8", "replace"))
        finally:
            os.close(switch)
            os.close(reader)

    async def lose_power(self, node: Node, *, unsynced: bool) -> None:
        await self.storage.lose_power(node, unsynced=unsynced)

    async def off(self, node: Node, *, unsynced: bool) -> Json:
        return await self.storage.off(node, unsynced=unsynced)

    async def regain_power(self, node: Node) -> None:
        await self.storage.regain_power(node)

    async def end(self) -> list[str]:
        for department in self.departments:
            department.lab_ending()
        trouble = []
        for node in self.nodes.values():
            try:
                if node.init:
                    node.busy = "powering off"
                    await self.storage.abandon(node)
                    await self.kill(node)
                self.storage.unmount(node)
            except (OSError, Refused) as error:
                trouble.append(f"{node.name}: {error}")
        try:
            trouble += await self._removed()
        except Refused as refusal:
            trouble.append(str(refusal))
        return [*trouble, *self.storage.end(), *self.remove_groups()]

    async def _removed(self) -> list[str]:
        ids = [container["id"] for container in self._containers.values()]

        def remove(container: str) -> Json:
            try:
                return {"trouble": engine.opened(self._engine).remove([container])}
            except LabUnavailable as error:
                return {"trouble": [str(error)]}

        nodes = list(self.nodes.values())
        ways = [
            beside(self.nursery, node, lambda one=one: remove(one), "removing", 30.0)  # type: ignore[misc]
            for node, one in zip(nodes, ids, strict=False)
        ]
        trouble = [text for answer in await asyncio.gather(*ways) for text in answer["trouble"]]
        if trouble or not self._volumes or not nodes:
            return trouble

        def forget() -> Json:
            try:
                return {"trouble": engine.opened(self._engine).remove_volumes(self._volumes)}
            except LabUnavailable as error:
                return {"trouble": [str(error)]}

        left: list[str] = (await beside(self.nursery, nodes[0], forget, "removing volumes", 30.0))["trouble"]
        return left


def _furnished(node: Node, hosts: str, hostname: str, first: bool) -> Json:
    """Inside the container. A file that the engine mounted cannot be replaced in one act; plain ones can, as on any machine."""
    texts = {
        "hosts": hosts,
        "hostname": f"{hostname}\n",
        "resolv.conf": "# this lab has no name server; names are in /etc/hosts\n",
    }
    if os.statvfs("/").f_flag & os.ST_RDONLY:
        for (
            name,
            text,
        ) in texts.items():  # the engine's own files, which it writes anew at each start, are all that can be written
            Path("/etc", name).write_text(text, encoding="utf-8")
        furnish(node.plan, single_user=False, first_boot=first)
        return {}
    os.makedirs("/etc", exist_ok=True)
    for name, text in texts.items():
        if _is_mounted(f"/etc/{name}"):
            syscalls.unmount(f"/etc/{name}", detach=True)
        if first:
            Path("/etc", name).write_text(text, encoding="utf-8")
    furnish(node.plan, single_user=False, first_boot=first)
    return {}


def _is_mounted(path: str) -> bool:
    """A file on the very same file system may be a mount all the same."""
    # another process numbering is mounted inside: this process is known there by no number
    return any(mounted.point == path for mounted in procfs.mounts(Path("/proc/1/mountinfo").read_text(encoding="utf-8")))


def container_groups(init: int) -> dict[str, Group]:
    """Controller -> the group that the engine made for the container."""
    mountinfo = Path("/proc/self/mountinfo").read_text(encoding="utf-8")
    places = v1_places(mountinfo, Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8"))
    found = {controller: Group(path, controller, 1) for controller, path in places.items()}
    own = unified_group(init)
    if own is not None:
        offered = (own / "cgroup.controllers").read_text(encoding="ascii").split()
        found |= {c: Group(own, c, 2) for c in CONTROLLERS if c not in found and c in offered}
    return found


def unified_group(init: int) -> Path | None:
    """The v2 group that is the container's own; None where the engine made none (on a machine with v1 hierarchies)."""
    position = procfs.unified_cgroup(Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8"))
    mine = procfs.unified_cgroup(Path("/proc/self/cgroup").read_text(encoding="utf-8"))
    if position in (None, "/", mine):
        return None
    for mounted in procfs.mounts(Path("/proc/self/mountinfo").read_text(encoding="utf-8")):
        if mounted.kind == "cgroup2":
            group = Path(mounted.point, str(position).lstrip("/"))
            return group if group.is_dir() and not str(position).rpartition("/")[2].startswith("chaoskit-") else None
    return None
