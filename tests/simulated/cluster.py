"""A cluster made of rules: one leader, a fixed failover time, replication that is synchronous or lags."""

from __future__ import annotations

import base64
import copy
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from chaoskit.model.facts import ProcessInfo
from chaoskit.model.files import FileState
from chaoskit.model.steps import BlockPorts, Link, ShapeLinks

SERVICE_PID = 100
_STEPS_CHANGE = frozenset(
    ("off", "frozen", "cuts", "blocks", "shaped", "unplugged", "stopped", "volumes", "touched", "marks"),
)


@dataclass
class SimulatedCluster:
    """Nodes db1..db3 and app. `advance` moves it on; what served when is kept, so that probes can be answered afterwards."""

    failover_s: float | None = 3.0
    """None: nobody ever takes over."""
    replication_lag_s: float = 0.0
    """Acknowledged writes younger than this are lost with the leader."""
    leader: str = "db1"
    members: tuple[str, ...] = ("db1", "db2", "db3")
    observers: tuple[str, ...] = ("app",)
    off: set[str] = field(default_factory=set)
    frozen: set[str] = field(default_factory=set)
    cuts: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    blocks: dict[str, BlockPorts] = field(default_factory=dict)
    shaped: dict[str, ShapeLinks] = field(default_factory=dict)
    """Slows the service, which is not simulated."""
    unplugged: set[str] = field(default_factory=set)
    """Nodes without carrier."""
    stopped: set[tuple[str, int]] = field(default_factory=set)
    pids: dict[str, int] = field(default_factory=dict)
    boots: dict[str, int] = field(default_factory=dict)
    ledger: dict[str, int] = field(default_factory=dict)
    """token -> when it was acknowledged, ns."""
    volumes: dict[tuple[str, str], str] = field(default_factory=dict)
    """Those that do not work, and how a write to them ends."""
    files: dict[tuple[str, str], FileState | None] = field(default_factory=dict)
    """What was written, or removed; every other file is there and lists two hosts."""
    touched: set[str] = field(default_factory=set)
    """node:path of what commands of the `run` fault made."""
    resets: dict[str, int] = field(default_factory=dict)
    """How often a node's connections were reset: not undone by healing."""
    names: dict[str, Any] = field(default_factory=dict)
    """Tag -> the step that answers names while its activity goes on."""
    marks: dict[tuple[str, ...], Any] = field(default_factory=dict)
    """(what, node, ...) -> whatever a step changed and a question reads back: for all that the rules do not depend on."""
    _lost_since_ns: int | None = None
    _serving: list[tuple[int, str | None]] = field(default_factory=list)

    @property
    def nodes(self) -> tuple[str, ...]:
        return (*self.members, *self.observers)

    def broken(self) -> dict[str, Any]:
        """Everything that steps change and healing has to put back."""
        changed = {name: copy.deepcopy(value) for name, value in vars(self).items() if name in _STEPS_CHANGE}
        return {**changed, "running": [bool(self.pid(member)) for member in self.members], "file": self.file("db1", "/etc/hosts")}

    def is_cut(self, source: str, destination: str) -> bool:
        return any((source, destination) in links for links in self.cuts.values())

    def reaches(self, source: str, destination: str) -> bool:
        """A frame there and a reply back."""
        if {source, destination} & (self.off | self.unplugged):
            return False
        return not (self.is_cut(source, destination) or self.is_cut(destination, source))

    def probed(self, source: str, destination: str, tcp_port: int | None) -> str:
        """What a probe shows: answered | refused | silent. Members listen on the service's port."""
        if not self.reaches(source, destination):
            return "silent"
        if tcp_port is None:
            return "answered"
        for block in self.blocks.values():
            if Link(source=source, destination=destination) in block.links and any(tcp_port in span for span in block.tcp):
                return "refused" if block.reject else "silent"
        return "answered" if any(tcp_port in process.listens for process in self.processes(destination)) else "refused"

    def _works(self, node: str) -> bool:
        service_runs = (node, self.pid(node)) not in self.stopped and self.pid(node) != 0
        heard = any(self.reaches(m, node) for m in self.members if m != node)
        return node not in self.off and node not in self.frozen and service_runs and heard

    def file(self, node: str, path: str) -> FileState | None:
        content = base64.b64encode(b"198.18.0.11 db1\n198.18.0.12 db2\n").decode()
        there = FileState(path=path, content=content, mode=0o644, user_id=0, group_id=0, mtime_ns=1)
        return self.files.get((node, path), there)

    def pid(self, node: str) -> int:
        """The service's process, 0 where it was killed."""
        return self.pids.get(node, SERVICE_PID)

    def advance(self, now_ns: int) -> None:
        if self._works(self.leader):
            self._lost_since_ns = None
        else:
            self._lost_since_ns = self._lost_since_ns or now_ns
            candidates = [m for m in self.members if m != self.leader and self._works(m)]
            if self.failover_s is not None and candidates and now_ns - self._lost_since_ns >= self.failover_s * 1e9:
                self._lose_the_tail(self._lost_since_ns)
                self.leader, self._lost_since_ns = candidates[0], None
        serves = self.leader if self._works(self.leader) and self.reaches(self.observers[0], self.leader) else None
        if not self._serving or self._serving[-1][1] != serves:
            self._serving.append((now_ns, serves))

    def _lose_the_tail(self, since_ns: int) -> None:
        limit_ns = since_ns - self.replication_lag_s * 1e9
        self.ledger = {token: at_ns for token, at_ns in self.ledger.items() if at_ns <= limit_ns}

    def serving_at(self, t_ns: int) -> str | None:
        """Who answered clients at an instant that has passed."""
        place = bisect_right(self._serving, t_ns, key=lambda entry: entry[0])
        return self._serving[place - 1][1] if place else None

    def processes(self, node: str) -> tuple[ProcessInfo, ...]:
        """The node's init and, where it runs, its one service."""
        if node in self.off:
            return ()
        init = ProcessInfo(pid=1, parent=0, name="init", command=("init",), state="S", start_ticks=1 + self.boots.get(node, 0))
        if node not in self.members or self.pid(node) == 0:
            return (init,)
        state = "T" if (node, self.pid(node)) in self.stopped else "S"
        service = ProcessInfo(
            pid=self.pid(node), parent=1, name="database", command=("/usr/bin/database", "-D", "/data"), state=state,
            start_ticks=self.pid(node) * 10, listens=(5432,), service="database",
        )  # fmt: skip
        return (init, service)
