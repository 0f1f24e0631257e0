"""Forking: children that build, enter and run things while the holder's loop goes on."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import Any

from chaoskit.backends.linux_host import syscalls

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGHUP, signal.SIGPIPE)


def forked(body: Callable[[], int], keep: Iterable[int] = ()) -> int:
    """A child that runs `body` and exits with its result; it holds only stdio and the descriptors in `keep`."""
    sys.stderr.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 125
    try:
        signal.set_wakeup_fd(-1)
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        syscalls.close_all_but(keep)
        code = body()
    except SystemExit as ending:
        code = ending.code if isinstance(ending.code, int) else 125
    except BaseException:  # noqa: BLE001 - a child reports everything here, and must never return into the parent's code
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class Nursery:
    """Every child of the holder, its own and those it inherited as PID 1; reaps them and tells who asked."""

    def __init__(self) -> None:
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._ended: dict[int, int] = {}

    def start(self) -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self.reap)

    def reap(self) -> None:
        """Collect every child that has ended."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            code = os.waitstatus_to_exitcode(status)
            future = self._waiting.pop(pid, None)
            if future is None:
                self._ended[pid] = code
                if len(self._ended) > 4096:
                    self._ended.pop(next(iter(self._ended)))
            elif not future.done():
                future.set_result(code)

    def expect(self, pid: int) -> asyncio.Future[int]:
        """The exit code of a child: negative signal number where a signal ended it.

        Ask before the loop runs again after its number became known, so that a later process with the same number is
        never mistaken for it.
        """
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        if pid in self._ended:
            future.set_result(self._ended.pop(pid))
        else:
            self._waiting[pid] = future
        return future

    def forget(self, pid: int) -> None:
        """A number is about to be used for a new child: what an older one left under it is void."""
        self._ended.pop(pid, None)

    def fork(self, body: Callable[[], int], keep: Iterable[int] = ()) -> tuple[int, asyncio.Future[int]]:
        pid = forked(body, keep)
        self.forget(pid)
        return pid, self.expect(pid)

    async def call(self, body: Callable[[], None], what: str) -> None:
        """Run `body` in a child and wait. RuntimeError with its words where it fails."""
        reader, writer = os.pipe()

        def run() -> int:
            try:
                body()
            except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
                os.write(writer, f"{type(error).__name__}: {error}"[:4000].encode())
                return 1
            return 0

        _, ended = self.fork(run, keep=[writer])
        os.close(writer)
        try:
            code = await ended
            said = os.read(reader, 4096).decode("utf-8", "replace")
        finally:
            os.close(reader)
        if code != 0:
            raise RuntimeError(f"{what}: {said or f'exit code {code}'}")


class PipeText:
    """Collects what a child writes to a pipe, up to a limit, without blocking the loop."""

    def __init__(self, limit_bytes: int) -> None:
        self.reader, self.writer = os.pipe()
        self._limit = limit_bytes
        self._data = bytearray()
        self._dropped = 0
        self._closed = asyncio.Event()

    def listen(self) -> None:
        """Call after the child has its copy of the writing end."""
        os.close(self.writer)
        os.set_blocking(self.reader, False)
        asyncio.get_running_loop().add_reader(self.reader, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self.reader, 65536)
        except BlockingIOError:
            return
        if not data:
            self.close()
            return
        room = max(0, self._limit - len(self._data))
        self._data += data[:room]
        self._dropped += max(0, len(data) - room)

    def close(self) -> None:
        if not self._closed.is_set():
            self._closed.set()
            asyncio.get_running_loop().remove_reader(self.reader)
            os.close(self.reader)

    async def finish(self, within_s: float) -> str:
        """The text, once the pipe has closed or the time is over (a daemon may keep its end open)."""
        try:
            await asyncio.wait_for(self._closed.wait(), within_s)
        except TimeoutError:
            self.close()
        return self.text()

    def text(self) -> str:
        text = self._data.decode("utf-8", "replace")
        return f"{text}\n... and {self._dropped} bytes more" if self._dropped else text


Json = dict[str, Any]
