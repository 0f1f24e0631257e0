"""Waiting for something that may not come."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from chaoskit.model.errors import LabUnavailable
from chaoskit.ports.clock import Clock


def wait_until(
    lacking: Callable[[], str], within_s: float, what: str, tick: Callable[[], None], clock: Clock, evidence: Path | None = None
) -> None:
    """Tick until `lacking` returns an empty text. LabUnavailable with what it last saw where the time runs out."""
    deadline_ns = clock.monotonic_ns() + round(within_s * 1e9)
    while missing := lacking():
        if clock.monotonic_ns() >= deadline_ns:
            where = f"logs are in {evidence}" if evidence is not None else ""
            raise LabUnavailable(f"{what} within {within_s:g} s: {missing}", where)
        tick()
