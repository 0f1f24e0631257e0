"""MySQL on loopback: real MariaDB servers from Debian's mariadb-server, and one that speaks as it is told."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pymysql

from tests.clients.conversation import Ending, Line, Script
from tests.clients.postgres_server import free_port
from tests.clients.stopping import stand_still

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


def missing() -> str:
    """Why MariaDB cannot run here; empty where it can."""
    found = shutil.which("mariadbd") or shutil.which("mariadbd", path=SBIN)
    return (
        "" if found and shutil.which("mariadb-install-db") else "mariadb-server is not installed: apt-get install mariadb-server"
    )


class MariaServer:
    """One server whose root needs no password."""

    def __init__(self, folder: Path, address: str = "127.0.0.1", port: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.address, self.port = folder, address, port or free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def create(self) -> None:
        identity = ["--user=root"] if os.geteuid() == 0 else []
        argv = [
            "mariadb-install-db", "--no-defaults", f"--datadir={self.folder / 'data'}", "--skip-name-resolve",
            "--auth-root-authentication-method=normal", *identity,
        ]  # fmt: skip
        done = subprocess.run(argv, capture_output=True, text=True, timeout=100, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, *settings: str) -> None:
        """Start, and wait until it accepts connections."""
        argv = [
            shutil.which("mariadbd") or shutil.which("mariadbd", path=SBIN) or "mariadbd",
            "--no-defaults", f"--datadir={self.folder / 'data'}", f"--bind-address={self.address}", f"--port={self.port}",
            f"--socket={self.folder / 's'}", f"--pid-file={self.folder / 'pid'}", "--skip-name-resolve",
            "--innodb-buffer-pool-size=16M", *(["--user=root"] if os.geteuid() == 0 else []), *settings,
        ]  # fmt: skip
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + 40
        while True:
            try:
                self.run("CREATE DATABASE IF NOT EXISTS test")
                return
            except pymysql.err.MySQLError:
                assert self._process.poll() is None, (self.folder / "log").read_text()
                assert time.monotonic() < deadline, "not ready after 40 s"
                time.sleep(0.1)

    def run(self, statement: str) -> list[tuple[object, ...]]:
        """One statement as an administrator; its rows."""
        with pymysql.connect(host=self.address, port=self.port, user="root", connect_timeout=5, autocommit=True) as connection:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())

    def signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stand_still(self) -> None:
        assert self._process is not None
        stand_still(self._process.pid)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None


OK = b"\x00\x00\x00\x02\x00\x00\x00"
_END = b"\xfe\x00\x00\x02\x00"
_CAPABILITIES = 0x000FA209  # long password, with db, protocol 41, transactions, secure connection, multi results, plugin auth


def refusal(number: int, words: str, state: str = "HY000") -> bytes:
    return b"\xff" + struct.pack("<H", number) + f"#{state}{words}".encode()


def packets(line: Line, first: int, *payloads: bytes) -> None:
    for number, payload in enumerate(payloads, first):
        line.say(struct.pack("<I", len(payload))[:3] + bytes([number % 256]) + payload)


def _greeting() -> bytes:
    lower, upper = _CAPABILITIES & 0xFFFF, _CAPABILITIES >> 16
    parts = [b"\x0a8.0.0-scripted\x00", struct.pack("<I", 7), b"saltsalt\x00", struct.pack("<H", lower), b"\x21\x02\x00"]
    return b"".join([*parts, struct.pack("<H", upper), b"\x15", bytes(10), b"saltsaltsalt\x00mysql_native_password\x00"])


def _one_number(value: int) -> Iterator[bytes]:
    yield b"\x01"
    yield b"\x03def\x00\x00\x00\x01x\x00\x0c" + struct.pack("<HIBHB", 33, 1, 8, 0, 0) + b"\x00\x00"
    yield _END
    text = str(value).encode()
    yield bytes([len(text)]) + text
    yield _END


def mysql_script(insert: bytes | Ending, *, read_only: bool = False, seen: Callable[[str], None] = lambda _: None) -> Script:
    """A server that lets everybody in and says this to an INSERT; an ending instead of an answer."""

    def script(line: Line) -> None:
        packets(line, 0, _greeting())
        length = int.from_bytes(line.read(4)[:3], "little")
        line.read(length)
        packets(line, 2, OK)
        while True:
            statement = line.read(int.from_bytes(line.read(4)[:3], "little"))[1:].decode()
            seen(statement)
            if statement.startswith("SELECT @@global.read_only"):
                packets(line, 1, *_one_number(int(read_only)))
            elif statement.startswith("INSERT"):
                if isinstance(insert, str):
                    line.end(insert)  # type: ignore[arg-type]
                packets(line, 1, insert)
            else:
                packets(line, 1, OK)

    return script
