"""Notes of people in a run's record: while it goes on, from any terminal, or afterwards, with the instant they are about."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from chaoskit.engine.appending import append_line
from chaoskit.engine.clock import iso_utc
from chaoskit.engine.run_directory import OWNER_FILE, RunDirectory
from chaoskit.engine.store import EVENTS_FILE, read_events
from chaoskit.model.errors import InputError, Problem, RecordingFailed
from chaoskit.model.game_day import NOTE_KIND
from chaoskit.model.history import Event
from chaoskit.model.units import Duration
from chaoskit.ports.clock import Clock


def running_runs(reports: Path) -> tuple[Path, ...]:
    """Run directories whose chaoskit lives, in order of name, which begins with their time."""
    owned = sorted(file.parent for file in reports.glob(f"*/{OWNER_FILE}"))
    return tuple(path for path in owned if RunDirectory(path).owner_is_alive())


def add_note(run_dir: Path, data: dict[str, Any], clock: Clock, at: str | None = None, trial: int | None = None) -> Event:
    """Append a note to a run's events. `at`: a time after the end of a trial's baseline, or an instant; now where left out.

    InputError for a time that is none, or none of this run; RecordingFailed where it cannot be written.
    """
    events = read_events(run_dir)
    if not events:
        problem = Problem(message="nothing is recorded here yet, so a note has no place", value=str(run_dir / EVENTS_FILE))
        raise InputError([problem])
    alive = RunDirectory(run_dir).owner_is_alive()
    if at is None:
        t_ns = clock.monotonic_ns() if alive else _monotonic_ns(events, clock.wall_ns())
        wall, of = iso_utc(clock.wall_ns()), _open_trial(events) if alive else None
    else:
        t_ns, wall, of = _placed(events, at, trial, clock.wall_ns())
    event = Event(t_ns=t_ns, wall=wall, trial=of, kind=NOTE_KIND, source="person", data=data)
    try:
        append_line(run_dir / EVENTS_FILE, event.model_dump_json().encode())
    except OSError as error:
        raise RecordingFailed(f"{run_dir / EVENTS_FILE} could not be written: {error.strerror}") from error
    return event


def _placed(events: Sequence[Event], at: str, trial: int | None, now_ns: int) -> tuple[int, str, int | None]:
    """(CLOCK_MONOTONIC ns, instant, trial) of what `at` says."""
    try:
        moment = datetime.fromisoformat(at.strip())
    except ValueError:
        return _after_baseline(events, at, trial)
    wall_ns = _wall_ns(moment)
    first = _own(events)[0]
    if wall_ns < _wall_ns(datetime.fromisoformat(first.wall)):
        raise InputError([Problem(message=f"that is before the run began ({first.wall})", path="--at", value=at)])
    if wall_ns > now_ns:
        raise InputError([Problem(message=f"that is not over yet: it is {iso_utc(now_ns)[:19]}Z", path="--at", value=at)])
    t_ns = _monotonic_ns(events, wall_ns)
    return t_ns, iso_utc(wall_ns), _trial_at(events, t_ns)


def _after_baseline(events: Sequence[Event], at: str, trial: int | None) -> tuple[int, str, int | None]:
    try:
        after_ns = Duration.parse(at).ns
    except ValueError:
        message = "a time is one after the end of the baseline, such as 12s, or an instant such as 2026-03-31T14:05:09Z"
        raise InputError([Problem(message=message, path="--at", value=at)]) from None
    zeros = {e.trial: e for e in events if e.kind == "baseline.ended" and e.trial is not None}
    open_trial = _open_trial(events)
    chosen = trial if trial is not None else open_trial if open_trial is not None else min(zeros, default=None)
    if chosen not in zeros:
        message = "no baseline has ended yet, so nothing is after it" if trial is None else "this trial has no end of a baseline"
        value = at if trial is None else str(trial)
        known = tuple(map(str, sorted(zeros)))
        raise InputError([Problem(message=message, path="--at" if trial is None else "--trial", value=value, allowed=known)])
    zero = zeros[chosen]
    return zero.t_ns + after_ns, iso_utc(_wall_ns(datetime.fromisoformat(zero.wall)) + after_ns), chosen


def _own(events: Sequence[Event]) -> list[Event]:
    """What the run itself wrote: its clocks belong together."""
    return [e for e in events if e.kind != NOTE_KIND] or list(events)


def _wall_ns(moment: datetime) -> int:
    """An instant without a zone is UTC, as the report prints them."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1e6) * 1000


def _monotonic_ns(events: Sequence[Event], wall_ns: int) -> int:
    """A wall clock's instant on the run's monotonic clock, by the event nearest to it: right also after a reboot."""
    nearest = min(_own(events), key=lambda e: abs(_wall_ns(datetime.fromisoformat(e.wall)) - wall_ns))
    return nearest.t_ns + wall_ns - _wall_ns(datetime.fromisoformat(nearest.wall))


def _open_trial(events: Sequence[Event]) -> int | None:
    """The trial that goes on."""
    begun = [e.trial for e in events if e.kind == "trial.started"]
    ended = {e.trial for e in events if e.kind == "trial.ended"}
    return begun[-1] if begun and begun[-1] not in ended else None


def _trial_at(events: Sequence[Event], t_ns: int) -> int | None:
    """The trial in which an instant lies."""
    for started in (e for e in events if e.kind == "trial.started"):
        ended = next((e.t_ns for e in events if e.kind == "trial.ended" and e.trial == started.trial), None)
        if started.t_ns <= t_ns and (ended is None or t_ns <= ended):
            return started.trial
    return None
