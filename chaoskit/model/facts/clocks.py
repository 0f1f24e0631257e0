"""What may be asked of the clocks of processes."""

from __future__ import annotations

from typing import Literal

from chaoskit.model.record import Record
from chaoskit.model.steps import ProcessRef


class ClockQuery(Record):
    """Run the clock functions that these processes have mapped, and compare them with the true clock.

    -> reading value: "true" (all of them, and nobody on the node has this tag's shift) | "as_asked" (all that live, by this
    tag, and what was felt is what was asked) | "other" (by this tag, and felt differently) | "partly" (some only, or an heir of
    theirs) | "foreign" (somebody else has changed their clock functions) | "gone" (none of them lives);
    number: seconds felt ahead of the true clock, or where a rate was asked, parts per million felt faster than it.
    """

    kind: Literal["clock"] = "clock"
    node: str
    tag: str
    processes: tuple[ProcessRef, ...]
    offset_s: float = 0.0
    rate_ppm: float = 0.0
