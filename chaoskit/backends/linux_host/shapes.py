"""Shaped links of a lab: what is set up for a tag, kept up through reboots, watched, and taken back. Standard library only."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from chaoskit.backends.linux_host import transport
from chaoskit.backends.linux_host.department import Department, Handler, Json
from chaoskit.backends.linux_host.node import Node
from chaoskit.backends.linux_host.processes import Nursery
from chaoskit.backends.linux_host.relay import relay
from chaoskit.backends.linux_host.wire import Refused, unpacked

_READY_WITHIN_S = 5.0
_ENDED_WITHIN_S = 2.0


@dataclass
class _Relay:
    """A running relay process, and the pipe whose end tells it to stop."""

    pid: int
    ended: asyncio.Future[int]
    control: int
    stopping: bool = False
    ready: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


@dataclass
class _Shaped:
    pairs: list[list[str]]
    way: Json
    relay: _Relay | None = None


class Shapes(Department):
    """Every shape in force in this lab. Shape and cut of a tag are both undone by joining it."""

    def __init__(self, nursery: Nursery, find: Callable[[str], Node], say: Callable[..., None]) -> None:
        self._nursery, self._find, self._say = nursery, find, say
        self._shaped: dict[str, _Shaped] = {}
        self._turn = asyncio.Lock()
        self._has_netem: bool | None = None

    def acts(self) -> dict[str, Handler]:
        return {"shape": self._shape, "join": self._join}

    def node_wired(self, node: Node) -> None:
        """Its switch ports are new ones: what was attached to the old ones ended with them."""
        for shaped in self._shaped.values():
            self._attach(shaped, only=node)

    async def _shape(self, act: Json) -> Json:
        async with self._turn:
            await self._undo(act["tag"])
            taken = {tuple(pair): tag for tag, shaped in self._shaped.items() for pair in shaped.pairs}
            for pair in act["pairs"]:
                if tuple(pair) in taken:
                    raise Refused(f"the link {' -> '.join(pair)} has a shape already, of {taken[tuple(pair)]}")
            way = self._way(act)
            shaped = self._shaped[act["tag"]] = _Shaped(act["pairs"], way)
            try:
                for batch in way["prepare"]:
                    _send(batch)
                if way["relay"] is not None:
                    shaped.relay = await self._started(act["tag"], way["relay"])
                self._attach(shaped)
                _send(way["sort"])
            except BaseException:
                await self._undo(act["tag"])
                raise
        return {}

    def _way(self, act: Json) -> Json:
        """The kernel's own way first, where there is one for this shape and the kernel has it."""
        if self._has_netem is None:
            try:
                for batch in act["netem"]:
                    _send(batch)
                self._has_netem = True
            except Refused as refusal:
                self._has_netem = False
                print(f"links are shaped by a relay: {refusal}", flush=True)
        ways = [way for way in act["ways"] if self._has_netem or way["relay"] is not None]
        found: Json = ways[0]
        return found

    async def _join(self, act: Json) -> Json:
        async with self._turn:
            _send(act["cut"])
            await self._undo(act["tag"])
        return {}

    async def _undo(self, tag: str) -> None:
        """Frames go straight first; then what was underway is sent on, and everything that was made is removed."""
        shaped = self._shaped.pop(tag, None)
        if shaped is None:
            return
        _send(shaped.way["unsort"])
        if shaped.relay is not None:
            await self._stopped(shaped.relay)
        shared = {place["port"] for other in self._shaped.values() for place in other.way["attach"]}
        for place in shaped.way["attach"]:
            for batch in place["detach"]:
                _send(batch)
        for port, last in {place["port"]: place["last"] for place in shaped.way["attach"]}.items():
            for batch in last if port not in shared else []:
                _send(batch)
        for batch in shaped.way["remove"]:
            _send(batch)

    def _attach(self, shaped: _Shaped, only: Node | None = None) -> None:
        """Attach to the ports of the nodes that are there; the others' when they boot."""
        for place in shaped.way["attach"]:
            node = self._find(place["node"])
            if node is only or (only is None and node.init and node.busy != "booting"):
                for batch in place["batches"]:
                    _send(batch)

    # ---- the relay

    async def _started(self, tag: str, told: Any) -> _Relay:
        control_reader, control = os.pipe()
        report, report_writer = os.pipe()
        body = partial(relay, told, control_reader, report_writer)
        pid, ended = self._nursery.fork(body, keep=[control_reader, report_writer])
        os.close(control_reader)
        os.close(report_writer)
        made = _Relay(pid, ended, control)
        self._listen(tag, made, report)
        try:
            said = await asyncio.wait_for(asyncio.shield(made.ready), _READY_WITHIN_S)
        except TimeoutError:
            said = f"error: it was not ready within {_READY_WITHIN_S} s"
        if said != "ready":
            await self._stopped(made)
            raise Refused("the process that shapes links did not start", said)
        return made

    def _listen(self, tag: str, made: _Relay, report: int) -> None:
        os.set_blocking(report, False)
        loop = asyncio.get_running_loop()
        partial_line = bytearray()

        def hear() -> None:
            data = os.read(report, 65536)
            partial_line.extend(data)
            *lines, rest = bytes(partial_line).split(b"\n")
            partial_line[:] = rest
            for line in lines:
                if not made.ready.done():
                    made.ready.set_result(line.decode("utf-8", "replace"))
                else:
                    self._trouble(tag, json.loads(line))
            if not data:
                loop.remove_reader(report)
                os.close(report)
                if not made.ready.done():
                    made.ready.set_result("its process ended without a word")
                elif not made.stopping:
                    message = f"shape {tag}: the process that relays its links ended; they are cut until it is healed"
                    self._say("problem", message=message)

        loop.add_reader(report, hear)

    def _trouble(self, tag: str, said: dict[str, int]) -> None:
        if said["overflowed"]:
            self._say(
                "problem", message=f"shape {tag}: {said['overflowed']} frames more than asked were lost: its queue was full"
            )
        if said["unreadable"]:
            message = f"shape {tag}: {said['unreadable']} frames more than asked were lost: the kernel could not describe them"
            self._say("problem", message=message)

    async def _stopped(self, made: _Relay) -> None:
        made.stopping = True
        os.close(made.control)
        try:
            await asyncio.wait_for(asyncio.shield(made.ended), _ENDED_WITHIN_S)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(made.pid, signal.SIGKILL)
            await made.ended


def _send(batch: Any) -> None:
    transport.send_batch(batch["family"], unpacked(batch["batch"]), tolerate=batch["tolerate"])
