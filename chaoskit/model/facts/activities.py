"""What may be asked of that which goes on by itself."""

from __future__ import annotations

from typing import Literal

from chaoskit.model.record import Record


class ActivityQuery(Record):
    """-> reading value: "running" (at least one does) | "ended" | "none" (never begun); number: acts so far.

    Of everything under this tag, or of one node's where `node` is given.
    """

    kind: Literal["activity"] = "activity"
    tag: str
    node: str | None = None
