"""Files of this machine that a fault's parameters name: read when the experiment is loaded, so that the plan holds what will be
written, and a run needs no file beside it."""

from __future__ import annotations

import base64
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from chaoskit.engine.document import Document, Keys
from chaoskit.engine.registry import Registry
from chaoskit.engine.spelling import nearest
from chaoskit.model.errors import Problem
from chaoskit.model.files import MOST_BYTES, HostFile

_SHOWN = 30


def read_host_files(document: Document, registry: Registry, folder: Path) -> list[Problem]:
    """Put the content of each such file into the document; what is wrong with them."""
    return [problem for keys, path in _named(document, registry) for problem in _put(document, keys, folder, path)]


def _named(document: Document, registry: Registry) -> Iterator[tuple[Keys, str]]:
    """Where in the method such a file is named, and its path."""
    method = document.data.get("method")
    for index, action in enumerate(method if isinstance(method, list) else ()):
        if not isinstance(action, dict) or action.get("inject") not in registry.names("faults"):
            continue
        kind = registry.load("faults", action["inject"])
        names = [n for n, info in kind.model_fields.items() if HostFile in (info.annotation, *get_args(info.annotation))]
        for within in ("with", "parameters"):
            given: Any = action.get(within)
            for name in names if isinstance(given, dict) else ():
                if isinstance(given.get(name), str):
                    yield ("method", index, within, name), given[name]


def _put(document: Document, keys: Keys, folder: Path, path: str) -> list[Problem]:
    file = folder / path
    try:
        with file.open("rb") as opened:
            if not stat.S_ISREG(file.stat().st_mode):
                return [document.problem(keys, "this is no regular file")]
            data = opened.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:
        try:
            beside = sorted(p.name for p in file.parent.iterdir() if p.is_file())[:_SHOWN]
        except (OSError, ValueError):
            beside = []
        reason = error.strerror if isinstance(error, OSError) else str(error)
        message = f"cannot read the file {file}: {reason}"
        return [document.problem(keys, message, allowed=tuple(beside), nearest=nearest(Path(path).name, beside))]
    if len(data) > MOST_BYTES:
        return [document.problem(keys, f"this file is larger than {MOST_BYTES} bytes")]
    document.put(keys, {"path": path, "content": base64.b64encode(data).decode()})
    return []
