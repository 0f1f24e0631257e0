"""Whoever watches a run while it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from chaoskit.model.history import Event
from chaoskit.model.record import Record
from chaoskit.ports.client import ClientStatus


class Snapshot(Record):
    """How things stand, a few times a second."""

    trial: int
    trials: int
    phase: str
    """building | getting ready | steady state | baseline | method | recovery | reading back | healing | ending."""
    phase_s: float
    """Since the phase began."""
    phase_of_s: float | None = None
    """How long it lasts at most, where that is known."""
    method_s: float | None = None
    """Since the baseline ended."""
    clients: Mapping[str, ClientStatus] = {}
    roles: Mapping[str, Mapping[str, bool | None]] = {}
    """Role -> node -> holds it; None: no answer."""
    faults: tuple[str, ...] = ()
    """In force now."""


class Progress(Protocol):
    """Shows a run to a person or a log."""

    def event(self, event: Event) -> None: ...

    def snapshot(self, snapshot: Snapshot) -> None: ...

    def message(self, text: str) -> None:
        """One step of a longer act, such as building a lab."""
