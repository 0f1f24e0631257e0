"""The run directory: everything a run writes, in one place, safe against a kill at any instant."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from chaoskit.engine.appending import append_line, keep_reserve, use_reserve
from chaoskit.engine.clock import iso_utc
from chaoskit.linux import procfs
from chaoskit.model.errors import InputError, Problem, RecordingFailed
from chaoskit.model.history import EVENT_KINDS, Event
from chaoskit.ports.clock import Clock

OWNER_FILE = "owner.json"


def new_run_id(title: str, wall_ns: int, chance: Callable[[int], bytes] = os.urandom) -> str:
    """Such as 20260131-120000-primary-loses-power-3f2a: sorts by time, says what it was, does not collide."""
    slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:32].strip("-") or "run"
    stamp = iso_utc(wall_ns)[:19].replace("-", "").replace(":", "").replace("T", "-")
    return f"{stamp}-{slug}-{chance(2).hex()}"


class RunDirectory:
    """One run's files. Raises RecordingFailed when they cannot be written: figures from half a history would be wrong."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.events_file = path / "events.jsonl"
        self.undo_file = path / "undo.jsonl"
        self.spool = path / "spool"
        self.logs = path / "logs"

    @classmethod
    def create(cls, path: Path) -> RunDirectory:
        """A new, empty run directory, owned by this process. InputError where the place is taken or cannot be made."""
        run = cls(path)
        try:
            path.mkdir(parents=True, exist_ok=True)
            if any(path.iterdir()):
                problem = Problem(message="the run directory is not empty; give another one with --out", value=str(path))
                raise InputError([problem])
            run.spool.mkdir()
            run.logs.mkdir()
            keep_reserve(path)
        except OSError as error:
            problem = Problem(message=f"the run directory cannot be made: {error.strerror}", value=str(path))
            raise InputError([problem]) from error
        run.write_json(OWNER_FILE, {"pid": os.getpid(), **_life_of(os.getpid())})
        return run

    def owner_is_alive(self) -> bool:
        """Whether the chaoskit process that writes this run still runs."""
        try:
            owner = json.loads((self.path / OWNER_FILE).read_text())
            return bool({"pid": owner["pid"], **_life_of(owner["pid"])} == owner)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def release(self) -> None:
        """The run has ended and was judged, or cannot be; nobody owns it any more."""
        use_reserve(self.path)
        (self.path / OWNER_FILE).unlink(missing_ok=True)

    def write_text(self, name: str, text: str, *, private: bool = False) -> None:
        """Write a whole file so that it is either the old or the new one, never half. `private`: for its owner only."""
        target = self.path / name
        scratch = target.with_name(f".{target.name}.part")
        try:
            scratch.touch(mode=0o600 if private else 0o644)
            scratch.write_text(text, encoding="utf-8")
            scratch.replace(target)
        except OSError as error:
            raise RecordingFailed(f"{target} could not be written: {error.strerror}") from error

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        self.write_text(name, json.dumps(data, indent=2, sort_keys=True, default=str) + "\n")


def _life_of(pid: int) -> dict[str, Any]:
    """What tells a process from a later one with its number, whatever becomes of the wall clock. OSError where it is none."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    seen = procfs.stat(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace"))
    if seen.state in "ZX":
        raise ProcessLookupError(pid)
    return {"boot": boot, "start_ticks": seen.start_ticks}


class EventLog:
    """Appends to events.jsonl and tells whoever listens."""

    def __init__(self, run: RunDirectory, clock: Clock, listener: Callable[[Event], None]) -> None:
        self._path = run.events_file
        self._clock = clock
        self._listener = listener
        self.trial: int | None = None
        self.failure: RecordingFailed | None = None
        """The first line that could not be kept."""
        self.healing = False
        """While True nothing raises: what is broken must be healed even when nobody can write it down, or be shown it."""

    def add(self, kind: str, source: str = "engine", **data: Any) -> Event:
        """Record what happened now. RecordingFailed where it could not be kept."""
        event = Event(
            t_ns=self._clock.monotonic_ns(),
            wall=iso_utc(self._clock.wall_ns()),
            trial=self.trial,
            kind=kind,
            source=source,
            data=data,
        )
        self.keep(event)
        return event

    def keep(self, event: Event) -> None:
        """Record an event that carries its own instant."""
        if event.kind not in EVENT_KINDS:
            raise ValueError(f"{event.kind!r} is not an event; see EVENT_KINDS in chaoskit/model/history.py")
        try:
            self._listener(event)
        except Exception:
            if not self.healing:
                raise
        try:
            self._write(event.model_dump_json())
        except OSError as error:
            self.failure = self.failure or RecordingFailed(f"{self._path} could not be written: {error.strerror}")
            if use_reserve(self._path.parent):
                with suppress(OSError):
                    self._write(event.model_dump_json())
            if not self.healing:
                raise self.failure from error

    def _write(self, line: str) -> None:
        append_line(self._path, line.encode())
