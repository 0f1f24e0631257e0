"""The process that holds one lab: `python -m chaoskit.backends.namespace.holder --lab=ID DIRECTORY OWNER_FD FIRST_FD`.

The process tree, and who dies with whom:

    chaoskit (the owner)
      └─ keeper            this module's first process: makes the lab's parent namespaces, waits for the holder
           └─ holder       PID 1 of the lab's process namespace: when it ends, the kernel ends everything below
                ├─ init    one a node, PID 1 of the node's own process namespace: when it ends, that node ends
                │    └─ orphans of the node, reaped by it
                ├─ services and commands, in a node's namespaces, but the holder's children: it reaps and watches them
                └─ agents  chaoskit's own processes, in a node's network only: they survive the node, not the lab

* The keeper ends -> SIGKILL to the holder (parent-death signal) -> everything.
* The owner ends, however (the holder polls a pidfd of it): armed heals are performed, then the lab ends. A detached lab
  has no owner; its armed heals are performed when their deadline passes, and it lives on.
* Network namespaces, mounts, loop devices (autoclear) and nftables rules end with the last process. Two things do not:
  empty cgroup directories and the files of the lab's directory. An orderly end removes the former, `sweep` both.

Standard library only, and imports kept few: a lab of ten nodes is up in the time that larger imports take.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
import traceback
from typing import Any, NoReturn

from chaoskit.backends.namespace import identity, syscalls
from chaoskit.backends.namespace.agents import Agents
from chaoskit.backends.namespace.host import LabHost, prepare_directories
from chaoskit.backends.namespace.processes import Json, Nursery
from chaoskit.backends.namespace.wire import Refused, line

_REQUEST_LIMIT_BYTES = 64 << 20
_PARENT_NAMESPACES = (
    syscalls.CLONE_NEWNS | syscalls.CLONE_NEWNET | syscalls.CLONE_NEWPID | syscalls.CLONE_NEWUTS | syscalls.CLONE_NEWIPC
)


def main(arguments: list[str]) -> NoReturn:
    """Keeper: namespaces, then fork the holder and wait for it."""
    _, directory, owner, first = arguments
    os.setsid() if os.getpgrp() != os.getpid() else None
    rootless = os.geteuid() != 0
    if rootless:
        identity.enter_user_namespace()
    syscalls.unshare(_PARENT_NAMESPACES)
    noted_reader, noted_writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            syscalls.die_with_parent()
            os.close(noted_writer)
            os.read(noted_reader, 1)  # the keeper must read this machine's /proc before it is covered by the lab's own
            asyncio.run(_hold(directory, int(owner), int(first), rootless=rootless))
        except BaseException:  # noqa: BLE001 - the last words of PID 1 belong into its log
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
        os._exit(0)
    identity.note_holder(directory, pid)
    os.close(noted_writer)
    for fd in (int(owner), int(first)):
        with contextlib.suppress(OSError):
            os.close(fd)
    _, status = os.waitpid(pid, 0)
    os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


async def _hold(directory: str, owner: int, first: int, *, rootless: bool) -> None:
    syscalls.name_process("chaoskit-lab")
    prepare_directories(directory)
    holder = Holder(directory, rootless=rootless)
    holder.listen(owner, socket.socket(fileno=first))
    await holder.ended.wait()
    await holder.shut_down()


class Holder:
    """Serves requests, watches the owner, keeps the armed heals."""

    def __init__(self, directory: str, *, rootless: bool) -> None:
        self._directory, self._rootless = directory, rootless
        self._nursery = Nursery()
        self._host: LabHost | None = None
        self._agents = Agents(self._nursery)
        self._debts: dict[str, tuple[list[Json], float]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        self._orphaned = False
        self._up = False
        self._goodbye: list[socket.socket] = []

    def listen(self, owner: int, first: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._nursery.start()
        loop.add_signal_handler(signal.SIGTERM, self.ended.set)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        fd = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY)
        server.bind(f"/proc/self/fd/{fd}/socket")  # the path itself may be longer than a socket address allows
        os.close(fd)
        server.listen(64)
        loop.add_reader(server, self._accept, server)
        if owner >= 0:
            loop.add_reader(owner, self._owner_ended, owner)
        self._converse(first)
        self._keep(self._watch_debts())

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            traceback.print_exception(error)

    def _owner_ended(self, owner: int) -> None:
        asyncio.get_running_loop().remove_reader(owner)
        os.close(owner)
        self._orphaned = True
        print("the owner is gone: healing what is armed, then ending", file=sys.stderr, flush=True)
        self.ended.set()

    # ---- conversations

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            connection, _ = server.accept()
            self._converse(connection)

    def _converse(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._keep(self._conversation(connection))

    async def _conversation(self, connection: socket.socket) -> None:
        fds: list[int] = []
        try:
            request = await _request(connection, fds)
            if request is not None:
                answer = await self._answered(request, fds, connection)
                with contextlib.suppress(ConnectionError):
                    await asyncio.get_running_loop().sock_sendall(connection, line(answer))
                if request.get("op") == "down":
                    self._goodbye.append(connection)
                    self.ended.set()
        finally:
            for fd in fds:
                os.close(fd)
            if connection not in self._goodbye:
                connection.close()

    async def _answered(self, request: Json, fds: list[int], connection: socket.socket) -> Json:
        def progress(text: str) -> None:
            with contextlib.suppress(OSError):
                connection.send(line({"progress": text}))

        try:
            return {"ok": True, **await self._carry_out(request, fds, progress)}
        except Refused as refusal:
            return {"ok": False, "error": str(refusal), "evidence": refusal.evidence}
        except Exception as error:  # noqa: BLE001 - a bug in one request must reach its sender, and not end the lab
            traceback.print_exc()
            return {"ok": False, "error": f"{type(error).__name__}: {error}", "evidence": traceback.format_exc()}

    async def _carry_out(self, request: Json, fds: list[int], progress: Any) -> Json:
        op = request["op"]
        if op == "boot":
            return await self._boot(request, progress)
        host = self._host
        if op == "status":
            return {"up": self._up, "nodes": {n.name: n.state for n in host.nodes.values()} if host else {}, **self._armed()}
        if op == "down":
            return {}
        if host is None:
            raise Refused("this lab is not built yet")
        if op == "act":
            return await host.act(request["act"])
        if op == "ask":
            answer = await host.ask(request["query"])
            return {**answer, "at_ns": time.monotonic_ns()}
        if op == "arm":
            self._debts.pop(request["debt"], None)
            self._debts[request["debt"]] = (request["heal"], time.monotonic() + request["deadline_s"])
            return {}
        if op == "disarm":
            return {"known": self._debts.pop(request["debt"], None) is not None}
        if op == "events":
            return {"events": host.events[request["after"] :], "next": len(host.events)}
        if op.startswith("agent_"):
            return await self._agents.carry_out(op, request, fds, host)
        raise Refused(f"no such request: {op!r}")

    async def _boot(self, request: Json, progress: Any) -> Json:
        if self._host is not None:
            raise Refused("this lab is built already")
        began = time.monotonic()
        self._host = LabHost(request["blueprint"], self._nursery, rootless=self._rootless)
        await self._host.build(progress)
        self._up = True
        return {"took_s": time.monotonic() - began}

    def _armed(self) -> Json:
        return {"armed": sorted(self._debts)}

    # ---- the dead man

    async def _watch_debts(self) -> None:
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            for debt in [name for name, (_, deadline) in self._debts.items() if deadline <= now]:
                await self._heal(debt, "its deadline passed")

    async def _heal(self, debt: str, why: str) -> None:
        heal, _ = self._debts.pop(debt)
        assert self._host is not None
        self._host.say("note", text=f"dead man: healing {debt}: {why}", author="backend")
        for act in heal:
            try:
                await self._host.act(act)
            except Refused as refusal:
                message = f"dead man: {debt}: {act['act']} failed: {refusal} {refusal.evidence}"
                self._host.say("problem", message=message)

    async def shut_down(self) -> None:
        """Heal what is armed if the owner is gone, end the agents and the lab, answer who asked for it."""
        if self._orphaned:
            for debt in list(reversed(self._debts)):
                await self._heal(debt, "its owner is gone")
        await self._agents.end()
        trouble = await self._host.end() if self._host is not None else []
        for text in trouble:
            print(f"left behind: {text}", file=sys.stderr, flush=True)
        for connection in self._goodbye:
            with contextlib.suppress(OSError):
                connection.setblocking(True)
                connection.sendall(line({"gone": True, "trouble": trouble}))
                connection.close()


async def _request(connection: socket.socket, fds: list[int]) -> Json | None:
    """One line from a connection, with the descriptors that came along; None where it closed without one."""
    loop = asyncio.get_running_loop()
    data = bytearray()
    while b"\n" not in data:
        readable: asyncio.Future[None] = loop.create_future()
        loop.add_reader(connection, lambda f=readable: f.done() or f.set_result(None))  # type: ignore[misc]
        try:
            await readable
        finally:
            loop.remove_reader(connection)
        try:
            part, ancillary, _, _ = connection.recvmsg(1 << 18, socket.CMSG_SPACE(8 * 4))
        except (BlockingIOError, InterruptedError):
            continue
        except ConnectionError:
            return None
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                received = array.array("i")
                received.frombytes(payload[: len(payload) - len(payload) % received.itemsize])
                fds.extend(received)
        if not part or len(data) > _REQUEST_LIMIT_BYTES:
            return None
        data += part
    request: Json = json.loads(data)
    return request


if __name__ == "__main__":
    main(sys.argv[1:])
