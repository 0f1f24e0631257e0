"""An experiment: what was asked, as read from experiment.yaml. Chaos Toolkit's words where they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, BeforeValidator, ConfigDict, Field, model_validator

from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.condition import Condition, Probe
from chaoskit.model.game_day import GameDay
from chaoskit.model.lab import Identifier
from chaoskit.model.names import Names
from chaoskit.model.policy import NamedPolicy, RetryPolicy
from chaoskit.model.record import OpenRecord, Record
from chaoskit.model.units import Bound, Duration, Fraction, Rate


def _share(value: Any) -> Bound:
    return Bound.parse(value, Fraction)


def _time(value: Any) -> Bound:
    return Bound.parse(value, Duration)


ShareBound = Annotated[Bound, BeforeValidator(_share)]
TimeBound = Annotated[Bound, BeforeValidator(_time)]


def _amount(value: Any) -> Bound:
    """A limit on a time, or on a count."""
    try:
        return Bound.parse(value, Duration)
    except ValueError:
        return Bound.parse(value, None)


AmountBound = Annotated[Bound, BeforeValidator(_amount)]


class LabChoice(Record):
    """Which lab, which variant of it, which settings changed."""

    path: str
    """A folder with lab.yaml, or such a file, relative to the experiment."""
    variant: str | None = None
    """One of the lab's `variants`."""
    settings: dict[str, Any] = {}
    """Laid over the lab's own settings; only those that it has."""


INLINE_LABS = ("compose", "containers")
"""What a lab that stands in the experiment itself is made of."""


class InlineLab(LabChoice):
    """The lab itself, of a Compose file or of containers that run already; the keys beside are those of lab.yaml."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True, validate_default=True)
    path: str = ""


def _lab(value: Any) -> Any:
    if isinstance(value, dict) and "path" not in value and any(name in value for name in INLINE_LABS):
        return InlineLab.model_validate({key: one for key, one in value.items() if key != "settings"})
    return {"path": value} if isinstance(value, str) else value


class Selector(Record):
    """Names targets. Several keys narrow each other down; `count` then takes that many, by the run's seed."""

    node: str | None = None
    """One node."""
    nodes: Names = ()
    """Several nodes."""
    group: str | None = None
    """Every node of a group of the lab."""
    role: str | None = None
    """Whoever holds this role when the fault is about to be injected."""
    of: str | None = None
    """The nodes that an earlier action of the method hit."""
    not_of: str | None = None
    """Every node but those that an earlier action hit."""
    count: Annotated[int, Field(ge=1)] | None = None
    """So many of them, drawn by the run's seed; all where left out."""
    all: bool = False
    """Every node of the lab."""

    def is_empty(self) -> bool:
        return not (self.node or self.nodes or self.group or self.role or self.of or self.not_of or self.all)


NEWEST_OPERATION = "newest"
"""Of every client type that can: reads the newest write of another client's ledger, which its key `ledger` names."""

ClientClass = Literal["fresh", "pooled", "direct"]


class ClientSpec(OpenRecord):
    """A client. Further keys belong to its type."""

    type: str
    """The protocol: `chaoskit clients` lists them."""
    client_class: ClientClass = Field(
        default="fresh", validation_alias=AliasChoices("class", "client_class"), serialization_alias="class"
    )
    """`fresh`: a new connection for each attempt; `pooled`: a driver with its pool; `direct`: one node asked directly."""
    operation: str
    """What each attempt does; belongs to the type."""
    rate: Rate
    """Attempts per time over all its probes, sent at instants fixed in advance."""
    deadline: Duration = Duration(0.5)
    """W: an answer later than this after the intended instant is not ok. With a policy, each attempt's own time-out."""
    endpoint: str | None = None
    """One of the lab's endpoints (classes `fresh` and `pooled`)."""
    target: str | None = None
    """`direct` class: the node asked, past every load balancer."""
    places: Names = Field(default=(), validation_alias=AliasChoices("from", "node", "places"), serialization_alias="from")
    """Where it runs: a node, or several, each with probes of the full rate; the lab's client node when left out."""
    probes: Annotated[int, Field(ge=1, le=200)] | None = None
    """Staggered probes that share the rate; chosen from the rate when left out."""
    in_flight: Annotated[int, Field(ge=1, le=10000)] = 200
    """Attempts under way at once, at most; one that finds no room is recorded as not sent."""
    slo: Duration | None = None
    """An answer within W but later than this counts as degraded."""
    policy: RetryPolicy | None = None
    """What it does about errors. Left out, each request is one attempt: such clients measure outages, retrying ones hide them."""
    policies: dict[Identifier, NamedPolicy] = {}
    """Several policies side by side: each becomes a client of its own, named `CLIENT-POLICY`, with the same load."""

    @model_validator(mode="after")
    def _one_way(self) -> ClientSpec:
        if self.policy is not None and self.policies:
            raise ValueError("a client has one policy or several policies, not both")
        return self

    @property
    def request_deadline(self) -> Duration:
        """How long one request may take, retries included; W for clients without a policy."""
        return self.deadline if self.policy is None else Duration(self.policy.patience_ns(self.deadline.ns) / 1e9)


@dataclass(frozen=True, slots=True)
class Prober:
    """A client at one of its vantages: a process of its own, with samples, tokens and figures under `label`."""

    label: str
    """The client's name; `name@vantage` where it has several vantages."""
    client: str
    spec: ClientSpec
    place: str | None
    """None: the lab's client node."""


VANTAGE_MARK = "@"
"""No client's name has it."""


def client_of(label: str) -> str:
    """The client that a prober's label belongs to."""
    return label.partition(VANTAGE_MARK)[0]


def probers(clients: Mapping[str, ClientSpec]) -> dict[str, Prober]:
    """Label -> prober, in the order of the file."""
    made = {}
    for name, spec in clients.items():
        for place in spec.places or (None,):
            label = name if len(spec.places) < 2 else f"{name}{VANTAGE_MARK}{place}"
            made[label] = Prober(label, name, spec, place)
    return made


class ClientSteady(Record):
    success: ShareBound
    """The share of attempts that must be ok."""
    period: Duration = Field(default=Duration(5.0), validation_alias=AliasChoices("for", "period"), serialization_alias="for")
    """For how long without a break."""


class SteadyState(Record):
    """What is normal, stated before anything is broken."""

    clients: dict[str, ClientSteady] = {}
    """Client -> what is normal for it."""
    roles: dict[str, int] = {}
    """Role -> how many nodes hold it."""
    within: Duration = Duration(60.0)
    """How long it may take until it holds."""


class Action(Record):
    """One entry of `method`."""

    inject: str
    """The fault: `chaoskit faults` lists them."""
    name: Identifier | None = None
    """For `after:`; the fault's own name when left out."""
    target: Selector = Selector()
    """Where it is injected."""
    parameters: dict[str, Any] = Field(
        default={}, validation_alias=AliasChoices("with", "parameters"), serialization_alias="with"
    )
    """The fault's parameters."""
    at: Duration | None = None
    """After the clean baseline ended."""
    after: str | None = None
    """Name of an earlier action: starts once that one was healed."""
    during: str | None = None
    """Name of an earlier action: starts once that one was injected, and does not wait for its end."""
    when: Condition | None = None
    """What it waits for from then on. Where that does not happen within `within`, it is not injected, and the verdict is
    unknown."""
    within: Duration | None = None
    """How long it waits for `when`; as long as `recovery` when left out."""
    delay: Duration = Duration(0)
    """A fixed extra wait once its time has come."""
    phase: Duration = Duration(0)
    """A random extra wait up to this long, by the run's seed: the injection's place in the detector's period."""
    period: Duration | None = Field(default=None, validation_alias=AliasChoices("for", "period"), serialization_alias="for")
    """How long it is held, at most where there is an `until`. Left out: until the clients are back, at most `recovery`."""
    until: Condition | None = None
    """It is healed as soon as this holds."""
    times: Annotated[int, Field(ge=1, le=100)] = 1
    """So many injections of it, each with its own heal, named `x`, `x-2`, `x-3` ..."""
    every: Duration | None = None
    """From the start of one repetition to the start of the next. Left out, with `when`: each waits for it anew."""
    stagger: Duration | None = None
    """Several nodes are hit one after another, this far apart, each as an injection of its own."""


class ClientAbort(Record):
    """When a client has suffered enough, from the end of the baseline on."""

    down_for: TimeBound | None = None
    """Without any success for so long."""
    success: ShareBound | None = None
    """The share of its attempts that were ok, such as "< 50%"."""
    over: Duration = Duration(10.0)
    """The time that `success` counts over."""

    @model_validator(mode="after")
    def _says_when(self) -> ClientAbort:
        if self.down_for is None and self.success is None:
            raise ValueError("say when it is too much: down_for, or success")
        return self


class AbortWhen(Record):
    """Any of these heals everything, and then ends the run. So does SIGUSR1."""

    clients: dict[str, ClientAbort] = {}
    """Client -> when it is too much."""
    file: Names = ()
    """A file that appears on the machine chaoskit runs on, or one of several; relative ones lie in the run directory."""
    probes: tuple[Probe, ...] = ()
    """Commands; one that exits with anything but 0, or cannot be run in time, ends the run."""

    def is_empty(self) -> bool:
        return not (self.clients or self.file or self.probes)


class QuantileObjective(Record):
    """What is promised of most trials, with a stated confidence, such as "p95 <= 30s"."""

    figure: str = "rto"
    """`rto` (the worst fresh client of each trial), `rto:<client>`, `rpo_window`, `lost` or `flaps`."""
    quantile: Fraction
    """The share of failovers that keep the limit: 95% is the p95."""
    limit: AmountBound
    """From above: a duration, or a count for `lost` and `flaps`."""
    confidence: Fraction = Fraction(0.95)
    """How sure it must be. p95 with 95 % takes 59 trials that all keep the limit, 93 with one that does not."""

    @model_validator(mode="after")
    def _is_a_tail(self) -> QuantileObjective:
        if not 0.5 <= float(self.quantile) < 1:
            raise ValueError("a quantile lies between 50% and below 100%: no number of trials shows what holds always")
        if not 0.5 <= float(self.confidence) < 1:
            raise ValueError("a confidence lies between 50% and below 100%: no number of trials is certain")
        if self.limit.operator not in ("<=", "<"):
            raise ValueError("smaller is better here: write a limit from above, such as '<= 30s'")
        return self

    @property
    def name(self) -> str:
        """`p95`, `p99.9`."""
        return f"p{float(self.quantile) * 100:.10g}"


class WatcherSpec(OpenRecord):
    """A watcher of an installed package. Further keys belong to its type."""

    type: str
    """Its name among the installed ones."""


class Watch(Record):
    """What is watched besides what the lab names."""

    watchers: dict[Identifier, WatcherSpec] = {}
    """Name -> a watcher that an installed package brings; see docs/extending/watcher.md."""

    addresses: dict[Identifier, str] = {}
    """Name -> IPv4 address of a network of the lab: who answers for it, and who announces it, on the wire. Of an IPv6 address
    only announcements are seen."""


class Experiment(Record):
    """experiment.yaml."""

    title: str = Field(min_length=1, max_length=300)
    """What happens, as a headline; the report's title."""
    description: str = ""
    """What is expected, and why it matters."""
    tags: tuple[str, ...] = ()
    """Words to find it by."""
    configuration: dict[str, Any] = {}
    """Names for `${name}` in this file; `--set name=value` overrides."""
    secrets: dict[str, Any] = {}
    """Names for `${name}` whose values come from `{type: env, key: NAME}` or `{type: file, path: ...}`; never written down."""
    lab: Annotated[LabChoice, BeforeValidator(_lab)]
    """A path alone, or a path with a variant and settings."""
    clients: dict[Identifier, ClientSpec] = {}
    """Name -> who keeps using the cluster meanwhile."""
    watch: Watch = Watch()
    """What is watched besides the roles and addresses that the lab names."""
    steady_state_hypothesis: SteadyState = Field(default=SteadyState(), alias="steady-state-hypothesis")
    """What must hold before anything is broken."""
    baseline: Duration = Duration(30.0)
    """Clean operation before the first fault. Shorter than 30 s is allowed, and printed."""
    method: tuple[Action, ...] = Field(min_length=1)
    """What is broken, and when."""
    rollbacks: tuple[Action, ...] = ()
    """Refused: every fault is undone by its own heal, and what else must be put back is the `undo` of a fault `run`."""
    recovery: Duration = Duration(60.0)
    """How long clients may take to be back after the last heal before the RTO is censored."""
    objectives: dict[str, Any] = {}
    """Objective -> limit; each belongs to a measure."""
    over_trials: tuple[QuantileObjective, ...] = Field(default=(), alias="over-trials")
    """What must hold of a quantile over all trials; judged once, besides `objectives`, which hold in each."""
    failures_per_year: Annotated[float, Field(gt=0, le=1e6)] | None = Field(default=None, alias="failures-per-year")
    """How often this happens; with the mean RTO it gives the yearly downtime."""
    availability_target: Fraction | None = Field(default=None, alias="availability-target")
    """Such as 99.99%: the error budget that the yearly downtime is held against. It decides no verdict."""
    abort_when: AbortWhen = Field(default=AbortWhen(), alias="abort-when")
    """When to give up before the end."""
    blast_radius: BlastRadius = Field(default=BlastRadius(), alias="blast-radius")
    """What may be broken at once at most, and what never; together with the lab's own."""
    repeat: Annotated[int, Field(ge=1, le=1000)] = 1
    """Trials, each with a fresh lab; on a lab that is up already (`run --on`) with one that is verified to be restored."""
    injection_phase: Duration | None = Field(default=None, alias="injection-phase")
    """Each trial's method begins a random time later, up to this long. Left out: with several trials, and where no action has a
    `phase` of its own, the lab's `detector_period`, or 1s where it states none; 0s: never."""
    stop_when: Literal["decided"] | None = Field(default=None, alias="stop-when")
    """`decided`: no more trials once the verdict is settled, whatever they would give. Left out: all of them."""
    seed: int | None = None
    """Decides every draw; chosen anew, and recorded, where left out."""
    game_day: GameDay | None = Field(default=None, alias="game-day")
    """Why people run it together, who they are, and what they take from it. It changes nothing that is done."""
