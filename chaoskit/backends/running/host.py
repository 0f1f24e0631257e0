"""A lab of running containers from the inside: how they are paused, killed, started, found again. Runs in the keeper's loop."""

from __future__ import annotations

import asyncio
import codecs
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

from chaoskit.backends.docker import engine
from chaoskit.backends.docker.container_groups import ContainerGroups, container_groups
from chaoskit.backends.linux_host import census, transport
from chaoskit.backends.linux_host.controllers import NOTED, Group
from chaoskit.backends.linux_host.errands import beside
from chaoskit.backends.linux_host.lab_host import LabHost
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.wire import Refused, unpacked
from chaoskit.backends.running import looking
from chaoskit.backends.running.owed import DOWN, ENDED, PAUSED, Owed, clear_network
from chaoskit.backends.running.wire import RunningJson, RunningLabJson
from chaoskit.linux import netlink, rtnl
from chaoskit.model.errors import LabUnavailable

_ENGINE_WITHIN_S = 60.0
_DEAD_WITHIN_S = 15.0
_FOUND_AGAIN_WITHIN_S = 60.0
_NOT_ON_THE_HOST = frozenset(
    {"power_off", "power_on", "freeze", "thaw", "exec", "signal", "write_file", "restore_file", "start_load", "set_quota"}
)


class RunningHost(LabHost):
    """Its nodes are containers of others, on bridges of others. Whatever is done to them is owed on the disk first."""

    def __init__(self, lab: RunningLabJson, nursery: Nursery) -> None:
        super().__init__(lab, nursery)
        self._containers: dict[str, RunningJson] = lab["containers"]
        self._engine, self._engine_pid, self._mark = lab["engine"], lab["engine_pid"], lab["mark"]
        self.owed = Owed(Path(lab["directory"]))
        self.groups: ContainerGroups = ContainerGroups(self.groups.name, Path(lab["directory"], NOTED), self._groups_of)
        self._acts |= {"set_ports": self._set_ports, "join_host": self._join_host}
        self._searching: set[asyncio.Task[None]] = set()

    def _groups_of(self, node: str) -> dict[str, Group]:
        init = self.nodes[node].init
        return container_groups(init) if init and self._containers[node]["id"] else {}

    async def build(self, progress: Callable[[str], None]) -> None:
        codecs.lookup("ascii")  # a child inside a container finds no codec there that was not read before
        engine.warmed()  # children that ask the engine are forked: they need not read the SDK again
        for plan in self.lab["nodes"]:
            node = self.add_node(plan)
            if not self._containers[node.name]["id"]:
                self.adopt(node, os.getpid())
                continue
            state = await self._by_engine(node, "state")
            if state["pid"]:
                self._adopt(node, state["pid"])
                node.frozen = state["paused"]
        progress(f"{sum(1 for c in self._containers.values() if c['id'])} containers are watched")

    async def act(self, act: Json) -> Json:
        node = str(act.get("node") or "")
        if act["act"] in _NOT_ON_THE_HOST and node in self._containers and not self._containers[node]["id"]:
            raise Refused(f"{node} is the engine's own machine, where clients run: nothing is done to it")
        if act["act"] == "flap_link" and act["ports"]:
            self.owed.add(DOWN, act["ports"])
        return await super().act(act)

    # ---- by the engine

    async def _by_engine(self, node: Node, what: str) -> Json:
        """In a child: the SDK waits, and the loop must not."""
        container, url = self._containers[node.name]["id"], self._engine

        def errand() -> Json:
            try:
                found = engine.opened(url)
                if what == "start":
                    return {"pid": found.start(container)}
                with engine.told(f"{node.name}: {what}"):
                    if what != "state":
                        getattr(found.client.api, what)(container)
                        return {}
                    state = found.client.api.inspect_container(container)["State"]
                return {"pid": int(state["Pid"]), "paused": bool(state["Paused"])}
            except LabUnavailable as error:
                raise Refused(str(error)) from error

        return await beside(self.nursery, node, errand, "its engine", _ENGINE_WITHIN_S)

    def _adopt(self, node: Node, init: int) -> None:
        handle = os.pidfd_open(init)
        if self._containers[node.name]["id"] not in Path(f"/proc/{init}/cgroup").read_text(encoding="utf-8"):
            os.close(handle)
            raise Refused(f"{node.name}: process {init} of this machine is not the container's first: the engine is elsewhere")
        self.adopt(node, init)
        status = Path(f"/proc/{init}/status").read_text(encoding="utf-8")
        node.bounding = next(int(line.split()[1], 16) for line in status.splitlines() if line.startswith("CapBnd:"))
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(handle)
            os.close(handle)
            self.groups.forget(node.name)
            own = node.busy == "powering off"
            self.init_ended(node, init)
            if not own:
                task = loop.create_task(self._found_again(node))
                self._searching.add(task)
                task.add_done_callback(self._searching.discard)

        loop.add_reader(handle, ended)

    async def _found_again(self, node: Node) -> None:
        """A container that ended by itself may be started by its engine's restart policy: the faults on it go on."""
        deadline = time.monotonic() + _FOUND_AGAIN_WITHIN_S
        while not node.init and not node.busy and time.monotonic() < deadline:
            try:
                state = await self._by_engine(node, "state")
            except Refused as refusal:
                self.say("problem", message=f"{node.name}: it cannot be found again: {refusal}")
                return
            if state["pid"] and not node.init and not node.busy:
                try:
                    self._adopt(node, state["pid"])
                    await self._rewired(node)
                except (OSError, Refused) as error:
                    self.say("problem", message=f"{node.name}: it was started again, and its faults could not follow: {error}")
                    return
                self.say("note", text=f"{node.name}: its engine started it again; faults on it go on", author="backend")
                return
            await asyncio.sleep(0.1)

    async def _rewired(self, node: Node) -> None:
        """Its cables are new ones: give their ends the names that rules know, and do again what was attached to the old ones."""
        ports = self._containers[node.name]["ports"]
        if not ports:
            return
        pid, engine_pid = node.init, self._engine_pid

        def look() -> Json:
            try:
                return {"cables": looking.cables(engine_pid, [pid])[pid]}
            except LabUnavailable as error:
                raise Refused(str(error)) from error

        seen = (await beside(self.nursery, node, look, "its cables", _ENGINE_WITHIN_S))["cables"]
        down = self.owed.all().get(DOWN, [])
        for cable in seen:
            wanted = ports.get(cable["device"])
            if wanted is None or not cable["port_index"]:
                continue
            if cable["mac"] != self._containers[node.name]["macs"][cable["device"]]:
                message = f"{node.name}: its engine gave it another address: what is asked of the old one tells nothing any more"
                self.say("problem", message=f"{message}; pin it (ipv4_address, --ip)")
            if cable["port"] != wanted:
                _renamed(cable["port_index"], wanted)
            if wanted in down:
                transport.send_batch(netlink.NETLINK_ROUTE, rtnl.batch(rtnl.set_named(wanted, up=False)))
        for department in self.departments:
            department.node_wired(node)

    # ---- acts

    async def boot(self, node: Node) -> None:
        node.busy = "booting"
        try:
            self._adopt(node, (await self._by_engine(node, "start"))["pid"])
            await self._rewired(node)
        finally:
            node.busy = ""
        self.owed.paid(ENDED, [node.name])

    async def kill(self, node: Node) -> None:
        """By the engine, which else would start it again at once where its restart policy says so."""
        init = node.init
        self.owed.add(ENDED, [node.name])
        await self._by_engine(node, "kill")
        deadline = time.monotonic() + _DEAD_WITHIN_S
        while node.init == init:
            if time.monotonic() > deadline:
                left = census.members(node)
                raise Refused(f"{node.name}: {len(left)} processes outlive SIGKILL", str(list(left.values())[:10]))
            await asyncio.sleep(0.0005)
        self.owed.paid(PAUSED, [node.name])

    async def freeze(self, node: Node) -> None:
        self.owed.add(PAUSED, [node.name])
        await self._by_engine(node, "pause")
        node.frozen = True

    async def thaw(self, node: Node) -> None:
        if node.frozen:
            await self._by_engine(node, "unpause")
            node.frozen = False
            self.owed.paid(PAUSED, [node.name])

    async def _set_ports(self, act: Json) -> Json:
        if not act["up"]:
            self.owed.add(DOWN, act["ports"])
        tolerate = [errno.ENODEV] if act["up"] else []  # a container that is off has no cable; the next one comes up by itself
        transport.send_batch(netlink.NETLINK_ROUTE, unpacked(act["batch"]), tolerate=tolerate)
        if act["up"]:
            self.owed.paid(DOWN, act["ports"])
        return {}

    async def _join_host(self, act: Json) -> Json:
        """As `join`, and what a keeper that is dead had made under this tag."""
        shaped = await self._acts["join"](act["join"])
        clear_network(act["mark"], ())
        return shaped

    # ---- ending

    async def end(self) -> list[str]:
        """Put back what is still broken; the containers stay."""
        for department in self.departments:
            department.lab_ending()
        for task in self._searching:
            task.cancel()
        owed, trouble = self.owed.all(), []
        for name in [*owed.get(PAUSED, ()), *owed.get(ENDED, ())]:
            try:
                await (self._thaw if name in owed.get(PAUSED, ()) else self._power_on)({"node": name})
            except (OSError, Refused) as error:
                trouble.append(f"{name}: {error}")
        try:
            clear_network(self._mark, owed.get(DOWN, ()))
        except (OSError, Refused) as error:
            trouble.append(f"rules and links: {error}")
        return [*trouble, *self.remove_groups()]


def _renamed(device: int, name: str) -> None:
    """Kernels before 6.2 rename a device only while it is down."""
    rename = rtnl.batch(rtnl.rename(device, name))
    try:
        transport.send_batch(netlink.NETLINK_ROUTE, rename)
    except Refused:
        down, up = rtnl.batch(rtnl.set_port(device, up=False)), rtnl.batch(rtnl.set_port(device, up=True))
        for batch in (down, rename, up):
            transport.send_batch(netlink.NETLINK_ROUTE, batch)
