"""The undo journal: what is owed to a lab, written and fsynced before anything is broken."""

from __future__ import annotations

from typing import Literal

from chaoskit.model.facts import Check
from chaoskit.model.record import Record
from chaoskit.model.steps import Step


class Debt(Record):
    """One injection and the literal steps that undo it: healing needs neither the fault's code nor the process that made it."""

    debt_id: str
    run_id: str
    trial: int
    action: str
    fault: str
    nodes: tuple[str, ...]
    backend: str
    lab_id: str
    heal: tuple[Step, ...]
    checks: tuple[Check, ...]
    """Their `healed` answers prove that it is undone."""


class JournalLine(Record):
    """One line of undo.jsonl. A debt is open from `owed` until `paid` (healed, and seen to be) or `void` (its lab is gone)."""

    op: Literal["owed", "paid", "void", "dirty"]
    debt_id: str
    wall: str
    debt: Debt | None = None
    """With `owed`."""
    reason: str = ""
    """With `void` and `dirty`: why."""
