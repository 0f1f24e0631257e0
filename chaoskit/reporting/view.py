"""What sections see: one recorded run, read and arranged, ready to be shown. Sections read no files of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from chaoskit.model.figures import RoleInterval
from chaoskit.model.result import Result, TrialResult

Int = NDArray[np.int64]
Float = NDArray[np.float64]

OK, DEGRADED, DOWN, INVALID = 0, 1, 2, 3
"""What an attempt was to its user; INVALID: tainted or never sent, so that it says nothing."""
STATE_NAMES = ("ok", "degraded", "down", "invalid")


@dataclass(frozen=True, slots=True)
class ErrorText:
    """One error message of a client and how often it came."""

    outcome: str
    message: str
    count: int


@dataclass(frozen=True, slots=True, eq=False)
class ClientSeries:
    """One client's attempts in one trial, sorted by time. Seconds after the end of the baseline."""

    name: str
    client_class: str
    operation: str
    target: str
    deadline_s: float | None
    """W."""
    slo_s: float | None
    is_ledger: bool
    """Its acknowledged writes must survive."""
    t_s: Float
    """Intended instants."""
    latency_s: Float
    """Answer, error or deadline minus the intended instant; NaN where it was never sent."""
    state: NDArray[np.int8]
    outcome: NDArray[np.int8]
    """Index into `model.history.OUTCOMES`; LATE stands for an answer beyond W."""
    acknowledged_s: Float
    """Instants at which ledger writes were acknowledged."""
    messages: tuple[ErrorText, ...] = ()


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """An event with its place on the time line."""

    number: int
    """From 1, over the whole run."""
    trial: int | None
    t_s: float | None
    """None where the trial has no time 0."""
    wall: str
    kind: str
    source: str
    text: str
    """One sentence for people."""
    is_key: bool
    """Worth a mark on the time line."""
    style: str
    """For the style sheet: the kind, empty where it is none of the known ones."""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FaultSpan:
    """When a fault was there, for shading. Seconds after the end of the baseline."""

    label: str
    """Such as "node.power_off on db1"."""
    from_s: float
    until_s: float | None
    """None: it was still there at the end."""
    effective_s: float | None
    verified: bool


@dataclass(frozen=True, slots=True, eq=False)
class TrialView:
    """One trial: its figures, and what was recorded to draw them from."""

    result: TrialResult
    measured: bool
    """False where result.json has no such trial (the run ended early) and only recorded evidence is shown."""
    from_s: float
    """Where the time line begins and ends."""
    until_s: float
    recorded_from_s: float
    zero_is: str
    """What time 0 is, for people."""
    faults: tuple[FaultSpan, ...]
    clients: tuple[ClientSeries, ...]
    roles: tuple[RoleInterval, ...]
    events: tuple[TimedEvent, ...]

    @property
    def name(self) -> str:
        return f"trial {self.result.index}"


@dataclass(frozen=True, slots=True)
class LogExcerpt:
    """Lines of one log file around the fault, or its end."""

    path: str
    lines: tuple[str, ...]
    left_out: int
    """Lines of the file not shown."""
    about: str
    """Which part this is, for people."""


class Templates(Protocol):
    """Renders one of the report's templates with autoescape on."""

    def __call__(self, name: str, /, **values: Any) -> Markup: ...


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """The whole run."""

    result: Result
    plan: Mapping[str, Any]
    """plan.json as it lies there; empty where there is none."""
    trials: tuple[TrialView, ...]
    events: tuple[TimedEvent, ...]
    """Every event of the run, in order."""
    logs: tuple[LogExcerpt, ...]
    notes: tuple[str, ...]
    """What could not be read of the run directory, and so is missing here."""
    template: Templates
    """For sections: render one of the report's own templates."""

    @property
    def is_repeated(self) -> bool:
        return len(self.trials) > 1

    def clients_of_plan(self) -> Mapping[str, Mapping[str, Any]]:
        """The experiment's clients as plan.json has them; empty where there is no plan."""
        found = (self.plan.get("experiment") or {}).get("clients")
        return found if isinstance(found, dict) else {}


class Section(Protocol):
    """A part of the report, from any package, by the entry points `chaoskit.sections`."""

    name: str
    """Also its anchor."""
    title: str
    order: int

    def html(self, view: View) -> Markup:
        """Empty where there is nothing to say. Text from outside must go through Jinja2's or MarkupSafe's escape."""

    def markdown(self, view: View) -> str:
        """The same content, without its heading; empty where there is nothing to say."""


SectionMaker = Callable[[], Section]
