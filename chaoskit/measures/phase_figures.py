"""Phases as figures: reached within a bracket, not reached in time, or observed by nothing."""

from __future__ import annotations

from chaoskit.measures.wording import between_text, duration_text, seconds, unknown
from chaoskit.model.figures import Figure, Phase

PHASE_RULE = "middle of the bracket in which it happened, after the fault's effect"


def phase_at(name: str, low_ns: float, high_ns: float, zero_ns: int, source: str, n: int = 2) -> Phase:
    """It happened between two instants."""
    low, high = seconds(low_ns - zero_ns), seconds(high_ns - zero_ns)
    point = round((low + high) / 2, 9)
    return Phase(
        name=name,
        at=Figure(point=point, low=low, high=high, n=n, rule=PHASE_RULE, text=between_text(point, low, high)),
        source=source,
    )


def not_yet(name: str, seen_until_ns: int, zero_ns: int, source: str) -> Phase:
    """It had not happened when observation ended."""
    low = seconds(seen_until_ns - zero_ns)
    text = f"not within {duration_text(low)}"
    return Phase(
        name=name,
        at=Figure(low=low, rule=PHASE_RULE, censored=True, reasons=("it had not happened when observation ended",), text=text),
        source=source,
    )


def not_observed(name: str, why: str) -> Phase:
    """Nothing shows when, or whether, it happened."""
    return Phase(name=name, at=unknown(why, rule=PHASE_RULE), source="")
