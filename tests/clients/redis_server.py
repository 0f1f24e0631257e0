"""Real Redis servers and Sentinels on loopback, from Debian's redis-server."""

from __future__ import annotations

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from tests.clients.postgres_server import free_port
from tests.clients.stopping import stand_still


def missing() -> str:
    """Why Redis cannot run here; empty where it can."""
    return "" if shutil.which("redis-server") else "redis-server is not installed: apt-get install redis-server"


class RedisServer:
    """One server, or a Sentinel."""

    def __init__(self, folder: Path, *, address: str = "127.0.0.1", port: int | None = None, sentinel: str = "") -> None:
        """`sentinel`: the lines of a Sentinel's configuration."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.address, self.port = folder, address, port or free_port()
        self._sentinel = sentinel
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        """Start, and wait until it answers."""
        given = {"bind": self.address, "port": str(self.port), "dir": str(self.folder), "protected-mode": "no", **settings}
        file = self.folder / "redis.conf"
        file.write_text(
            "".join(f"{name.replace('_', '-')} {value or chr(34) * 2}\n" for name, value in given.items()) + self._sentinel
        )
        argv = ["redis-server", str(file), *(["--sentinel"] if self._sentinel else [])]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 10
        while b"PONG" not in self.ask("PING"):
            assert self._process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < deadline, "not ready after 10 s"
            time.sleep(0.02)

    def ask(self, command: str) -> bytes:
        """What it says to one inline command; empty where it cannot be reached."""
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 1) as line:
            line.settimeout(5)
            line.sendall(command.encode() + b"\r\n")
            return line.recv(65536)
        return b""

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stand_still(self) -> None:
        assert self._process is not None
        stand_still(self._process.pid)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.kill()
