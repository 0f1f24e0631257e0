"""The scripted service: a process of its own that breaks on purpose and says when. `python -m chaoskit.calibration.service`.

Its one argument is a JSON object {kind, delay_s, scripts: [{calm_s, phases_s}]}. Standard output: {"port": N}; after `begin`
on standard input one line an outage, {"index": i, "phases": [[b0, b1, e0, e1], ...]}: it went down within [b0, b1] and
came back within [e0, e1], CLOCK_MONOTONIC ns. The end of standard input ends it. A request that reaches the service in a
phase fails, any other one is answered.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from chaoskit.agents.lines import CommandReader, ReportWriter, log_line
from chaoskit.agents.realtime import tune_process
from chaoskit.agents.timers import accurate_event_loop

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
_BACKLOG = 512
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)
_SO_ATTACH_FILTER = 26
_SO_DETACH_FILTER = 27
_LISTEN = "listen"
HIT_ADDRESS, SPARED_ADDRESS = "127.0.0.1", "127.0.0.2"
"""Where the service is reached. Only `half` listens at the second as well, and never breaks what comes there."""

Bracket = tuple[int, int]


class Front:
    """A listening socket and what becomes of its requests. `mode`: answer | reset | slow."""

    def __init__(self, delay_s: float, port: int = 0, address: str = HIT_ADDRESS) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay_s = delay_s
        self._address = address
        self._place = _bound(port, address)
        self.port = int(self._place.getsockname()[1])
        self._listener = self._place
        self.mode = "answer"

    def prepare(self) -> None:
        """All of opening but for the last act."""
        self._listener = _bound(self.port, self._address)
        self._listener.setblocking(False)

    def listen(self) -> None:
        """From here on connections are accepted."""
        self._listener.listen(_BACKLOG)

    def serve(self) -> None:
        """Take what comes; right after `listen`."""
        self._loop.add_reader(self._listener, self._accept)

    def close(self) -> None:
        """From here on connections are refused; those that were made before are served."""
        self._accept()
        self._loop.remove_reader(self._listener)
        self._listener.close()

    def drop(self) -> None:
        """Every packet to the listening socket vanishes: a filter of one instruction, `return 0`."""
        program = ctypes.create_string_buffer(struct.pack("HBBI", 6, 0, 0, 0))
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, struct.pack("HL", 1, ctypes.addressof(program)))

    def take_again(self) -> None:
        """No filter any more."""
        self._listener.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)

    def set_mode(self, mode: str) -> None:
        self.mode = mode

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._loop.add_reader(connection, self._read, connection, bytearray())

    def _read(self, connection: socket.socket, request: bytearray) -> None:
        try:
            part = connection.recv(4096)
        except OSError:
            part = b""  # the client gave up
        request += part
        if part and b"\r\n\r\n" not in request:
            return
        self._loop.remove_reader(connection)
        if not part:
            connection.close()
        elif self.mode == "reset":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            connection.close()
        elif self.mode == "slow":
            self._loop.call_later(self._delay_s, _answer, connection)
        else:
            _answer(connection)


def _bound(port: int, address: str) -> socket.socket:
    """A socket with an address. One that never listens keeps the port, or a client of it may be given it and meet itself."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind((address, port))
    return made


def _answer(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:  # the client gave up
        connection.sendall(_ANSWER)


class Serving:
    """A child process that serves, so that it can be killed. Made early, so that it only has to listen."""

    def __init__(self, port: int) -> None:
        argv = [sys.executable, "-m", "chaoskit.calibration.service", json.dumps({"port": port})]
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def listen(self) -> Bracket:
        """When it began to listen, as it says itself."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{_LISTEN}\n".encode())
        self._process.stdin.flush()
        before, after = json.loads(self._process.stdout.readline())
        return before, after

    def kill(self) -> Bracket:
        """When it was gone: all its sockets are closed before it can be waited for."""
        before = time.monotonic_ns()
        os.kill(self._process.pid, signal.SIGKILL)
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        after = time.monotonic_ns()
        self.end()
        return before, after

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()  # closes its pipes


class Stage:
    """What goes down and comes back."""

    def __init__(self, kind: str, delay_s: float) -> None:
        self._kind = kind
        if kind == "crash":
            self._place = _bound(0, HIT_ADDRESS)
            self.port = int(self._place.getsockname()[1])
            self._serving, self._next = Serving(self.port), Serving(self.port)
            self._serving.listen()
            return
        self._front = Front(delay_s)
        self.port = self._front.port
        for front in (self._front, *((Front(delay_s, self.port, SPARED_ADDRESS),) if kind == "half" else ())):
            front.prepare()
            front.listen()
            front.serve()

    def down(self) -> Bracket:
        """Break; when."""
        if self._kind == "crash":
            return self._serving.kill()
        if self._kind in ("refuse", "flap"):
            bracket = _timed(self._front.close)
            self._front.prepare()
            return bracket
        if self._kind == "drop":
            return _timed(self._front.drop)
        return _timed(lambda: self._front.set_mode("reset" if self._kind == "half" else self._kind))

    def up(self) -> Bracket:
        """Serve again; when."""
        if self._kind == "crash":
            bracket = self._next.listen()
            self._serving, self._next = self._next, Serving(self.port)
            return bracket
        if self._kind in ("refuse", "flap"):
            bracket = _timed(self._front.listen)
            self._front.serve()
            return bracket
        if self._kind == "drop":
            return _timed(self._front.take_again)
        return _timed(lambda: self._front.set_mode("answer"))

    def end(self) -> None:
        if self._kind == "crash":
            self._serving.end()
            self._next.end()


def _timed(act: Callable[[], None]) -> Bracket:
    before = time.monotonic_ns()
    act()
    return before, time.monotonic_ns()


async def _perform(scripts: list[dict[str, Any]], stage: Stage, reports: ReportWriter) -> None:
    for index, script in enumerate(scripts):
        await asyncio.sleep(script["calm_s"])
        phases: list[tuple[int, ...]] = []
        for turn, length_s in enumerate(script["phases_s"]):
            if turn % 2 == 0:
                began = stage.down()
                await asyncio.sleep(length_s)
                phases.append((*began, *stage.up()))
            else:
                await asyncio.sleep(length_s)
        reports.put(json.dumps({"index": index, "phases": phases}))


async def _run(config: dict[str, Any], reports: ReportWriter) -> int:
    loop = asyncio.get_running_loop()
    commands = CommandReader(loop)
    stage = Stage(config["kind"], config["delay_s"])
    reports.put(json.dumps({"port": stage.port}))
    try:
        performing: asyncio.Task[None] | None = None
        stopping = loop.create_task(commands.stopping.wait())
        beginning = loop.create_task(commands.commands.get())
        await asyncio.wait({stopping, beginning}, return_when=asyncio.FIRST_COMPLETED)
        if beginning.done():
            performing = loop.create_task(_perform(config["scripts"], stage, reports))
        await asyncio.wait({stopping} | ({performing} if performing else set()), return_when=asyncio.FIRST_COMPLETED)
        if performing is not None and performing.done():
            performing.result()
        await stopping  # it goes on serving until it is told to end
    finally:
        stage.end()
    return 0


async def _serve_as_child(port: int, reports: ReportWriter) -> int:
    """Listen when told, and serve until killed."""
    commands = CommandReader(asyncio.get_running_loop())
    stopping = asyncio.ensure_future(commands.stopping.wait())
    beginning = asyncio.ensure_future(commands.commands.get())
    await asyncio.wait({stopping, beginning}, return_when=asyncio.FIRST_COMPLETED)
    if beginning.done():
        front = Front(0.0, port)  # not before: no address is given twice while its last owner still listens
        front.prepare()
        bracket = _timed(front.listen)
        front.serve()
        reports.put(json.dumps(bracket))
        await stopping
    return 0


def main(argv: list[str]) -> int:
    """The service, or with {"port": N} alone the child of `crash`; the exit code."""
    config = json.loads(argv[0])
    for refused in tune_process(real_time=True):  # before its first thread: each asks how urgent the process is
        log_line(f"not permitted, timing may be less accurate: {refused}")
    reports = ReportWriter()
    try:
        with asyncio.Runner(loop_factory=accurate_event_loop) as runner:
            if "kind" in config:
                return runner.run(_run(config, reports))
            return runner.run(_serve_as_child(config["port"], reports))
    finally:
        reports.close(1.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
