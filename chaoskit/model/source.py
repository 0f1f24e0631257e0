"""The files that a plan was made from."""

from __future__ import annotations

from chaoskit.model.record import Record


class SourceFile(Record):
    """A file the plan was made from."""

    path: str
    sha256: str
