"""Listening to the role watcher: who says that it leads, right now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from chaoskit.model.lab import LabPlan
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Agent, Lab
from chaoskit.ports.watcher import RoleBeat, RoleChanged, RoleWatchConfig

ROLE_WATCHER = "chaoskit.watchers.role"
"""Run as a process of its own inside the lab; the engine never imports it."""
STALE_S = 3.0


class RoleHistory:
    """Who was known to hold each role since when. A node that only fell silent holds it still, until another one gains it."""

    def __init__(self) -> None:
        self._holding: dict[str, frozenset[str]] = {}
        self._changes: list[tuple[int, str, frozenset[str]]] = []
        self._gains: list[tuple[int, str, str]] = []

    def note(self, change: RoleChanged, states: Mapping[str, int | None]) -> None:
        """A change, with the states of all nodes for that role after it."""
        held = self._holding.get(change.role, frozenset())
        now = held
        if change.state == 1 and change.node not in held:
            self._gains.append((change.between_ns[1], change.role, change.node))
            now = frozenset(n for n in held if states.get(n) == 1) | {change.node}
        elif change.state == 0:
            now = held - {change.node}
        if now != held:
            self._holding[change.role] = now
            self._changes.append((change.between_ns[1], change.role, now))

    def known_holders(self, role: str) -> frozenset[str]:
        """Who was last known to hold it."""
        return self._holding.get(role, frozenset())

    def holders_at(self, role: str, t_ns: int) -> frozenset[str]:
        """Who was known to hold it at an instant; before that the last who did, where nobody was."""
        earlier = [nodes for at_ns, changed, nodes in self._changes if changed == role and at_ns <= t_ns and nodes]
        return earlier[-1] if earlier else frozenset()

    def gains_since(self, role: str, t_ns: int) -> tuple[tuple[int, str], ...]:
        """(instant, node) of each node that began to hold it after an instant."""
        return tuple((at_ns, node) for at_ns, gained, node in self._gains if gained == role and at_ns > t_ns)


class RoleListener:
    """Starts the role watcher of a lab and keeps what it says."""

    def __init__(self, lab: Lab, plan: LabPlan, clock: Clock) -> None:
        self._lab, self._plan, self._clock = lab, plan, clock
        self.agent: Agent | None = None
        self.roles: dict[str, dict[str, int | None]] = {}
        self.history = RoleHistory()
        self._heard_ns = 0
        self.failure = ""
        """Why the watcher can no longer record, as it said."""

    def start(self, config_file: Path, spool: Path, log: Path, trial: int) -> None:
        """Ask every node about every role from now on. Nothing where the lab names no roles."""
        if not self._plan.roles:
            return
        inside = self._lab.inside()
        config = RoleWatchConfig(
            trial=trial,
            spool=str(spool),
            inside=None if inside is None else str(inside),
            roles=self._plan.roles,
            addresses=self._plan.addresses(),
        )
        config_file.write_text(config.model_dump_json(), encoding="utf-8")
        self.agent = self._lab.spawn("roles", None, (sys.executable, "-m", ROLE_WATCHER, str(config_file)), log)

    def poll(self, changed: Callable[[RoleChanged], None], odd: Callable[[str], None]) -> None:
        """Take in what it said since the last call; never blocks. `odd` gets lines that make no sense."""
        for line in self.agent.lines() if self.agent is not None else ():
            try:
                if '"role_beat"' in line:
                    beat = RoleBeat.model_validate_json(line)
                    self.roles = {role: dict(nodes) for role, nodes in beat.roles.items()}
                    self._heard_ns, self.failure = beat.t_ns, beat.failure or self.failure
                    continue
                change = RoleChanged.model_validate_json(line)
            except ValidationError:
                odd(line)
                continue
            self.roles.setdefault(change.role, {})[change.node] = change.state
            self._heard_ns = max(self._heard_ns, change.between_ns[1])
            self.history.note(change, self.roles[change.role])
            changed(change)

    def holders(self, role: str) -> tuple[str, ...] | None:
        """Who holds a role now; None while nothing current is known."""
        if self._clock.monotonic_ns() - self._heard_ns > STALE_S * 1e9:
            return None
        return tuple(node for node, state in self.roles.get(role, {}).items() if state == 1)

    def lacking(self, wanted: Mapping[str, int]) -> str:
        """What is missing for so many holders of each role; empty where nothing is."""
        missing = []
        for role, count in wanted.items():
            holding = self.holders(role)
            if holding is None or len(holding) != count:
                seen = "nothing heard yet" if holding is None else f"{len(holding)} ({', '.join(holding) or 'nobody'})"
                missing.append(f"role {role}: {count} wanted, {seen}")
        return "; ".join(missing)
