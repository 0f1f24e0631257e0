"""Log lines that mark a phase of a failover, as the lab names them: read while the method runs, and written down as events."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from chaoskit.engine.conditions import LogFollower
from chaoskit.engine.run_directory import EventLog
from chaoskit.model.condition import LogLine
from chaoskit.model.lab import LogMark
from chaoskit.ports.clock import Clock

MARK_EVENT = "log.mark"
MOST_EVENTS = 200
_NOT_AGAIN_NS = 1_000_000_000
"""A node that says the same again within this time adds nothing."""


class LogMarks:
    """Follows the logs of one trial from now on. Each line that is found lies between two looks on chaoskit's own clock."""

    def __init__(self, marks: Mapping[LogMark, tuple[LogLine, ...]], logs: Path, clock: Clock, events: EventLog) -> None:
        self._clock, self._events = clock, events
        self._looked_ns = clock.monotonic_ns()
        self._followers = [(mark, line, LogFollower(logs, line, clock)) for mark, lines in marks.items() for line in lines]
        self._told: dict[tuple[str, str], int] = {}
        self._count = 0

    def poll(self) -> None:
        """Read what was written since the last call."""
        now_ns = self._clock.monotonic_ns()
        for mark, line, follower in self._followers:
            follower.poll()
            for met in follower.found:
                self._tell(mark, line.service, met.how, (self._looked_ns, met.at_ns))
            follower.found.clear()
        self._looked_ns = now_ns

    def _tell(self, mark: str, service: str, said: str, between_ns: tuple[int, int]) -> None:
        node, _, text = said.partition(": ")
        again = self._told.get((mark, node), -_NOT_AGAIN_NS) > between_ns[1] - _NOT_AGAIN_NS
        self._told[mark, node] = between_ns[1]
        if again or self._count >= MOST_EVENTS:
            return
        self._count += 1
        self._events.add(MARK_EVENT, "watcher", mark=mark, node=node, service=service, line=text, between_ns=list(between_ns))
