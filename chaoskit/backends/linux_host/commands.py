"""Commands, signals and processes of nodes: what can be told and asked. Standard library only."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable

from chaoskit.backends.linux_host import census
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.services import Supervisor
from chaoskit.backends.linux_host.wire import Refused

_STOP_DEADLINE_S = 0.5


class Commands(Department):
    """Runs commands in nodes, signals their processes, and lists them."""

    def __init__(self, supervisor: Supervisor, find: Callable[[str], Node]) -> None:
        self._supervisor, self._find = supervisor, find

    def acts(self) -> dict[str, Handler]:
        return {"exec": self._exec, "signal": self._signal}

    def questions(self) -> dict[str, Handler]:
        return {
            "exec": self._exec,
            "page": self._page,
            "node_state": self._node_state,
            "service": self._service,
            "processes": self._processes,
            "process_state": self._process_state,
            "pid_file": self._pid_file,
        }

    async def _exec(self, act: Json) -> Json:
        node = self._find(act["node"])
        code, output, _ = await self._supervisor.execute(node, act["argv"], act["user"], act.get("env", {}), act["timeout_s"])
        if code is None:
            raise Refused(f"{node.name}: {act['argv'][0]} did not end within {act['timeout_s']:g} s", output[-4096:])
        if "ok_codes" in act and code not in act["ok_codes"]:
            raise Refused(f"{node.name}: {' '.join(act['argv'])}: exit code {code}", output[-4096:])
        return {"code": code, "output": output}

    async def _page(self, query: Json) -> Json:
        check = {"http": query["url"], "timeout_s": query["timeout_s"]}
        missing = await self._supervisor.asked(self._find(query["node"]), check)
        return {"value": "not there" if missing else "there", "data": missing}

    async def _signal(self, act: Json) -> Json:
        node = self._find(act["node"])
        number = getattr(signal, f"SIG{act['signal']}", None)
        if number is None:
            raise Refused(f"there is no signal {act['signal']!r}")
        sent: list[str] = []
        gone: list[str] = []
        for wanted in act["processes"]:
            found = census.find(node, wanted["pid"]) if node.init else None
            done = found is not None and census.signalled(found[0], wanted["start_ticks"], number)
            (sent if done else gone).append(str(wanted["pid"]))
        if act["signal"] == "STOP" and sent:
            await self._until_stopped(node, act["processes"])
        parts = [f"{act['signal']} to {', '.join(sent)}"] if sent else []
        parts += [f"gone already: {', '.join(gone)}"] if gone else []
        return {"output": "; ".join(parts)}

    async def _until_stopped(self, node: Node, processes: list[Json]) -> None:
        """A stop is done when the process stands still; one that waits for a disk does so later, and is not waited for."""
        deadline = time.monotonic() + _STOP_DEADLINE_S
        while time.monotonic() < deadline and any(census.process_state(node, wanted) == "running" for wanted in processes):
            await asyncio.sleep(0.0005)

    async def _node_state(self, query: Json) -> Json:
        return {"value": self._find(query["node"]).state}

    async def _service(self, query: Json) -> Json:
        return {"value": self._supervisor.find(query["node"], query["service"]).state}

    async def _processes(self, query: Json) -> Json:
        node = self._find(query["node"])
        return {"processes": census.listing(node, self._supervisor.mains(node.name)) if node.init else []}

    async def _process_state(self, query: Json) -> Json:
        return {"value": census.process_state(self._find(query["node"]), query["process"])}

    async def _pid_file(self, query: Json) -> Json:
        return {"number": census.first_integer(self._find(query["node"]), query["path"])}
