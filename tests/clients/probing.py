"""Running a probe process in a test, and looking at what it left."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

from chaoskit.model.packed_samples import unpack_into
from chaoskit.ports.client import ClientConfig, ClientStatus


def config(spool: Path, port: int | None, **changes: Any) -> ClientConfig:
    """A client of one loopback host at 100/s with W = 0.3 s, with changes."""
    given: dict[str, Any] = {
        "client": "orders", "type": "http", "client_class": "fresh", "operation": "get", "run_id": "r1", "trial": 0,
        "interval_ns": 100_000_000, "probes": 10, "deadline_ns": 300_000_000, "window_ns": 1_000_000_000, "in_flight": 200,
        "vantage": "app", "target": "web", "hosts": (("n1", "127.0.0.1"),), "port": port, "spool": str(spool),
    }  # fmt: skip
    return ClientConfig(**{**given, **changes})


class ProbeProcess:
    """`python -m chaoskit.clients.probe` with its lines."""

    def __init__(self, config: ClientConfig, **popen: Any) -> None:
        self.config = config
        self.spool = Path(config.spool)
        self._errors = self.spool.with_suffix(".err")
        self._last = "nothing"
        file = self.spool.with_suffix(".json")
        file.write_text(config.model_dump_json())
        argv = [sys.executable, "-m", "chaoskit.clients.probe", str(file)]
        with self._errors.open("w") as errors:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, **popen
            )

    def wait_for(self, phase: str, within_s: float = 20.0) -> ClientStatus:
        """Read status lines until one says `phase`."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline and (status := self._next()) is not None:
            if status.phase == phase:
                return status
        raise AssertionError(f"never {phase!r}; last: {self._last}; {self._errors.read_text()}")

    def tell(self, command: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def end(self, within_s: float = 15.0) -> tuple[int, ClientStatus, str]:
        """Close its input; exit code, last status, standard error."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        while self._next() is not None:
            pass
        self.process.stdout.close()
        return self.process.wait(within_s), ClientStatus.model_validate_json(self._last), self._errors.read_text()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def _next(self) -> ClientStatus | None:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return None
        self._last = line
        return ClientStatus.model_validate_json(line)


def rows(spool: Path, query: str) -> list[Any]:
    """Rows of a spool; single values where one column is asked for."""
    with closing(sqlite3.connect(f"file:{spool}?mode=ro", uri=True)) as file, closing(sqlite3.connect(":memory:")) as database:
        file.backup(database)
        unpack_into(database, "main")
        found = database.execute(query).fetchall()
    return [row[0] if len(row) == 1 else row for row in found]
