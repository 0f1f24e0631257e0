"""Servers on loopback that speak as they are told, for protocols other than HTTP."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from typing import Literal

Ending = Literal["reset", "close", "hang"]


class Line:
    """One connection, with what a script needs to speak."""

    def __init__(self, connection: socket.socket, over: threading.Event) -> None:
        self.connection = connection
        self._over = over
        self._buffer = b""

    def read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            self._more()
        found, self._buffer = self._buffer[:count], self._buffer[count:]
        return found

    def read_line(self) -> bytes:
        while b"\r\n" not in self._buffer:
            self._more()
        found, _, self._buffer = self._buffer.partition(b"\r\n")
        return found

    def say(self, data: bytes) -> None:
        self.connection.sendall(data)

    def end(self, how: Ending) -> None:
        """Reset, close, or say nothing any more until the test is over."""
        if how == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif how == "hang":
            self._over.wait()
        raise EOFError

    def _more(self) -> None:
        part = self.connection.recv(65536)
        if not part:
            raise EOFError
        self._buffer += part


Script = Callable[[Line], None]


@contextlib.contextmanager
def speaking(script: Script, address: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A server that runs `script` with every connection; its port."""
    over = threading.Event()
    threads: list[threading.Thread] = []
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, port))
    listener.listen(64)

    def serve(connection: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), connection:
            script(Line(connection, over))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=serve, args=(connection,), daemon=True)
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        over.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)  # a close alone does not wake accept()
        listener.close()
        acceptor.join(2)


def redis_commands(line: Line) -> Iterator[list[str]]:
    """The commands that come over a connection."""
    while True:
        count = int(line.read_line()[1:])
        command = []
        for _ in range(count):
            length = int(line.read_line()[1:])
            command.append(line.read(length).decode())
            line.read(2)
        yield command


MASTER = b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"
REPLICA = b"*5\r\n$5\r\nslave\r\n$9\r\n127.0.0.9\r\n:6379\r\n$9\r\nconnected\r\n:0\r\n"


def redis_script(role: bytes = MASTER, **replies: bytes | Ending) -> Script:
    """A Redis server that says these things to these commands; an ending instead of a reply."""

    def script(line: Line) -> None:
        for command in redis_commands(line):
            reply = replies.get(command[0], role if command[0] == "ROLE" else b"+OK\r\n")
            if isinstance(reply, str):
                line.end(reply)  # type: ignore[arg-type]
            else:
                line.say(reply)

    return script


def http_script(answer: Callable[[str, bytes], bytes | Ending]) -> Script:
    """A server that answers (path, body) with a whole HTTP response."""

    def script(line: Line) -> None:
        while True:
            path = line.read_line().split()[1].decode()
            length = 0
            while header := line.read_line():
                name, _, value = header.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            said = answer(path, line.read(length))
            if isinstance(said, str):
                line.end(said)  # type: ignore[arg-type]
            else:
                line.say(said)

    return script


def json_response(status: int, text: str) -> bytes:
    return f"HTTP/1.1 {status} Said\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()
