"""A run as the index of a folder of run directories keeps it, and what several of them show over time."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaoskit.model.over_trials import Summary
from chaoskit.model.record import Record
from chaoskit.model.result import Verdict

RunState = Literal["judged", "running", "dead", "unjudged", "unreadable"]
"""running: its chaoskit lives; dead: it was killed, and not recovered yet; unreadable: `reason` says what cannot be read."""
Outcome = Literal["passed", "failed", "unknown", "running", "dead", "unjudged", "unreadable"]
"""The verdict; where there is none, the state."""


class TrialFigure(Record):
    """One figure of one trial, as far as trends need it."""

    trial: int
    point: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "s"
    censored: bool = False
    valid: bool = True
    reasons: tuple[str, ...] = ()
    text: str = ""


class IndexedRun(Record):
    name: str
    """Of its directory."""
    state: RunState
    reason: str = ""
    """Why it has no verdict."""
    run_id: str = ""
    title: str = ""
    path: str = ""
    """Of the experiment's file."""
    sha256: str = ""
    """Of the experiment's file."""
    question: str = ""
    """Digest of everything that was asked of every trial (experiment, lab, settings, backend): runs with the same are alike."""
    lab: str = ""
    variant: str = ""
    backend: str = ""
    mode: str = ""
    verdict: Verdict | None = None
    reasons: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    started: str = ""
    ended: str = ""
    started_s: float = 0.0
    """Since 1970, for sorting; from the directory's own time where the run says nothing."""
    seed: int | None = None
    trials: int = 0
    figures: dict[str, tuple[TrialFigure, ...]] = {}
    """As the keys of `summary` in result.json: rto, lost, rpo_window ..."""
    predicted_rto_s: tuple[float, float] | None = None
    incomplete: str | None = None
    stopped: str | None = None
    """Why fewer trials than planned were enough."""
    owes: tuple[str, ...] = ()
    """What is still broken."""
    machine: dict[str, str] = {}
    """What it ran on: chaoskit, kernel, machine, system, cpus."""
    has_report: bool = False

    @property
    def outcome(self) -> Outcome:
        """The verdict, or why there is none."""
        return (
            self.verdict
            if self.state == "judged" and self.verdict is not None
            else "unjudged"
            if self.state == "judged"
            else self.state
        )

    @property
    def is_named(self) -> bool:
        """Whether somebody chose the directory's name (`--out`): runs name theirs after their id."""
        return bool(self.run_id) and self.name != self.run_id


class TrendPoint(Record):
    """One figure of one run: of a single trial as it was measured, of several their median and all that they cover."""

    run: str
    started: str
    outcome: Outcome
    question: str
    n: int
    """Trials with a valid figure."""
    trials: int
    point: float | None = None
    low: float | None = None
    high: float | None = None
    """None: infinite where a trial is censored, else unknown."""
    unit: str = "s"
    censored: int = 0
    """Trials that never recovered while anybody looked."""
    invalid: tuple[str, ...] = ()
    """Why trials have no valid figure."""
    text: str
    has_report: bool = False


class Pooled(Record):
    """Runs that asked the same of the same, their trials taken together."""

    runs: tuple[str, ...]
    summary: Summary
    text: str = ""
    doubts: tuple[str, ...] = ()
    """What may make them one sample less than it seems."""
    left_out: tuple[str, ...] = ()
    """Runs that are not in it, with the reason."""


class Trend(Record):
    """A figure of one experiment over time, oldest first."""

    schema_: Literal["chaoskit.trend/1"] = Field(default="chaoskit.trend/1", alias="schema")
    experiment: str
    path: str
    figure: str
    unit: str
    points: tuple[TrendPoint, ...] = ()
    predicted_s: tuple[float, float] | None = None
    """As the newest run predicted it."""
    pooled: Pooled | None = None


class Baseline(Record):
    """Runs that later ones are held against, under a name."""

    runs: tuple[str, ...]
    """Names of run directories."""
    set_at: str
    experiment: str
    tolerance: str | None = None
    """How much worse is still the same, where nothing else is said when comparing."""


class Baselines(Record):
    """baselines.json."""

    schema_: Literal["chaoskit.baselines/1"] = Field(default="chaoskit.baselines/1", alias="schema")
    baselines: dict[str, Baseline] = {}
