"""A run whose faults are injected and healed by a Python program while it goes on.

The run is an ordinary one, planned before it starts: each such fault waits for a file in the run directory, and is healed when
another one appears (`when: {file: ...}`, `until: {file: ...}`). What happened is read from the run's own record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaoskit.engine.run_directory import new_run_id
from chaoskit.model.errors import Aborted, ChaoskitError, EffectNotSeen, HealFailed, InputError, LabUnavailable, Problem
from chaoskit.model.history import Event
from chaoskit.model.units import Duration
from chaoskit.surfaces.conducting import Request
from chaoskit.surfaces.python.conductor import Conductor, Say
from chaoskit.surfaces.python.outcome import RunResult

INJECT, HEAL = "inject {}", "heal {}"
"""Names of the files."""
LOOK_S = 0.02
EFFECT_WITHIN_S = 60.0
"""Far more than a fault's effect is looked for."""
GONE_WITHIN_S = 180.0
BASELINE_WITHIN_S = 3600.0
"""Building, getting ready, the steady state and the baseline have limits of their own; this is for a process that hangs."""


@dataclass(frozen=True)
class Fault:
    """A fault of an experiment. Without `at` and `after` it may be injected by hand, with `RunByHand.inject`."""

    name: str
    action: Mapping[str, Any]

    @property
    def by_hand(self) -> bool:
        """Whether nothing says when it begins."""
        return not {"at", "after", "during", "when"} & self.action.keys()


class RunByHand:
    """A run that goes on, after its baseline."""

    def __init__(self, conductor: Conductor, directory: Path, names: Sequence[str]) -> None:
        self.directory = directory
        self._conductor, self._names = conductor, names
        self._events: list[Event] = []
        self._read = 0
        self._result: RunResult | None = None

    @property
    def result(self) -> RunResult:
        """Once the block of `running` is over."""
        if self._result is None:
            raise ChaoskitError("a run has a result when it has ended: ask for it after the block of `running()`")
        return self._result

    @property
    def events(self) -> tuple[Event, ...]:
        """What was recorded so far."""
        self._listen()
        return tuple(self._events)

    @contextmanager
    def inject(self, fault: Fault) -> Iterator[Event]:
        """Break it now, and heal it when the block ends in whatever way. The block begins once its effect was seen.

        EffectNotSeen where it was not; it is healed then as well. HealFailed where it does not go away.
        """
        self.begin(fault)
        try:
            seen = self._said(fault, ("fault.effect", "action.skipped", "fault.heal_failed"), EFFECT_WITHIN_S)
            if seen.kind != "fault.effect":
                raise EffectNotSeen(f"{fault.name} was not injected: {seen.data.get('reason') or seen.data.get('error')}")
            if not seen.data.get("verified"):
                raise EffectNotSeen(f"{fault.name} was injected, and there is no evidence that it is in force")
            yield seen
        finally:
            self.end(fault)

    def begin(self, fault: Fault) -> None:
        """Break it now, and do not wait for anything. `end` heals it; so does the end of the run."""
        self._check(fault)
        (self.directory / INJECT.format(fault.name)).touch()

    def end(self, fault: Fault) -> None:
        """Heal it now, and wait until it is gone. HealFailed where it is not."""
        self._check(fault)
        (self.directory / HEAL.format(fault.name)).touch()
        if not self._conductor.is_running:
            return  # whatever ended the run has healed it; its result says so
        ended = ("fault.gone", "fault.heal_failed", "action.skipped", "trial.ended")
        said = self._said(fault, ended, GONE_WITHIN_S, or_end=True)
        if said.kind == "fault.heal_failed" or (said.kind == "fault.gone" and not said.data.get("verified")):
            raise HealFailed(f"{fault.name} is still there: {said.data.get('error', 'it was undone and is still seen')}")

    def _check(self, fault: Fault) -> None:
        if fault.name not in self._names:
            message = "this fault is not injected by hand: it has a time of its own, or belongs to another experiment"
            raise InputError([Problem(message=message, value=fault.name, allowed=tuple(self._names))])

    def wait(self, duration: float | str) -> None:
        """Let so much time pass (seconds, or "20s"). Aborted where the run ends meanwhile."""
        span_s = float(Duration.parse(duration)) if isinstance(duration, str) else float(duration)
        until_s = time.monotonic() + span_s
        while time.monotonic() < until_s:
            self._still_runs()
            time.sleep(min(LOOK_S, max(until_s - time.monotonic(), 0)))

    def wait_for(self, kind: str, within: float | str = 60.0, **data: object) -> Event:
        """The next event of a kind (`EVENT_KINDS` in chaoskit/model/history.py) with these data, such as
        `wait_for("role.changed", role="primary", state="yes")`. LabUnavailable with what was recorded last where none comes."""
        limit_s = float(Duration.parse(within)) if isinstance(within, str) else float(within)
        self._listen()
        after = len(self._events)

        def matches(event: Event) -> bool:
            return event.kind == kind and all(event.data.get(key) == value for key, value in data.items())

        return self._first(matches, after, f"{kind} {dict(data)}", limit_s)

    def roles(self) -> Mapping[str, tuple[str, ...]]:
        """Role -> who was last recorded to hold it."""
        held: dict[str, list[str]] = {}
        for event in self.events:
            if event.kind == "role.changed":
                holders = held.setdefault(str(event.data.get("role")), [])
                node = str(event.data.get("node"))
                if node in holders:
                    holders.remove(node)
                if event.data.get("state") == "yes":
                    holders.append(node)
        return {role: tuple(nodes) for role, nodes in held.items()}

    # -- listening -----------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        file = self.directory / "events.jsonl"
        if not file.exists():
            return
        with file.open("rb") as lines:
            lines.seek(self._read)
            new = lines.read()
        whole = new.rfind(b"\n") + 1
        self._read += whole
        self._events += [Event.model_validate_json(line) for line in new[:whole].splitlines()]

    def _said(self, fault: Fault, kinds: Sequence[str], within_s: float, *, or_end: bool = False) -> Event:
        def matches(event: Event) -> bool:
            return event.kind in kinds and (event.data.get("action") == fault.name or (or_end and event.kind == "trial.ended"))

        return self._first(matches, 0, f"{' or '.join(kinds)} of {fault.name}", within_s)

    def first(self, kind: str, within_s: float) -> Event:
        """The first event of a kind, from the beginning of the run on."""
        return self._first(lambda event: event.kind == kind, 0, kind, within_s)

    def _first(self, matches: Callable[[Event], bool], after: int, what: str, within_s: float) -> Event:
        deadline_s = time.monotonic() + within_s
        while True:
            running = self._conductor.is_running
            self._listen()
            found = next((event for event in self._events[after:] if matches(event)), None)
            if found is not None:
                return found
            if not running:
                self._ended()
            if time.monotonic() >= deadline_s:
                last = self._events[-1].kind if self._events else "nothing"
                raise LabUnavailable(f"not within {within_s:g} s: {what}; the last thing recorded was {last}")
            time.sleep(LOOK_S)

    def _still_runs(self) -> None:
        if not self._conductor.is_running:
            self._ended()

    def _ended(self) -> None:
        """Raise why the run is over though nobody ended it."""
        ended = self._conductor.conducted()  # raises what it was refused for
        raise Aborted(f"the run has ended: {ended.ended_by or 'nothing was left to do'}; report: {ended.directory}/report.html")

    def finish(self) -> None:
        """Wait for the recovery, the read-back and the result. InputError where a fault was declared and never injected."""
        missing = [name for name in self._names if not (self.directory / INJECT.format(name)).exists()]
        if missing:
            message = "this fault belongs to the experiment and was not injected: inject it, or leave it out"
            raise InputError([Problem(message=message, value=name) for name in missing])
        for name in self._names:
            (self.directory / HEAL.format(name)).touch()
        ended = self._conductor.conducted()
        self._result = RunResult.of(ended)
        if ended.heal_failed or ended.result.undo.dirty:
            left = "; ".join(ended.result.undo.dirty) or ended.ended_by
            raise HealFailed(f"something is still broken, try `chaoskit recover`: {left}; report: {self._result.report}")


@contextmanager
def by_hand(request: Request, names: Sequence[str], say: Say) -> Iterator[RunByHand]:
    """Start the run, of one trial; the block begins when its baseline is over."""
    directory = request.out or request.reports / new_run_id(Path(request.experiment).stem, time.time_ns())
    with Conductor(request.model_copy(update={"out": directory, "repeat": 1}), say) as conductor:
        run = RunByHand(conductor, directory, names)
        run.first("baseline.ended", BASELINE_WITHIN_S)
        yield run
        run.finish()
