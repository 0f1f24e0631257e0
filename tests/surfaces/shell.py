"""Runs command lines: inside this process with a registry of choice, or as a real process."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from chaoskit.surfaces.cli import cli
from chaoskit.surfaces.installed import Installed
from tests.engine.toy import ToyRegistry


def toy(*words: str) -> Result:
    """The command line with the toy faults and clients."""
    registry: Any = ToyRegistry()
    return CliRunner().invoke(cli, list(words), obj=Installed(registry=registry))


def real(*words: str, cwd: Path | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, with what is installed."""
    return subprocess.run(
        [sys.executable, "-m", "chaoskit.surfaces.cli", *words],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def on_terminal(*words: str, width: int, code: int = 0, **environment: str) -> str:
    """Output of a real process on a terminal of `width` columns."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "chaoskit.surfaces.cli", *words],
        stdin=follower, stdout=follower, stderr=follower,
        env={**os.environ, "COLUMNS": str(width), "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(follower)
    seen = b""
    while True:
        try:
            chunk = os.read(leader, 65536)
        except OSError:  # Linux: the other side has closed
            break
        if not chunk:
            break
        seen += chunk
    assert process.wait(timeout=60) == code, seen.decode()
    os.close(leader)
    return seen.decode()
