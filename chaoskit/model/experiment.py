"""An experiment: what was asked, as read from experiment.yaml. Chaos Toolkit's words where they fit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, Field

from chaoskit.model.lab import Identifier, Names
from chaoskit.model.record import OpenRecord, Record
from chaoskit.model.units import Bound, Duration, Fraction, Rate


def _share(value: Any) -> Bound:
    return Bound.parse(value, Fraction)


def _time(value: Any) -> Bound:
    return Bound.parse(value, Duration)


ShareBound = Annotated[Bound, BeforeValidator(_share)]
TimeBound = Annotated[Bound, BeforeValidator(_time)]


class LabChoice(Record):
    """Which lab, which variant of it, which settings changed."""

    path: str
    variant: str | None = None
    settings: dict[str, Any] = {}


def _lab(value: Any) -> Any:
    return {"path": value} if isinstance(value, str) else value


class Selector(Record):
    """Names targets. Several keys narrow each other down; `count` then takes that many, by the run's seed."""

    node: str | None = None
    nodes: Names = ()
    group: str | None = None
    role: str | None = None
    """Whoever holds this role when the fault is about to be injected."""
    count: Annotated[int, Field(ge=1)] | None = None
    all: bool = False
    """Every node of the lab."""

    def is_empty(self) -> bool:
        return not (self.node or self.nodes or self.group or self.role or self.all)


ClientClass = Literal["fresh", "pooled", "direct"]


class ClientSpec(OpenRecord):
    """A client. Further keys belong to its type."""

    type: str
    client_class: ClientClass = Field(
        default="fresh", validation_alias=AliasChoices("class", "client_class"), serialization_alias="class"
    )
    operation: str
    rate: Rate
    deadline: Duration = Duration(0.5)
    """W: an answer later than this after the intended instant is not ok."""
    endpoint: str | None = None
    target: str | None = None
    """`direct` class: the node asked, past every load balancer."""
    node: str | None = Field(default=None, validation_alias=AliasChoices("from", "node"), serialization_alias="from")
    """Where it runs; the lab's client node when left out."""
    probes: Annotated[int, Field(ge=1, le=200)] | None = None
    """Staggered probes that share the rate; chosen from the rate when left out."""
    in_flight: Annotated[int, Field(ge=1, le=10000)] = 200
    slo: Duration | None = None
    """An answer within W but later than this counts as degraded."""


class ClientSteady(Record):
    success: ShareBound
    period: Duration = Field(default=Duration(5.0), validation_alias=AliasChoices("for", "period"), serialization_alias="for")


class SteadyState(Record):
    """What is normal, stated before anything is broken."""

    clients: dict[str, ClientSteady] = {}
    roles: dict[str, int] = {}
    within: Duration = Duration(60.0)
    """How long it may take until it holds."""


class Action(Record):
    """One entry of `method`."""

    inject: str
    name: Identifier | None = None
    """For `after:`; the fault's own name when left out."""
    target: Selector = Selector()
    parameters: dict[str, Any] = Field(
        default={}, validation_alias=AliasChoices("with", "parameters"), serialization_alias="with"
    )
    at: Duration | None = None
    """After the clean baseline ended."""
    after: str | None = None
    """Name of an earlier action: starts once that one was healed."""
    phase: Duration = Duration(0)
    """A random extra wait up to this long, by the run's seed: the injection's place in the detector's period."""
    period: Duration | None = Field(default=None, validation_alias=AliasChoices("for", "period"), serialization_alias="for")
    """How long it is held; None: until the end of the trial's observation."""


class ClientAbort(Record):
    down_for: TimeBound


class AbortWhen(Record):
    clients: dict[str, ClientAbort] = {}


class Experiment(Record):
    """experiment.yaml."""

    title: str = Field(min_length=1, max_length=300)
    description: str = ""
    tags: tuple[str, ...] = ()
    configuration: dict[str, Any] = {}
    """Names for `${name}` in this file; `--set name=value` overrides."""
    secrets: dict[str, Any] = {}
    lab: Annotated[LabChoice, BeforeValidator(_lab)]
    clients: dict[Identifier, ClientSpec] = {}
    steady_state_hypothesis: SteadyState = Field(default=SteadyState(), alias="steady-state-hypothesis")
    baseline: Duration = Duration(30.0)
    """Clean operation before the first fault. Shorter than 30 s is allowed, and printed."""
    method: tuple[Action, ...] = Field(min_length=1)
    rollbacks: tuple[Action, ...] = ()
    recovery: Duration = Duration(60.0)
    """How long clients may take to be back after the last heal before the RTO is censored."""
    objectives: dict[str, Any] = {}
    """Objective -> limit; each belongs to a measure."""
    abort_when: AbortWhen = Field(default=AbortWhen(), alias="abort-when")
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    seed: int | None = None
