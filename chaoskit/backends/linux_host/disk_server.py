"""The process behind a programmable disk: a FUSE file system of one file, over which a loop device lies.

It ends with the holder. However it ends, the kernel then answers everything that waits for the disk with an error, so that
nobody hangs on it for ever. Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import json
import os
import select
import socket
import time

from chaoskit.backends.linux_host import syscalls
from chaoskit.backends.linux_host.disk_model import DiskModel, Failed
from chaoskit.backends.linux_host.volumes import FILE_NAME
from chaoskit.linux import fuse

_ORDER_BYTES = 4096
_STORAGE = frozenset((fuse.READ, fuse.WRITE, fuse.FSYNC))
_NOTHING_TO_DO = frozenset((fuse.RELEASE, fuse.FLUSH, fuse.DESTROY, fuse.OPENDIR, fuse.RELEASEDIR))


class DiskServer:
    """Answers the kernel on `channel` (/dev/fuse) and the holder's orders on `control`."""

    def __init__(self, channel: int, control: socket.socket, image: int, size_bytes: int) -> None:
        self._channel, self._control, self._size = channel, control, size_bytes
        self._model = DiskModel(lambda at, size: os.pread(image, size, at), lambda at, data: _write_all(image, at, data))
        self._buffer = bytearray(fuse.REQUEST_BYTES)
        self._held: list[bytes] = []
        """Requests that arrived while it hangs, in order."""
        self._due: list[tuple[float, int, bytes]] = []
        self._answers = 0

    def serve(self) -> None:
        """Until the file system is unmounted or the holder is gone."""
        view, control = memoryview(self._buffer), self._control.fileno()
        while True:
            wait_s = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            ready, _, _ = select.select([self._channel, control], [], [], wait_s)
            self._send_due()
            if control in ready and not self._obey():
                return
            if self._channel in ready:
                try:
                    size = os.readv(self._channel, [self._buffer])
                except OSError as error:
                    if error.errno in (errno.EINTR, errno.EAGAIN, errno.ENOENT):
                        continue
                    if error.errno == errno.ENODEV:
                        return
                    raise
                self._handle(view[:size])

    def _obey(self) -> bool:
        data = self._control.recv(_ORDER_BYTES)
        if not data:
            return False
        report = self._model.told(json.loads(data))
        if not self._model.hangs:
            held, self._held = self._held, []
            for message in held:
                self._handle(memoryview(message))
        if not self._model.powered or self._model.program.dead:
            for _, _, answer in sorted(self._due):
                self._send(answer)
            self._due.clear()
        self._control.send(json.dumps(report).encode())
        return True

    def _handle(self, message: memoryview) -> None:
        request = fuse.request(message)
        if request.opcode in fuse.SILENT:
            return
        if request.opcode not in _STORAGE:
            self._send(self._formality(request))
        elif self._model.hangs:
            self._held.append(bytes(message))
        else:
            answer, size = self._operation(request)
            now_s = time.monotonic()
            due_s = self._model.due_s(now_s, size)
            if due_s <= now_s:
                self._send(answer)
            else:
                self._answers += 1
                heapq.heappush(self._due, (due_s, self._answers, answer))

    def _formality(self, request: fuse.Request) -> bytes:
        body: bytes | None = None
        if request.opcode == fuse.INIT:
            body = fuse.init(request.body)
        elif request.opcode == fuse.LOOKUP:
            if bytes(request.body).rstrip(b"\0") != FILE_NAME.encode():
                return fuse.answer(request.unique, error=errno.ENOENT)
            body = fuse.entry(self._size)
        elif request.opcode in (fuse.GETATTR, fuse.SETATTR):
            body = fuse.attributes(request.node, self._size)
        elif request.opcode == fuse.OPEN:
            body = fuse.opened()
        elif request.opcode == fuse.STATFS:
            body = fuse.statistics(self._size)
        elif request.opcode in _NOTHING_TO_DO:
            body = b""
        if body is None:
            return fuse.answer(request.unique, error=errno.ENOSYS)
        return fuse.answer(request.unique, body)

    def _operation(self, request: fuse.Request) -> tuple[bytes, int]:
        """(answer, bytes moved)."""
        size = 0
        try:
            if request.opcode == fuse.FSYNC:
                self._model.flush()
                body = b""
            else:
                asked = fuse.transfer(request.body)
                size = asked.size
                if request.opcode == fuse.WRITE:
                    self._model.write(asked.offset, asked.data)
                    body = fuse.written(size)
                else:
                    body = self._model.read(asked.offset, size)
        except Failed as failure:
            return fuse.answer(request.unique, error=failure.errno or errno.EIO), size
        except OSError as error:  # this machine's own disk
            return fuse.answer(request.unique, error=error.errno or errno.EIO), size
        return fuse.answer(request.unique, body), size

    def _send_due(self) -> None:
        now_s = time.monotonic()
        while self._due and self._due[0][0] <= now_s:
            self._send(heapq.heappop(self._due)[2])

    def _send(self, answer: bytes) -> None:
        try:
            os.write(self._channel, answer)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.ENODEV):  # who asked was interrupted, or all is being unmounted
                raise


def _write_all(image: int, offset: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(image, data[done:], offset + done)


def _leave_the_lab() -> None:
    """Hold none of the lab's mounts.

    A process that ends gives up its mount namespace before its descriptors. Were this one the last in a namespace with the
    file system on its own disk, the kernel would unmount that, wait for a flush that only this process could answer, and
    never come to abort the connection.
    """
    syscalls.unshare(syscalls.CLONE_NEWNS)
    syscalls.mount("none", "/", flags=syscalls.MS_REC | syscalls.MS_PRIVATE)
    os.chdir("/")
    syscalls.unmount("/", detach=True)


def run(channel: int, control: int, image_path: str, size_bytes: int) -> int:
    """The body of a forked child. It serves nothing before it holds no mount of the lab any more."""
    syscalls.name_process("chaoskit-disk")
    syscalls.die_with_parent()
    with contextlib.suppress(OSError):
        syscalls.serve_storage()  # needs CAP_SYS_RESOURCE; without it, a machine out of memory could make it wait for itself
    image = os.open(image_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    _leave_the_lab()
    DiskServer(channel, socket.socket(fileno=control), image, size_bytes).serve()
    return 0
