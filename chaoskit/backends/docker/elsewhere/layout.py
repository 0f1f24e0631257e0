"""What this machine and the helper container must agree on: where things lie there, and how they are called."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:  # read by whoever packs
    import tarfile

ERRANDS = "elsewhere"
"""Below the state directory of the engine's machine: one folder for each errand."""
FILES = "files"
"""In an errand's folder: what was sent along, each at its absolute path."""
RECORD = "record"
"""In an errand's folder: what its command records. Every process there sees it at the same path, also in a lab that another
errand made."""
RUN = "run"
"""In there: the run directory of a run."""
ORDER = "errand.json"
PROCESS = "process.json"
"""The number and start of the command's process."""
ENDED = "ended.json"
SAID = {"out": "said.out", "err": "said.err"}
LOCK = "lock"

PYTHON = "/opt/chaoskit/bin/python"
"""In the helper's image."""
SOURCES = "/opt/chaoskit/packages"
MARK = "CHAOSKIT_ERRAND"
"""Variable of every process that an errand starts."""
TOKEN = "CHAOSKIT_HELPER"
"""Variable of the helper container: tells one from an earlier one of its name."""
VISITOR = "CHAOSKIT_VISITOR"
"""Variable of everything that one chaoskit asks of the helper: whose question it is."""
GONE = 75
"""Exit code: this helper is about to be removed; ask for another one."""
NOTHING_SAID_S = 10.0


def as_the_engine_sees(path: str, environment: Mapping[str, str] = os.environ) -> str:
    """Where a file lies for the engine: one that was sent along is at its own place for chaoskit in the helper only."""
    sent = Path(environment.get("CHAOSKIT_STATE", ""), ERRANDS, environment.get(MARK, ""), FILES, path.lstrip("/"))
    return str(sent) if environment.get(MARK) and sent.exists() else path


def trust(tar: tarfile.TarFile) -> None:
    """Extract all as it is, whatever this Python's own rule; the Python 3.11 of Debian 12 has no word for it yet."""
    tar.extraction_filter = lambda member, path: member


class OrderJson(TypedDict):
    """An errand's order, as its machine wrote it."""

    words: list[str]
    recording: list[str]
    """Words after these: where the command records."""
    folder: str
    roots: list[str]
    """What of the file tree is seen at its own place."""
    client: str
    """Whose it is."""
    records: str
    reports: str
    out: str
    """Both as in `Errand`."""
    stays: bool


class SeenJson(TypedDict):
    """An errand, as the helper sees it."""

    id: str
    order: OrderJson
    running: bool
    """Its command runs."""
    held: bool
    """Any process that it started is there."""
    code: int | None


class LookJson(TypedDict):
    """All that is there."""

    errands: list[SeenJson]
    labs: list[str]
    socket: str
    """ "" where the engine's socket answers, else why not."""
