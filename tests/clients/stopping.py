"""Stopping a server where it stands."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path


def stand_still(pid: int) -> None:
    """SIGSTOP, and wait until every thread has stopped: until then it may still answer."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + 5
    while not all(_state(task) in "TtXZ" for task in Path(f"/proc/{pid}/task").iterdir()):
        assert time.monotonic() < deadline, "a thread does not stop"
        time.sleep(0.001)


def _state(task: Path) -> str:
    try:
        return (task / "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "X"
