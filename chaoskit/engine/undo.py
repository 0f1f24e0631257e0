"""The undo journal: owe before you do."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from chaoskit.engine.appending import append_line, use_reserve
from chaoskit.engine.clock import iso_utc
from chaoskit.model.errors import RecordingFailed
from chaoskit.model.result import UndoSummary
from chaoskit.model.undo import Debt, JournalLine
from chaoskit.ports.clock import Clock


class UndoJournal:
    """undo.jsonl. Each line is on the disk before the call returns."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock

    def owe(self, debt: Debt) -> None:
        """Before the injection. RecordingFailed: then nothing may be injected."""
        self._append(JournalLine(op="owed", debt_id=debt.debt_id, wall=self._now(), debt=debt))

    def paid(self, debt_id: str) -> None:
        """It is undone, and was seen to be."""
        self._append(JournalLine(op="paid", debt_id=debt_id, wall=self._now()))

    def void(self, debt_id: str, reason: str) -> None:
        """What was broken does not exist any more."""
        self._append(JournalLine(op="void", debt_id=debt_id, wall=self._now(), reason=reason))

    def dirty(self, debt_id: str, reason: str) -> None:
        """Healing failed. The debt stays open."""
        self._append(JournalLine(op="dirty", debt_id=debt_id, wall=self._now(), reason=reason))

    def open_debts(self) -> tuple[Debt, ...]:
        """What is still owed, newest first."""
        return open_debts(journal_lines(self._path))

    def _now(self) -> str:
        return iso_utc(self._clock.wall_ns())

    def _append(self, line: JournalLine) -> None:
        try:
            is_new = not self._path.exists()
            data = line.model_dump_json().encode()
            try:
                append_line(self._path, data, sync=True)
            except OSError:
                if not use_reserve(self._path.parent):
                    raise
                append_line(self._path, data, sync=True)
            if is_new:
                _fsync_directory(self._path.parent)
        except OSError as error:
            raise RecordingFailed(f"the undo journal {self._path} could not be written: {error.strerror}") from error


def journal_lines(path: Path) -> tuple[JournalLine, ...]:
    """The journal as far as it was written; a torn last line was never acted upon, and is left out."""
    if not path.exists():
        return ()
    raw = path.read_bytes().split(b"\n")
    lines = [JournalLine.model_validate_json(line) for line in raw[:-1] if line]
    if raw[-1]:
        try:
            lines.append(JournalLine.model_validate_json(raw[-1]))
        except ValidationError:
            return tuple(lines)  # the write was cut off before its fsync, so no injection followed it
    return tuple(lines)


def open_debts(lines: Sequence[JournalLine]) -> tuple[Debt, ...]:
    """Debts neither paid nor void, newest first."""
    debts = {line.debt_id: line.debt for line in lines if line.op == "owed" and line.debt is not None}
    for line in lines:
        if line.op in ("paid", "void"):
            debts.pop(line.debt_id, None)
    return tuple(reversed(debts.values()))


def undo_summary(lines: Sequence[JournalLine]) -> UndoSummary:
    """For result.json: what was owed, what was paid, what is still broken."""
    still_open = open_debts(lines)
    reasons = {line.debt_id: line.reason for line in lines if line.op == "dirty"}
    owed = sum(line.op == "owed" for line in lines)
    dirty = tuple(f"{d.fault} on {', '.join(d.nodes)} ({reasons.get(d.debt_id, 'never healed')})" for d in reversed(still_open))
    return UndoSummary(owed=owed, paid=owed - len(still_open), dirty=dirty)


def _fsync_directory(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
