"""What the engine says of a lab's containers while it runs: deaths with exit codes, kills for want of memory, starts, health.

A child of the holder listens to the engine's event stream, for the SDK waits and the loop must not, and writes a line for each.
Where the engine goes away it says so and tries again; once the engine is back it tells how each container is, because what
happened meanwhile was said to nobody.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from chaoskit.backends.docker import engine
from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.model.errors import LabUnavailable

_AGAIN_AFTER_S = 0.3
_HEALTH = "health_status"
_HEARD = ("die", "oom", "start", _HEALTH)


class EngineWatch:
    """Tells `heard` each thing as {"what": die | oom | start | health | lost | back, "node": name, ...}."""

    def __init__(self, url: str, nodes: Mapping[str, str], nursery: Nursery, heard: Callable[[Json], None]) -> None:
        """`nodes`: container's id -> node."""
        self._url, self._nodes, self._nursery, self._heard = url, nodes, nursery, heard
        self._pid = 0

    def start(self) -> None:
        """Begin to listen; from now on nothing is missed that is not told of later."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)

        def body() -> int:
            syscalls.die_with_parent()
            return _listen(self._url, self._nodes, writer)

        self._pid, _ = self._nursery.fork(body, keep=[writer])
        os.close(writer)
        asyncio.get_running_loop().add_reader(reader, self._read, reader, bytearray())

    def end(self) -> None:
        if self._pid:
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._pid = 0

    def _read(self, reader: int, partial: bytearray) -> None:
        data = os.read(reader, 65536)
        if not data:
            asyncio.get_running_loop().remove_reader(reader)
            os.close(reader)
            return
        partial.extend(data)
        *whole, rest = bytes(partial).split(b"\n")
        partial[:] = rest
        for line in whole:
            if self._pid:
                self._heard(json.loads(line))


def _listen(url: str, nodes: Mapping[str, str], writer: int) -> int:
    """In a child, without end."""
    lost = False
    while True:
        why = "its event stream ended"
        try:
            found = engine.opened(url, waits_s=None)
            with engine.told("the event stream"):
                stream = found.client.api.events(decode=True, filters={"container": list(nodes)})
                if lost:
                    _tell(writer, {"what": "back"})
                for state in _states(found, nodes) if lost else ():
                    _tell(writer, state)
                lost = False
                for event in stream:
                    for said in _heard(event, nodes, found):
                        _tell(writer, said)
        except LabUnavailable as error:
            why = str(error)
        if not lost:
            _tell(writer, {"what": "lost", "why": why})
            lost = True
        time.sleep(_AGAIN_AFTER_S)


def _heard(event: Mapping[str, Any], nodes: Mapping[str, str], found: engine.Engine) -> Iterable[Json]:
    action = str(event.get("Action", ""))
    what = action.partition(":")[0]
    node = nodes.get(event.get("Actor", {}).get("ID", ""))
    if node is None or what not in _HEARD:
        return
    said: Json = {"what": what, "node": node}
    if what == "die":
        said["exit_code"] = int(event["Actor"]["Attributes"].get("exitCode", -1))
    elif what == "start":
        state = found.client.api.inspect_container(event["Actor"]["ID"])["State"]
        said["pid"] = int(state["Pid"])
    elif what == _HEALTH:
        said |= {"what": "health", "status": action.partition(":")[2].strip()}
    yield said


def _states(found: engine.Engine, nodes: Mapping[str, str]) -> Iterable[Json]:
    """How the containers are now, as if it had just happened."""
    for container in found.containers_named(nodes):
        state = container["State"]
        node = nodes[container["Id"]]
        if state["Running"]:
            yield {"what": "start", "node": node, "pid": int(state["Pid"])}
        else:
            yield {"what": "die", "node": node, "exit_code": int(state["ExitCode"]), "meanwhile": True}


def _tell(writer: int, said: Json) -> None:
    os.write(writer, json.dumps(said).encode() + b"\n")
