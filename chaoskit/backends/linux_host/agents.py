"""chaoskit's own processes in a lab: probes and watchers, in a node's network but none of its other namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from dataclasses import dataclass
from typing import NoReturn

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.lab_host import LabHost
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.wire import Refused

_STDIO = 3


@dataclass
class _Agent:
    pid: int
    ended: asyncio.Future[int]


class Agents:
    """The agents of one lab. They are the holder's children, so they end with it and survive their node."""

    def __init__(self, nursery: Nursery) -> None:
        self._nursery = nursery
        self._agents: dict[int, _Agent] = {}

    async def carry_out(self, op: str, request: Json, fds: list[int], host: LabHost) -> Json:
        if op == "agent_start":
            return self._start(request, fds, host)
        agent = self._agents.get(request["agent"])
        if agent is None:
            raise Refused(f"this lab has no agent {request['agent']}")
        if op == "agent_wait":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(agent.ended), request["timeout_s"])
        elif op == "agent_signal" and not agent.ended.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(agent.pid, getattr(signal, f"SIG{request['signal']}"))
        return {"code": agent.ended.result() if agent.ended.done() else None}

    def _start(self, request: Json, fds: list[int], host: LabHost) -> Json:
        if len(fds) != _STDIO:
            raise Refused(f"an agent needs {_STDIO} descriptors, {len(fds)} came")
        node = host.node(request["node"]) if request["node"] is not None else None
        if node is not None and not node.init:
            raise Refused(f"{node.name} is off: no agent can be placed in its network")
        init = node.init if node is not None else 0

        def body() -> int:
            _become_agent(request, fds, init)

        pid, ended = self._nursery.fork(body, keep=fds)
        self._agents[pid] = _Agent(pid, ended)
        return {"agent": pid}

    async def end(self) -> None:
        """SIGKILL to all that still run."""
        running = [agent for agent in self._agents.values() if not agent.ended.done()]
        for agent in running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(agent.pid, signal.SIGKILL)
        if running:
            await asyncio.wait([agent.ended for agent in running], timeout=5.0)


def _become_agent(request: Json, fds: list[int], init: int) -> NoReturn:
    try:
        os.setsid()
        if init:
            net = os.open(f"/proc/{init}/ns/net", os.O_RDONLY)
            syscalls.setns(net, syscalls.CLONE_NEWNET)
            os.close(net)
        for number, fd in enumerate(fds):
            os.dup2(fd, number)
        syscalls.close_all_but(())
        os.chdir(request["directory"])
        os.execvpe(request["argv"][0], request["argv"], request["env"])
    except BaseException as error:  # noqa: BLE001 - this child only reports
        print(f"chaoskit: agent {request['argv'][0]!r}: {error}", file=sys.stderr, flush=True)
    os._exit(127)
