"""What every process that holds a lab does: serves requests, watches its owner, keeps the armed heals.

Standard library only.
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
from collections.abc import Callable
from typing import Any

from chaoskit.backends.linux_host.agents import Agents
from chaoskit.backends.linux_host.lab_host import LabHost
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.wire import Refused, line

_REQUEST_LIMIT_BYTES = 64 << 20


async def hold(directory: str, owner: int, first: int, make: Callable[[Any, Nursery], LabHost]) -> None:
    """Hold a lab until its end. `owner`: a pidfd of the process it ends with, or -1; `first`: a socket with the first request."""
    holder = Holder(directory, make)
    holder.listen(owner, socket.socket(fileno=first))
    await holder.ended.wait()
    await holder.shut_down()


class Holder:
    """Serves requests, watches the owner, keeps the armed heals."""

    def __init__(self, directory: str, make: Callable[[Any, Nursery], LabHost]) -> None:
        """`make`: the host of the lab that a `boot` request describes."""
        self._directory, self._make = directory, make
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
        self._host = self._make(request["blueprint"], self._nursery)
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
