"""What an action waits for, or is held until: asked of roles, clients, logs and probes while the method runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaoskit.engine.observing import Observation
from chaoskit.engine.probing import RepeatedProbe
from chaoskit.model.condition import ANYONE, ANYONE_ELSE, NOBODY, Condition, LogLine, Probe
from chaoskit.ports.clock import Clock

LONGEST_GAP_NS = 1_000_000_000
"""What must last is looked at all the time; where nobody looked for longer than this, it begins anew."""
MOST_LINE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Met:
    """When a condition came true, and how."""

    at_ns: int
    how: str


class LogFollower:
    """New lines of a trial's service logs (logs/<node>/<service>.log) that a condition asks for."""

    def __init__(self, logs: Path, line: LogLine, clock: Clock) -> None:
        self._logs, self._line, self._clock = logs, line, clock
        self._pattern = re.compile(line.says)
        self._offsets = {path: path.stat().st_size for path in self._files()}
        self.found: list[Met] = []

    def _files(self) -> list[Path]:
        return sorted(self._logs.glob(f"{self._line.node or '*'}/{self._line.service}.log"))

    def poll(self) -> None:
        """Read what was written since the last call; a line counts once it is complete."""
        now_ns = self._clock.monotonic_ns()
        for path in self._files():
            offset = self._offsets.get(path, 0)
            with path.open("rb") as file:
                size = file.seek(0, 2)
                offset = 0 if size < offset else offset  # it was begun anew
                file.seek(offset)
                new = file.read(MOST_LINE_BYTES)
            whole = new.rfind(b"\n") + 1 or (len(new) if len(new) == MOST_LINE_BYTES else 0)
            self._offsets[path] = offset + whole
            for text in new[:whole].decode(errors="replace").splitlines():
                if self._pattern.search(text):
                    self.found.append(Met(now_ns, f"{path.parent.name}: {text.strip()[:200]}"))


class Wait:
    """One condition, waited for since an instant."""

    def __init__(self, condition: Condition, since_ns: int, look: Callable[[Wait], Met | None]) -> None:
        self.condition, self.since_ns, self._look = condition, since_ns, look
        self._holds_since_ns: int | None = None
        self._looked_ns = 0
        self.parts: tuple[Wait, ...] = ()
        """Of a condition that is made of several."""
        self.probe: RepeatedProbe | None = None
        self.answer: Met | None = None
        """Of the probe, the last time that it was run."""

    def met(self, now_ns: int) -> Met | None:
        """How it came true, where it has. For one that must last: once it has for long enough, without a break that we saw."""
        seen = self._look(self)
        gap_ns, self._looked_ns = now_ns - self._looked_ns, now_ns
        if seen is None:
            self._holds_since_ns = None
            return None
        if self._holds_since_ns is None or (gap_ns > LONGEST_GAP_NS and self.condition.probe is None):
            self._holds_since_ns = seen.at_ns
        return seen if seen.at_ns - self._holds_since_ns >= self.condition.lasting.ns else None


class Conditions:
    """Everything that the conditions of one trial look at."""

    def __init__(
        self,
        conditions: Sequence[Condition],
        watch: Observation,
        logs: Path,
        clock: Clock,
        repeated: Callable[[Probe], RepeatedProbe],
        directory: Path,
    ) -> None:
        """`directory`: the run directory, where relative files have their place."""
        self._watch, self._clock, self._repeated, self._directory = watch, clock, repeated, directory
        logged = {single.log for c in conditions for single in c.singles() if single.log is not None}
        self._followers = {line: LogFollower(logs, line, clock) for line in logged}
        self._waits: list[Wait] = []

    def poll(self) -> None:
        """Read the logs. To be called again and again, and before anything that takes long."""
        for follower in self._followers.values():
            follower.poll()

    def wait_for(self, condition: Condition, since_ns: int) -> Wait:
        """Wait for a condition from an instant on, which may have passed: what happened since counts."""
        wait = Wait(condition, since_ns, self._looked_for(condition))
        wait.parts = tuple(self.wait_for(part, since_ns) for part in condition.parts)
        if condition.probe is not None:
            wait.probe = self._repeated(condition.probe)
        self._waits.append(wait)
        return wait

    def _looked_for(self, condition: Condition) -> Callable[[Wait], Met | None]:
        if condition.role is not None:
            return self._gained if condition.gained_by is not None else self._held
        if condition.client is not None:
            return self._client
        if condition.log is not None:
            return self._logged
        if condition.file is not None:
            return self._there
        return self._probed if condition.probe is not None else self._several

    def stop(self) -> None:
        """End probes that still run."""
        for wait in self._waits:
            if wait.probe is not None:
                wait.probe.stop()

    # -- each kind -----------------------------------------------------------------------------------------------------

    def _several(self, wait: Wait) -> Met | None:
        """All of its parts, or any; each is looked at every time, for some have to last without a break that nobody saw."""
        seen = [part.met(self._clock.monotonic_ns()) for part in wait.parts]
        met = sorted((one for one in seen if one is not None), key=lambda one: one.at_ns)
        if wait.condition.any is not None:
            return met[0] if met else None
        return Met(met[-1].at_ns, "; ".join(one.how for one in met)) if len(met) == len(seen) else None

    def _gained(self, wait: Wait) -> Met | None:
        role, by = str(wait.condition.role), wait.condition.gained_by
        history = self._watch.leading.history
        before = history.holders_at(role, wait.since_ns)
        for at_ns, node in history.gains_since(role, wait.since_ns):
            if by in (ANYONE, node) or (by == ANYONE_ELSE and node not in before):
                held = f" (held before by {', '.join(sorted(before))})" if before else ""
                return Met(at_ns, f"{node} gained the role {role}{held}")
        return None

    def _held(self, wait: Wait) -> Met | None:
        role, by = str(wait.condition.role), wait.condition.held_by
        holders = self._watch.leading.holders(role)
        if holders is None:
            return None
        holds = not holders if by == NOBODY else bool(holders) if by == ANYONE else by in holders
        return Met(self._clock.monotonic_ns(), f"{', '.join(holders) or 'nobody'} held the role {role}") if holds else None

    def _client(self, wait: Wait) -> Met | None:
        name, now_ns = str(wait.condition.client), self._clock.monotonic_ns()
        told = {x: s for x, s in self._watch.of(name).items() if s is not None and s.t_ns >= wait.since_ns}
        if wait.condition.state == "down":  # from one of its vantages
            failing = next(((x, s.last_error) for x, s in told.items() if s.streak_since_ns is None), None)
            return Met(now_ns, f"{failing[0]} failed: {failing[1]}") if failing is not None else None
        settled_ns = self._watch.settled_after_ns(name)
        starts = [s.streak_since_ns for s in told.values() if s.streak_since_ns is not None]
        # Back from all of them: each ok now, and at least one only since then.
        if not starts or len(starts) < len(self._watch.of(name)):
            return None
        start_ns = max(starts)
        if start_ns <= wait.since_ns or now_ns - start_ns < settled_ns:
            return None
        return Met(now_ns, f"{name} has succeeded without a break for {(now_ns - start_ns) / 1e9:.1f} s")

    def _logged(self, wait: Wait) -> Met | None:
        follower = self._followers[wait.condition.log] if wait.condition.log is not None else None
        found = [met for met in follower.found if met.at_ns > wait.since_ns] if follower is not None else []
        return found[0] if found else None

    def _there(self, wait: Wait) -> Met | None:
        file = str(wait.condition.file)
        return Met(self._clock.monotonic_ns(), f"{file} was there") if (self._directory / file).exists() else None

    def _probed(self, wait: Wait) -> Met | None:
        if wait.probe is None:
            return None
        answer = wait.probe.poll()
        if answer is not None:
            wait.answer = Met(answer.at_ns, answer.said) if answer.ok else None
        return wait.answer
