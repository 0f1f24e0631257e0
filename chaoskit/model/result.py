"""Figures, measures.json and result.json (schema `chaoskit.result/1`). Durations in seconds, instants ISO 8601 UTC."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from chaoskit.model.figures import (
    AddressFigures,
    BehaviourFigures,
    ClientFigures,
    FailbackFigures,
    FaultFigures,
    FlappingFigures,
    Gate,
    LedgerFigures,
    Phase,
    RoleInterval,
    StaleReadFigures,
)
from chaoskit.model.game_day import GameDay
from chaoskit.model.over_trials import PooledLosses, Summary, YearlyDowntime
from chaoskit.model.record import Record

Verdict = Literal["passed", "failed", "unknown"]


class SkippedAction(Record):
    """An action of the method that was not injected. Its trial's verdict is unknown."""

    action: str
    reason: str


class ObjectiveOutcome(Record):
    name: str
    target: str
    actual: str
    met: bool | None
    """None: unknown."""
    reasons: tuple[str, ...] = ()
    trial: int | None = None
    subject: str = ""
    """Which client or role, where the objective has one."""


class TrialMeasures(Record):
    """measures.json holds one of these a trial: what was measured, before it is judged."""

    index: int
    started: str
    ended: str
    baseline_s: float
    observed_s: float
    """From the end of the baseline to the end of observation."""
    injection_phase_s: float | None = None
    """The random part of the first injection's instant: its place in the detector's period."""
    faults: tuple[FaultFigures, ...] = ()
    skipped: tuple[SkippedAction, ...] = ()
    clients: dict[str, ClientFigures] = {}
    behaviour: dict[str, BehaviourFigures] = {}
    """Clients with a policy."""
    rpo: LedgerFigures | None = None
    stale_reads: dict[str, StaleReadFigures] = {}
    """Client -> its reads of a ledger."""
    flapping: FlappingFigures | None = None
    failback: FailbackFigures | None = None
    """Where another node led meanwhile."""
    addresses: dict[str, AddressFigures] = {}
    """Name -> floating address."""
    phases: tuple[Phase, ...] = ()
    roles: tuple[RoleInterval, ...] = ()
    gates: tuple[Gate, ...] = ()
    problems: tuple[str, ...] = ()


class TrialResult(TrialMeasures):
    verdict: Verdict
    objectives: tuple[ObjectiveOutcome, ...] = ()
    reasons: tuple[str, ...] = ()


class UndoSummary(Record):
    owed: int = 0
    paid: int = 0
    dirty: tuple[str, ...] = ()


class ExperimentRef(Record):
    title: str
    path: str
    sha256: str
    description: str = ""
    tags: tuple[str, ...] = ()


class LabRef(Record):
    name: str
    backend: str
    mode: str = ""
    variant: str | None = None
    settings: dict[str, Any] = {}


class Result(Record):
    """result.json."""

    schema_: Literal["chaoskit.result/1"] = Field(default="chaoskit.result/1", alias="schema")
    run_id: str
    experiment: ExperimentRef
    lab: LabRef
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    started: str
    ended: str
    seed: int
    environment: dict[str, Any] = {}
    trials: tuple[TrialResult, ...] = ()
    summary: dict[str, Summary] = {}
    losses: PooledLosses | None = None
    """The ledgers of all trials together."""
    yearly: YearlyDowntime | None = None
    """Where a failure rate was stated."""
    objectives: tuple[ObjectiveOutcome, ...] = ()
    predicted_rto_s: tuple[float, float] | None = None
    game_day: GameDay | None = None
    """What people brought and noted, where they did."""
    undo: UndoSummary = UndoSummary()
    incomplete: str | None = None
    """Why the run ended early, where it did."""
    stopped: str | None = None
    """Why fewer trials than planned were enough, where the experiment stops when its question is decided."""
