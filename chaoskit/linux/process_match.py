"""Choosing processes among those of a node: by name, pattern, pid file, port, or service of the lab."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Literal

from pydantic import field_validator, model_validator

from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import ClockQuery, PidFileQuery, ProcessesQuery, ProcessInfo, Query, Reading
from chaoskit.model.record import Record
from chaoskit.model.steps import ProcessRef


class ProcessMatch(Record):
    """Which processes of the target node. Several keys narrow each other down."""

    name: str | None = None
    """The kernel's name of the process (comm), such as postgres."""
    pattern: str | None = None
    """A regular expression searched for in the command line."""
    pid_file: str | None = None
    """A file in the node whose first number is the process."""
    port: int | None = None
    """A TCP port it listens on."""
    service: str | None = None
    """A service of the lab: its main process and all its descendants."""
    which: Literal["all", "oldest", "newest"] = "all"
    """Of those that match. For a daemon that forks workers, `oldest` is the one in charge."""

    @field_validator("pattern")
    @classmethod
    def _pattern_compiles(cls, pattern: str | None) -> str | None:
        if pattern is not None:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"not a regular expression: {error}") from None
        return pattern

    @model_validator(mode="after")
    def _names_something(self) -> ProcessMatch:
        if not any((self.name, self.pattern, self.pid_file, self.port, self.service)):
            raise ValueError("name the process by one of: name, pattern, pid_file, port, service")
        return self

    def __str__(self) -> str:
        said = self.model_dump(exclude_none=True, exclude={"which"})
        return ("" if self.which == "all" else f"the {self.which} with ") + ", ".join(f"{k} {v}" for k, v in said.items())

    @property
    def stand_in(self) -> str:
        """What a plan calls the processes that nobody knows before the run."""
        said = ", ".join(f"{k} {v}" for k, v in self.model_dump(exclude_none=True, exclude={"which"}).items())
        return f"the processes with {said}" if self.which == "all" else f"the {self.which} process with {said}"

    def found(self, node: str, read: Callable[[Query], Reading]) -> tuple[ProcessInfo, ...]:
        """The processes on `node` that match, oldest first. StepFailed where there is none."""
        in_file = None
        if self.pid_file is not None:
            number = read(PidFileQuery(node=node, path=self.pid_file)).number
            in_file = None if number is None else int(number)
        chosen = self.chosen(read(ProcessesQuery(node=node)).processes, in_file)
        if not chosen:
            raise StepFailed(f"no process on {node} matches {self}")
        return chosen

    def chosen(self, processes: Sequence[ProcessInfo], pid_in_file: int | None) -> tuple[ProcessInfo, ...]:
        """The processes that match, oldest first. PID 1 of a node is never among them: ending it is a node fault."""
        found = sorted(
            (p for p in processes if p.pid != 1 and self._matches(p, pid_in_file)), key=lambda p: (p.start_ticks, p.pid)
        )
        if self.which == "oldest":
            return tuple(found[:1])
        return tuple(found[-1:]) if self.which == "newest" else tuple(found)

    def _matches(self, process: ProcessInfo, pid_in_file: int | None) -> bool:
        if process.stands_for:
            return process.stands_for == self.stand_in
        return (
            process.state != "Z"
            and self.name in (None, process.name)
            and (self.pattern is None or re.search(self.pattern, " ".join(process.command)) is not None)
            and (self.pid_file is None or process.pid == pid_in_file)
            and (self.port is None or self.port in process.listens)
            and self.service in (None, process.service)
        )


def with_true_clocks(
    match: ProcessMatch, nodes: Sequence[str], tag: str, read: Callable[[Query], Reading]
) -> dict[str, tuple[ProcessRef, ...]]:
    """Node -> the processes that match. StepFailed where there is none, or the clock of one cannot be told or is false."""
    found: dict[str, tuple[ProcessRef, ...]] = {}
    for node in nodes:
        found[node] = tuple(p.ref for p in match.found(node, read))
        state = read(ClockQuery(node=node, tag=tag, processes=found[node])).value
        if state != "true":
            raise StepFailed(f"the wall clock of {match} on {node} is {state!r} already, so a heal could not put it back")
    return found
