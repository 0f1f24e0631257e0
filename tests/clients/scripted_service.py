"""A service on loopback whose behaviour changes at known instants: it answers, stalls, resets, hangs or refuses."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from types import TracebackType

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\nX-Node: alpha\r\nConnection: %s\r\n\r\nhello 1"


class ScriptedService:
    """Listens on a port of its own. `mode`: answer | stall | reset | hang | truncate | error | garbage | balance; see `refuse`.

    `balance`: a load balancer with sticky sessions before `servers`, as HAProxy's `cookie SRV insert indirect`.
    """

    def __init__(self, mode: str = "answer", backlog: int = 512) -> None:
        self.mode = mode
        self.stalled_until = 0.0
        self.accepted = 0
        self.requests = 0
        self.servers = ["web1", "web2", "web3"]
        self._balanced = 0
        self._backlog = backlog
        self._held: list[socket.socket] = []
        self._ending = False
        self._listener = self._listening(0)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def __enter__(self) -> ScriptedService:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.refuse()
        for held in self._held:
            held.close()

    def stall(self, seconds: float) -> None:
        """Keep every answer back until so many seconds from now."""
        self.stalled_until = time.monotonic() + seconds

    def refuse(self) -> None:
        """Stop listening: connections are refused from now on."""
        self._ending = True
        with contextlib.suppress(OSError):  # already
            self._listener.shutdown(socket.SHUT_RDWR)  # a close alone does not wake accept()
        self._listener.close()
        self._thread.join(2)

    def _listening(self, port: int) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(self._backlog)
        return listener

    def _accept(self) -> None:
        while not self._ending:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            if self.mode == "reset":
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return
            while request := self._request(connection):
                self.requests += 1
                time.sleep(max(0.0, self.stalled_until - time.monotonic()))
                self._answer(connection, request)

    def _request(self, connection: socket.socket) -> bytes:
        data = b""
        while b"\r\n\r\n" not in data:
            part = connection.recv(4096)
            if not part:
                return b""
            data += part
        return data

    def _balance(self, request: bytes) -> bytes:
        """The server that the cookie names, else the next in turn, and then the cookie that names it."""
        wanted = re.search(rb"\r\nCookie:.*?SRV=(\w+)", request, re.IGNORECASE)
        cookie = b""
        if wanted and wanted[1].decode() in self.servers:
            server = wanted[1]
        else:
            server = self.servers[self._balanced % len(self.servers)].encode()
            self._balanced += 1
            cookie = b"Set-Cookie: SRV=" + server + b"; path=/\r\n"
        return b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Node: " + server + b"\r\n" + cookie + b"\r\nok"

    def _answer(self, connection: socket.socket, request: bytes) -> None:
        if self.mode == "balance":
            connection.sendall(self._balance(request))
        elif self.mode == "hang":
            self._held.append(connection.dup())
            while not self._ending:
                time.sleep(0.05)
        elif self.mode == "truncate":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhel")
            connection.shutdown(socket.SHUT_RDWR)
        elif self.mode == "error":
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
        elif self.mode == "garbage":
            connection.sendall(b"\x00\x01\x02 nothing of HTTP\r\n\r\n")
        else:
            connection.sendall(ANSWER % b"keep-alive")


@contextlib.contextmanager
def silent_port():
    """A port that neither accepts nor refuses: its queue of connections is full, so the kernel drops what arrives."""
    with socket.socket() as listener, contextlib.ExitStack() as fillers:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        time.sleep(0.05)
        yield port
