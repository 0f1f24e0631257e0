"""How an agent process talks with the one that started it: commands on standard input, reports on standard output, by lines."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import sys
import threading
from collections.abc import Callable

from chaoskit.agents.realtime import tune_thread

STOP = "stop"
_REPORTS_KEPT = 1000


def log_line(text: str) -> None:
    """A line on standard error as far as it takes it: the log may lie on the very disk that is full."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class CommandReader:
    """Reads commands in a thread and hands them to the event loop. End of file counts as `stop`.

    `stop` has a path of its own, past all commands that wait: whoever started the process must be able to end it at once.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, descriptor: int = 0) -> None:
        self.commands: asyncio.Queue[str] = asyncio.Queue()
        self.stopping = asyncio.Event()
        self._loop = loop
        self._descriptor = descriptor
        threading.Thread(target=self._read, name="commands", daemon=True).start()

    def _read(self) -> None:
        tune_thread()
        pending = b""
        while True:
            try:
                # not sys.stdin: a thread inside its lock makes the interpreter abort at exit
                chunk = os.read(self._descriptor, 65536)
            except OSError:
                chunk = b""  # a closed descriptor is the end of the commands as well
            pending += chunk
            *lines, pending = pending.split(b"\n")
            for line in lines:
                self._hand_over(line.decode(errors="replace").strip())
            if not chunk:
                self._hand_over(STOP)
                return

    def _hand_over(self, line: str) -> None:
        if not line:
            return
        act: Callable[[], None] = self.stopping.set if line == STOP else lambda: self.commands.put_nowait(line)
        try:
            self._loop.call_soon_threadsafe(act)
        except RuntimeError:  # the loop has ended: nobody is left to be told
            return


class ReportWriter:
    """Writes lines to standard output in a thread, so that a slow reader never holds up the process.

    When the reader does not keep up, the oldest reports are dropped: they are for watching, not evidence.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lines: queue.Queue[str | None] = queue.Queue(_REPORTS_KEPT)
        self._thread = threading.Thread(target=self._write, name="reports", daemon=True)
        self._thread.start()

    def put(self, line: str) -> None:
        """Never waits. `line` without its newline."""
        self._offer(line)

    def close(self, timeout_s: float) -> None:
        """Write what is left, as far as the reader takes it within the time."""
        self._offer(None)
        self._thread.join(timeout_s)

    def _offer(self, item: str | None) -> None:
        while True:
            try:
                self._lines.put_nowait(item)
                return
            except queue.Full:
                try:
                    self._lines.get_nowait()
                except queue.Empty:
                    continue

    def _write(self) -> None:
        tune_thread()
        while (line := self._lines.get()) is not None:
            data = line.encode() + b"\n"
            try:
                while data:
                    data = data[os.write(self._descriptor, data) :]
            except OSError:  # the reader has gone; its end of our standard input tells the process to stop
                return
