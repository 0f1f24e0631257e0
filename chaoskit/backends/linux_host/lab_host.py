"""A lab from the inside, however its nodes are made: what can be told and asked, and the power of its nodes.

Runs in the holder's loop. Standard library only.
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoskit.backends.linux_host import census, freezer, transport
from chaoskit.backends.linux_host.activities import Activities
from chaoskit.backends.linux_host.addresses import Addresses
from chaoskit.backends.linux_host.clocks import Clocks
from chaoskit.backends.linux_host.commands import Commands
from chaoskit.backends.linux_host.connections import Connections
from chaoskit.backends.linux_host.controllers import NOTED, LabGroups, own_v1_places
from chaoskit.backends.linux_host.department import Department, Handler
from chaoskit.backends.linux_host.files import Files
from chaoskit.backends.linux_host.flapping import Flapping
from chaoskit.backends.linux_host.killing import Killing
from chaoskit.backends.linux_host.limits import Limits
from chaoskit.backends.linux_host.links import Links
from chaoskit.backends.linux_host.loads import Loads
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.quotas import Quotas
from chaoskit.backends.linux_host.responding import Responding
from chaoskit.backends.linux_host.services import Supervisor
from chaoskit.backends.linux_host.shapes import Shapes
from chaoskit.backends.linux_host.wire import LabJson, NodeJson, Refused, unpacked
from chaoskit.linux import netlink

_KILL_DEADLINE_S = 10.0
_EVENTS_KEPT = 20_000


class LabHost:
    """Holds one lab. Every method runs in the loop; none blocks it for longer than a few milliseconds.

    A backend says in a subclass how a node boots, how its power is cut, and what else there is to be told and asked.
    """

    def __init__(self, lab: LabJson, nursery: Nursery) -> None:
        self.lab, self.nursery = lab, nursery
        self.activities = Activities(self.say)
        self.supervisor = Supervisor(lab, nursery, self.say)
        self.events: list[Json] = []
        self.nodes: dict[str, Node] = {}
        self.cgroup: Path | None = None
        directory = Path(lab["directory"])
        self.groups = LabGroups(freezer.lab_cgroup_name(directory), own_v1_places(), directory / NOTED)
        self.departments: tuple[Department, ...] = (
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
            Files(nursery, self.node),
            Limits(nursery, self.node),
            Quotas(nursery, self.node, lambda: self.groups),
            Loads(nursery, self.node, lambda: self.groups, self.activities),
            Killing(self.supervisor, self.node, self.activities, self.say),
            *self.own_departments(),
        )
        self._acts: dict[str, Handler] = {
            "power_off": self._power_off,
            "power_on": self._power_on,
            "freeze": self._freeze,
            "thaw": self._thaw,
        }
        self._questions: dict[str, Handler] = {}
        for department in self.departments:
            self._acts |= department.acts()
            self._questions |= department.questions()
        self.turns: dict[str, asyncio.Lock] = {}
        """One thing at a time is done to a node's power."""

    # ---- what a backend says

    def own_departments(self) -> Sequence[Department]:
        """Departments of this backend alone. Called once, before the host is complete."""
        return ()

    async def build(self, progress: Callable[[str], None]) -> None:
        """Switches, volumes, nodes, services. Refused with evidence where anything fails."""
        raise NotImplementedError

    async def boot(self, node: Node) -> None:
        """Build a node that is off, `adopt` its first process, wire it. Refused with the reason."""
        raise NotImplementedError

    async def lose_power(self, node: Node, *, unsynced: bool) -> None:
        """Its volumes lose power (`unsynced`: and what was not flushed), or must at least not hold on to anybody."""

    async def off(self, node: Node, *, unsynced: bool) -> Json:
        """It is dead: what is left to tidy up."""
        return {}

    async def regain_power(self, node: Node) -> None:
        """It boots in a moment: its volumes are there again."""

    async def end(self) -> list[str]:
        """End every node and give everything back; what could not be, in words."""
        raise NotImplementedError

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

    def add_node(self, plan: NodeJson) -> Node:
        """A node that is off yet."""
        group = None
        if self.cgroup is not None:
            group = self.cgroup / plan["name"]
            group.mkdir()
        node = self.nodes[plan["name"]] = Node(plan, group, limiting=lambda: self.groups.joined(plan["name"]))
        self.groups.add(node.name, group)
        self.turns[node.name] = asyncio.Lock()
        self.supervisor.add(node)
        return node

    async def blocking(self, body: Callable[[], Any], what: str) -> None:
        """Run it in a child. Refused with its words."""
        try:
            await self.nursery.call(body, what)
        except RuntimeError as error:
            raise Refused(str(error)) from None

    async def boot_all(self) -> None:
        """All nodes at once; a few at a time, because they queue for the kernel's network lock anyway."""
        gate = asyncio.Semaphore(2 * (os.cpu_count() or 1))

        async def one(node: Node) -> None:
            async with gate:
                await self.boot(node)

        tasks = [asyncio.create_task(one(node)) for node in self.nodes.values()]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    def adopt(self, node: Node, init: int) -> None:
        """This process is the node's first one from now on. Refused where it is gone already."""
        node.init, node.frozen = init, False
        try:
            node.pid_namespace = os.readlink(f"/proc/{init}/ns/pid")
        except OSError as error:
            node.init = 0
            raise Refused(f"{node.name}: its first process is gone", str(error)) from None
        self._shown(node)

    def wired(self, node: Node) -> None:
        """Its cables are there: plug them in, once whatever acts on its ports has seen them."""
        for department in self.departments:
            department.node_wired(node)
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(node.plan["plug"]))

    def init_ended(self, node: Node, init: int) -> None:
        """This process has ended, which was the node's first one."""
        if node.init == init:
            node.init, node.frozen = 0, False
            self._shown(node)
            for department in self.departments:
                department.node_ended(node)
            if node.busy != "powering off":
                self.say("problem", message=f"{node.name}: its first process ended; the node is off")

    def _shown(self, node: Node) -> None:
        (Path(self.lab["directory"]) / "inside" / node.name).write_text(f"{node.init}\n" if node.init else "", encoding="utf-8")

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
        async with self.turns[node.name]:
            if node.state == "off":
                raise Refused(f"{node.name} is off: there is nothing to freeze")
            if node.frozen:
                return {"output": "it was frozen already"}
            await self.freeze(node)
        return {}

    async def freeze(self, node: Node) -> None:
        """Stop every process of a node that is up."""
        if node.cgroup is not None:
            await freezer.freeze_cgroup(node.cgroup, frozen=True)
        else:
            await freezer.stop_all(node, lambda: census.members(node))
        node.frozen = True

    async def _thaw(self, act: Json) -> Json:
        node = self.node(act["node"])
        async with self.turns[node.name]:
            await self.thaw(node)
        return {}

    async def thaw(self, node: Node) -> None:
        """Let them go on. Nothing where the node is not frozen."""
        if not node.frozen:
            return
        if node.cgroup is not None:
            await freezer.freeze_cgroup(node.cgroup, frozen=False)
        else:
            freezer.continue_all(node, lambda: census.members(node))
        node.frozen = False

    async def _power_off(self, act: Json) -> Json:
        node = self.node(act["node"])
        async with self.turns[node.name]:
            if not node.init:
                return {"output": "it was off already"}
            node.busy = "powering off"
            try:
                return await self._cut_power(node, silent=act["silent"], lose_unsynced=act["lose_unsynced"])
            finally:
                node.busy = ""

    async def _cut_power(self, node: Node, *, silent: bool, lose_unsynced: bool) -> Json:
        if silent:
            transport.send_batch(netlink.NETLINK_NETFILTER, unpacked(node.plan["silence"]))
        await self.lose_power(node, unsynced=lose_unsynced)
        await self.kill(node)
        dead = {"ended_ns": time.monotonic_ns()}  # what follows is tidying up: the node has no power any more
        self._unplug(node)
        return await self.off(node, unsynced=lose_unsynced) | dead

    async def kill(self, node: Node) -> None:
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
        async with self.turns[node.name]:
            if node.init:
                return {"output": "it was on already"}
            transport.send_batch(netlink.NETLINK_NETFILTER, unpacked(node.plan["unsilence"]), tolerate=(errno.ENOENT,))
            await self.before_boot(node)
            await self.boot(node)
            self.supervisor.boot(node.name)
        return {}

    async def before_boot(self, node: Node) -> None:
        """What was there of a node that ended is put away; its volumes are there again."""
        self._unplug(node)
        for department in self.departments:
            department.node_booting(node)
        await self.regain_power(node)

    # ---- ending

    def remove_groups(self) -> list[str]:
        """Give the lab's cgroups back; those that could not be, with the reason."""
        trouble = []
        for group in ([self.cgroup] if self.cgroup is not None else []) + self.groups.directories():
            try:
                freezer.remove_cgroup(group)
            except OSError as error:
                trouble.append(f"{group}: {error.strerror}")
        return trouble
