"""A lab of containers from the inside: how a container becomes a node, and goes. Runs in the holder's loop."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path

from chaoskit.backends.docker import engine
from chaoskit.backends.docker.container_groups import ContainerGroups, container_groups, unified_group
from chaoskit.backends.docker.watching import EngineWatch
from chaoskit.backends.docker.wire import ContainerJson, ContainersJson
from chaoskit.backends.linux_host import freezer, syscalls, transport
from chaoskit.backends.linux_host.controllers import NOTED, Group
from chaoskit.backends.linux_host.department import Department
from chaoskit.backends.linux_host.errands import beside
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
_WARM_AFTER_S = 0.2


class DockerHost(LabHost):
    """Its nodes are containers without a network of the engine's; their cables come from the holder's switch."""

    def __init__(self, lab: ContainersJson, nursery: Nursery) -> None:
        self.storage = Storage(lab["directory"], nursery, self.node, self.say, loop_backed=can_fail_here())
        super().__init__(lab, nursery)
        self._containers: dict[str, ContainerJson] = lab["containers"]
        self._engine, self._hosts, self._volumes = lab["engine"], lab["hosts"], lab["volumes"]
        self._unused = {name: container["pid"] for name, container in self._containers.items()}
        """First processes of containers that were started for this, and are no nodes yet."""
        self._furnished: set[str] = set()
        ids = {container["id"]: name for name, container in self._containers.items()}
        self._watch = EngineWatch(self._engine, ids, nursery, self._heard)
        self._ended_by_us: set[str] = set()
        """Nodes without power, until they have it again."""
        self._frozen: set[str] = set()
        """Nodes that were frozen when their containers died."""
        self._waiting: set[str] = set()
        """Frozen nodes whose services start once they are thawed."""
        self._returning: set[asyncio.Task[None]] = set()
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
        self._watch.start()
        await self.boot_all()
        progress(f"{len(self.nodes)} containers are up")
        if self.supervisor.services:
            await self.supervisor.bring_up(progress)
        for node in self.nodes.values():
            await self.storage.flush(node)
        # who waits for the lab does not wait for this as well
        asyncio.get_running_loop().call_later(_WARM_AFTER_S, engine.warmed)

    async def boot(self, node: Node) -> None:
        node.busy = "booting"
        try:
            init = self._unused.pop(node.name, 0)
            if not init:
                init = (await beside(self.nursery, node, lambda: self._start(node), "its container", _START_WITHIN_S))["pid"]
            self._ended_by_us.discard(node.name)
            self._frozen.discard(node.name)
            await self._taken_in(node, init)
        finally:
            node.busy = ""

    async def _taken_in(self, node: Node, init: int) -> None:
        """A container that has just started becomes the node, with its cables, volumes and files."""
        self._adopt(node, init)
        self._placed(node)
        await self.storage.attach(node)
        first = node.name not in self._furnished
        hosts, hostname = self._hosts, self._containers[node.name]["hostname"]

        def both() -> Json:  # one child: each costs as much as what it does
            within = os.open(f"/proc/{node.init}/ns/mnt", os.O_RDONLY)
            _cabled(node)
            syscalls.setns(within, syscalls.CLONE_NEWNS)
            os.chdir("/")
            return _furnished(node, hosts, hostname, first)

        await beside(self.nursery, node, both, "its cables and files", _FURNISH_WITHIN_S, keep=[SWITCH_FD])
        self._furnished.add(node.name)
        self.wired(node)

    def _start(self, node: Node) -> Json:
        """In a child: the SDK waits, and the loop must not."""
        try:
            return {"pid": engine.opened(self._engine).start(self._containers[node.name]["id"])}
        except LabUnavailable as error:
            raise Refused(str(error)) from error

    def _adopt(self, node: Node, init: int) -> None:
        handle = os.pidfd_open(init)
        container = self._containers[node.name]["id"]
        if not _lives_as(init, container):
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

    # ---- what the engine says

    def _heard(self, said: Json) -> None:
        if said["what"] in ("lost", "back"):
            self.say(f"engine.{said['what']}", engine=self._engine, **({"why": said["why"]} if "why" in said else {}))
            return
        node = self.nodes[said["node"]]
        by = "chaoskit" if node.name in self._ended_by_us or node.busy else "the engine or somebody else"
        if said["what"] == "die":
            if "meanwhile" not in said or by != "chaoskit":
                self.say("container.died", node=node.name, exit_code=said["exit_code"], by=by)
        elif said["what"] == "start":
            if said["pid"] and said["pid"] != node.init and not node.busy:
                task = asyncio.get_running_loop().create_task(self._returned(node, said["pid"]))
                self._returning.add(task)
                task.add_done_callback(self._returning.discard)
        elif said["what"] == "oom":
            self.say("container.oom", node=node.name)
        else:
            self.say("container.health", node=node.name, status=said["status"])

    async def _returned(self, node: Node, init: int) -> None:
        """The engine started it, and nobody here had asked for that: it is the node again, as faulted as it was."""
        async with self.turns[node.name]:
            if node.init or not _lives_as(init, self._containers[node.name]["id"]):
                return
            if node.name in self._ended_by_us:
                os.kill(init, signal.SIGKILL)
                self.say(
                    "container.started", node=node.name, by="the engine or somebody else", then="its power is cut: ended again"
                )
                return
            node.busy = "booting"
            try:
                await self.before_boot(node)
                await self._taken_in(node, init)
            except (Refused, OSError) as error:
                self.say("problem", message=f"{node.name} was started by the engine, and cannot be taken in again: {error}")
                return
            finally:
                node.busy = ""
            was_frozen = node.name in self._frozen
            if was_frozen:
                await self.freeze(node)
                self._waiting.add(node.name)
            then = "frozen again" if was_frozen else "its services start; partitions and shapes of its links hold as before"
            self.say("container.started", node=node.name, by="the engine or somebody else", then=then)
        if not was_frozen:
            self.supervisor.boot(node.name)

    def init_ended(self, node: Node, init: int) -> None:
        if node.init == init and node.frozen:
            self._frozen.add(node.name)
        self._waiting.discard(node.name)
        super().init_ended(node, init)

    async def thaw(self, node: Node) -> None:
        self._frozen.discard(node.name)
        await super().thaw(node)
        if node.name in self._waiting and node.init:
            self._waiting.discard(node.name)
            self.supervisor.boot(node.name)

    # ---- power

    async def kill(self, node: Node) -> None:
        self._ended_by_us.add(node.name)
        await super().kill(node)

    async def lose_power(self, node: Node, *, unsynced: bool) -> None:
        await self.storage.lose_power(node, unsynced=unsynced)

    async def off(self, node: Node, *, unsynced: bool) -> Json:
        return await self.storage.off(node, unsynced=unsynced)

    async def regain_power(self, node: Node) -> None:
        await self.storage.regain_power(node)

    async def end(self) -> list[str]:
        self._watch.end()
        for task in self._returning:
            task.cancel()
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


def _cabled(node: Node) -> None:
    """In a child that stays in the node's network: the cables to the switch."""
    away = os.open(f"/proc/{node.init}/ns/net", os.O_RDONLY)
    syscalls.setns(away, syscalls.CLONE_NEWNET)
    try:
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(node.plan["cables"]))
    except Refused as refusal:
        raise Refused(f"its cables could not be laid: {refusal} {refusal.evidence}".rstrip()) from refusal
    if node.plan["forwards"]:
        Path("/proc/sys/net/ipv4/ip_forward").write_text("1", encoding="ascii")


def _furnished(node: Node, hosts: str, hostname: str, first: bool) -> Json:
    """Inside the container. A file that the engine mounted cannot be replaced in one act; plain ones can, as on any machine."""
    texts = {
        "hosts": hosts,
        "hostname": f"{hostname}\n",
        "resolv.conf": "# this lab has no name server; names are in /etc/hosts\n",
    }
    if os.statvfs("/").f_flag & os.ST_RDONLY:
        # the engine's own files are all that can be written, which it makes anew at each start and mounts read-only like the rest
        for name, text in texts.items():
            syscalls.mount("none", f"/etc/{name}", flags=syscalls.MS_REMOUNT | syscalls.MS_BIND)
            Path("/etc", name).write_text(text, encoding="utf-8")
            syscalls.mount("none", f"/etc/{name}", flags=syscalls.MS_REMOUNT | syscalls.MS_BIND | syscalls.MS_RDONLY)
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


def _lives_as(init: int, container: str) -> bool:
    """Whether this process of this machine is in the container with this id."""
    try:
        return container in Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False


def _is_mounted(path: str) -> bool:
    """A file on the very same file system may be a mount all the same."""
    # another process numbering is mounted inside: this process is known there by no number
    return any(mounted.point == path for mounted in procfs.mounts(Path("/proc/1/mountinfo").read_text(encoding="utf-8")))
