"""Choosing processes among those of a node: by name, pattern, pid file, port, or service of the lab."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from chaoskit.model import choosing
from chaoskit.model.errors import StepFailed
from chaoskit.model.facts import PidFileQuery, ProcessesQuery, ProcessInfo, Query, Reading
from chaoskit.model.steps.matching import ProcessCriteria


class ProcessMatch(ProcessCriteria):
    """Which processes of the target node. Several keys narrow each other down."""

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
        stand_ins = [p for p in processes if p.stands_for]
        if stand_ins:  # of a lab that is only planned
            return tuple(p for p in stand_ins if p.stands_for == self.stand_in)
        known = {(p.pid, p.start_ticks): p for p in processes}
        found = choosing.chosen(self.model_dump(), [dict(p) for p in processes], pid_in_file)
        return tuple(known[info["pid"], info["start_ticks"]] for info in found)
