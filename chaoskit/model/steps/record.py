"""What every step is made of."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from chaoskit.model.record import Record


class StepRecord(Record):
    """One small act on a lab. Its `kind` tells it apart once it is JSON."""

    NEEDS: ClassVar[str | None] = None
    """The capability without which no backend can perform it; None: any lab can."""

    @property
    def needed(self) -> str | None:
        """The capability that exactly this step needs."""
        return self.NEEDS

    @abstractmethod
    def words(self) -> str:
        """One line for plans and dry runs: what it does, and to what."""


class ProcessRef(Record):
    """A process that cannot be mistaken for a later one with the same number."""

    pid: int
    """As the node itself numbers it."""
    start_ticks: int
    """Field 22 of /proc/PID/stat: clock ticks since boot at which it started."""
    stands_for: str = ""
    """In a plan only: which processes it will be, in words."""

    def __str__(self) -> str:
        return self.stands_for or str(self.pid)


class Link(Record):
    """One direction between two nodes."""

    source: str
    destination: str
