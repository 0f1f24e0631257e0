"""A service of two nodes on real sockets that is bad in one known way, and the functions by which clients use it.

One line is asked, one is answered: `append TOKEN`, `newest`, `all`. The client functions are those of the client type `python`.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Iterator

from chaoskit.clients.python import Call
from chaoskit.ports.client import Answer

NODES = {"n1": "127.0.0.2", "n2": "127.0.0.3"}


class BadService:
    """Leads on n1 until `fail_over`. What is bad about it is switched on from outside, by its attributes."""

    def __init__(self) -> None:
        self.leaders = {"n1"}
        self.down = False
        self.twice = False
        self.stale_s = 0.0
        self._applied: list[tuple[float, str]] = []
        self._lock = threading.Lock()
        self._servers: list[socketserver.ThreadingTCPServer] = []
        self.port = 0

    @contextlib.contextmanager
    def served(self) -> Iterator[BadService]:
        """Listen on every node's address, at one port."""
        for node, address in NODES.items():
            server = socketserver.ThreadingTCPServer((address, self.port), self._handler(node), bind_and_activate=False)
            server.daemon_threads = server.allow_reuse_address = True
            server.request_queue_size = 100
            server.server_bind()
            server.server_activate()
            self.port = server.server_address[1]
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        try:
            yield self
        finally:
            for server in self._servers:
                server.shutdown()
                server.server_close()

    def lose(self, last_s: float) -> None:
        """Forget what was applied in the last seconds."""
        with self._lock:
            self._applied = [(at, token) for at, token in self._applied if at < time.monotonic() - last_s]

    def _handler(self, node: str) -> type[socketserver.StreamRequestHandler]:
        service = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                said = service._answer(node, self.rfile.readline().decode().split())
                self.wfile.write(f"{said}\n".encode())

        return Handler

    def _answer(self, node: str, asked: list[str]) -> str:
        with self._lock:
            if asked == ["all"]:
                return "ok " + " ".join(token for _, token in self._applied)
            if self.down:
                return "no the service is down"
            if asked == ["newest"]:
                known = [token for at, token in self._applied if at < time.monotonic() - self.stale_s]
                return f"ok {' '.join(known[-50:])}"
            if node not in self.leaders:
                return "no not the leader"
            self._applied += [(time.monotonic(), asked[1])] * (2 if self.twice else 1)
            return "ok"


def ask(address: str, port: int | None, line: str, within_s: float) -> list[str]:
    """The words of the answer."""
    with socket.create_connection((address, port or 0), within_s) as connection:
        connection.settimeout(within_s)
        connection.sendall(f"{line}\n".encode())
        with connection.makefile() as answered:
            return answered.readline().split()


def append(call: Call) -> Answer:
    """On the last node that leads."""
    for node, address in reversed(call.hosts):
        if ask(address, call.port, f"append {call.token}", call.deadline_s)[0] == "ok":
            return Answer(outcome="ok", certainty="ok", node=node)
    return Answer(outcome="app_error", certainty="fail", error="nobody leads")


def append_anywhere(call: Call) -> Answer:
    """By turns on either node, where both lead."""
    even = int(call.token.rpartition(".")[2]) % 2
    for node, address in call.hosts[even:] + call.hosts[:even]:
        if ask(address, call.port, f"append {call.token}", call.deadline_s)[0] == "ok":
            return Answer(outcome="ok", certainty="ok", node=node)
    return Answer(outcome="app_error", certainty="fail", error="nobody leads")


def newest(call: Call) -> list[str] | bool:
    """From the node that is asked."""
    said, *tokens = ask(call.address, call.port, "newest", call.deadline_s)
    return tokens if said == "ok" else False


def everything(call: Call) -> list[str]:
    """What the node holds."""
    return ask(call.address, call.port, "all", 5.0)[1:]
