"""Excerpts of the cluster's logs: the lines around the fault where lines carry instants, else the last ones."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from chaoskit.model.result import TrialResult
from chaoskit.reporting.text import one_line
from chaoskit.reporting.view import LogExcerpt

LINES_AROUND = 30
LINES_LAST = 15
LINE_CHARACTERS = 300
FILES_MAX = 24
_READ_BYTES = 8 * 1024 * 1024
_BEFORE, _AFTER = timedelta(seconds=2), timedelta(seconds=10)
_STAMP = re.compile(r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:[.,](\d{1,6}))?\d*\s?(Z|UTC|[+-]\d\d:?\d\d)?")


def _instant(line: str) -> datetime | None:
    """The instant at the start of a log line; one without a zone is taken as UTC, which nodes of a lab run in."""
    match = _STAMP.search(line[:120])
    if match is None:
        return None
    day, clock, fraction, zone = match.groups()
    offset = "+00:00" if zone in (None, "Z", "UTC") else zone
    try:
        return datetime.fromisoformat(f"{day}T{clock}.{(fraction or '0').ljust(6, '0')}{offset}")
    except ValueError:
        return None


def _lines(path: Path) -> list[str]:
    """The file's lines; of a very large file the last 8 MiB."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _READ_BYTES))
        return file.read().decode("utf-8", errors="replace").splitlines()


def _window(trial: TrialResult) -> tuple[datetime, datetime] | None:
    """From just before the first injection to a little after the last heal."""
    instants = []
    for text in (t for f in trial.faults for t in (f.injected_at, f.healed_at) if t):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            continue
        instants.append(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    return (min(instants) - _BEFORE, max(instants) + _AFTER) if instants else None


def _excerpt(name: str, lines: Sequence[str], window: tuple[datetime, datetime] | None) -> LogExcerpt:
    chosen: list[str] = []
    about = f"last {min(LINES_LAST, len(lines))} lines"
    if window is not None:
        inside = False
        for line in lines:
            moment = _instant(line)
            if moment is not None:
                inside = window[0] <= moment <= window[1]
            if inside:
                chosen.append(line)
        if chosen:
            about = f"from {-_BEFORE.total_seconds():+.0f} s around the fault to {_AFTER.total_seconds():+.0f} s after its heal"
            if len(chosen) > LINES_AROUND:
                about += f", the first {LINES_AROUND} of {len(chosen)} lines"
    shown = chosen[:LINES_AROUND] or list(lines[-LINES_LAST:])
    return LogExcerpt(name, tuple(one_line(line, LINE_CHARACTERS) for line in shown), len(lines) - len(shown), about)


def log_excerpts(run_dir: Path, trials: Iterable[TrialResult]) -> tuple[tuple[LogExcerpt, ...], tuple[str, ...]]:
    """Excerpts of logs/<trial>/<node>/<service>.log, the fault's targets first; and what could not be read."""
    root = run_dir / "logs"
    by_index = {str(t.index): t for t in trials}
    hit = {(str(t.index), node) for t in by_index.values() for f in t.faults for node in f.target}

    def rank(path: Path) -> tuple[bool, str]:
        parts = path.relative_to(root).parts
        return (len(parts) < 2 or (parts[0], parts[1]) not in hit, path.relative_to(root).as_posix())

    excerpts: list[LogExcerpt] = []
    notes: list[str] = []
    files = sorted((p for p in root.rglob("*.log") if p.is_file() and not p.is_symlink()), key=rank) if root.is_dir() else []
    for path in files[:FILES_MAX]:
        name = path.relative_to(run_dir).as_posix()
        try:
            lines = _lines(path)
        except OSError as error:
            notes.append(f"{name} could not be read: {error.strerror}.")
            continue
        trial = by_index.get(path.relative_to(root).parts[0])
        if lines:
            excerpts.append(_excerpt(name, lines, _window(trial) if trial else None))
    if len(files) > FILES_MAX:
        notes.append(f"{len(files) - FILES_MAX} further log files are in the run directory and not excerpted here.")
    return tuple(excerpts), tuple(notes)
