"""Programmable disks, from the holder's side: starting their servers, and telling them how to fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from chaoskit.backends.linux_host import disk_server, syscalls
from chaoskit.backends.linux_host.disk_model import TAIL_BYTES
from chaoskit.backends.linux_host.processes import Json, Nursery
from chaoskit.backends.linux_host.volumes import Volumes
from chaoskit.backends.linux_host.wire import Refused, VolumeJson

_ANSWER_WITHIN_S = 5.0
_REPORT_BYTES = 4096


class Disk:
    """One programmable disk: its server's number, and the way to tell it something."""

    def __init__(self, name: str, pid: int, control: socket.socket, size_bytes: int) -> None:
        self.name, self.pid, self.size_bytes = name, pid, size_bytes
        self.alive = True
        self._control = control
        self._turn = asyncio.Lock()
        control.setblocking(False)

    async def tell(self, do: str, **more: Any) -> Json:
        """Its report (DiskModel.told). Refused where it is gone or does not answer."""
        if not self.alive:
            raise Refused(f"the disk of {self.name} is gone")
        loop = asyncio.get_running_loop()
        try:
            async with self._turn, asyncio.timeout(_ANSWER_WITHIN_S):
                await loop.sock_sendall(self._control, json.dumps({"do": do, **more}).encode())
                data = await loop.sock_recv(self._control, _REPORT_BYTES)
        except TimeoutError:
            self.end()  # a late answer must not be taken for that to the next order
            raise Refused(f"the disk of {self.name} does not answer within {_ANSWER_WITHIN_S:g} s") from None
        except OSError as error:
            raise Refused(f"the disk of {self.name} is gone: {error}") from None
        if not data:
            raise Refused(f"the disk of {self.name} is gone")
        report: Json = json.loads(data)
        return report

    def end(self) -> None:
        """At once; whoever waits for it gets an error."""
        self.alive = False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self._control.close()


class Disks:
    """The programmable disks of one lab."""

    def __init__(self, volumes: Volumes, nursery: Nursery, say: Callable[..., None]) -> None:
        self._volumes, self._nursery, self._say = volumes, nursery, say
        self._disks: dict[tuple[str, str], Disk] = {}
        self._ending = False

    def start(self, node: str, volume: VolumeJson) -> None:
        """Start the disk of a volume that is not made yet; its file is there when this returns. OSError."""
        name, place = volume["name"], self._volumes.disk_place(node, volume["name"])
        place.mkdir(parents=True)
        size = self._volumes.size_bytes(volume) + TAIL_BYTES
        channel = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            syscalls.mount_fuse(str(place), channel)
            image = str(self._volumes.durable_image(node, name))
            body = partial(disk_server.run, channel, theirs.fileno(), image, size)
            pid, ended = self._nursery.fork(body, keep=[channel, theirs.fileno()])
        finally:
            os.close(channel)
            theirs.close()
        disk = self._disks[node, name] = Disk(f"{node}.{name}", pid, ours, size)
        ended.add_done_callback(lambda done: self._ended(disk, done.result()))

    def _ended(self, disk: Disk, code: int) -> None:
        disk.alive = False
        if not self._ending:
            self._say("problem", message=f"the disk of {disk.name} ended by itself with {code}: all it does now is fail")

    def find(self, node: str, volume: str) -> Disk | None:
        """None where the volume is of another kind."""
        return self._disks.get((node, volume))

    def of(self, node: str) -> list[Disk]:
        return [disk for (owner, _), disk in self._disks.items() if owner == node]

    def end(self) -> None:
        """End every disk, and unmount what it served. OSError where that is in use."""
        self._ending = True
        for disk in self._disks.values():
            disk.end()
        for node, volume in self._disks:
            place = str(self._volumes.disk_place(node, volume))
            if os.path.ismount(place):
                syscalls.unmount(place, detach=True)
        self._disks.clear()
