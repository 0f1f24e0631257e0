"""Runs command lines: inside this process with a registry of choice, or as a real process."""

from __future__ import annotations

import os
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
