"""What a fault looks like from outside."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from chaoskit.model.capability import Need
from chaoskit.model.drain import DrainPlan
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check, Connection, ProcessesQuery, Query, Reading
from chaoskit.model.files import FileState
from chaoskit.model.lab import LabSpec
from chaoskit.model.record import Record
from chaoskit.model.steps import Link, ProcessRef, StartService, Step


class Scene(Protocol):
    """What a fault may look at while it prepares. Reads only."""

    @property
    def nodes(self) -> Sequence[str]:
        """Every node of the lab."""

    @property
    def observers(self) -> Sequence[str]:
        """Nodes that clients run in."""

    def groups(self) -> Mapping[str, Sequence[str]]: ...

    def read(self, query: Query) -> Reading: ...

    def resolve(self, selector: Selector) -> tuple[str, ...]:
        """Nodes for a selector, right now. StepFailed where a role has no holder."""

    def networks_of(self, node: str) -> Sequence[str]: ...

    def address_of(self, node: str, network: str) -> str: ...

    def shuffled(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """In an order that the run's seed decides."""

    def drain_of(self, node: str) -> DrainPlan | None:
        """How the lab says that this node is drained."""


class ProcessLimit(Record):
    """A limit of one process, before and in force. -1: none."""

    process: ProcessRef
    soft: int
    hard: int
    lowered: int
    """The soft limit while the fault holds."""


class Facts(Record):
    """What was there before: all that inject, heal and effect may depend on. Survives JSON."""

    tag: str
    """Unique to this injection; names its cuts and rules."""
    nodes: tuple[str, ...]
    """The target."""
    others: tuple[str, ...] = ()
    """Every other node of the lab."""
    observers: tuple[str, ...] = ()
    processes: dict[str, tuple[ProcessRef, ...]] = {}
    services: dict[str, tuple[str, ...]] = {}
    files: dict[str, FileState] = {}
    """Node -> the file as it was before."""
    changed_files: dict[str, FileState] = {}
    """Node -> the file as the fault makes it."""
    limits: dict[str, tuple[ProcessLimit, ...]] = {}
    """Node -> limits of its processes."""
    quotas: dict[str, float | None] = {}
    """Node -> what it might use before; None: no limit."""
    lowered_quotas: dict[str, float] = {}
    """Node -> what it may use while the fault holds."""
    drains: dict[str, DrainPlan] = {}
    """Node -> how it is drained."""
    sides: tuple[tuple[str, ...], ...] = ()
    connections: dict[str, tuple[Connection, ...]] = {}
    """Node -> its established TCP connections that are meant."""
    probe: str = ""
    """What the evidence asks for, such as a name."""
    records: dict[str, str] = {}
    """What was recorded before, under names of the fault's own."""
    cut: tuple[Link, ...] = ()
    """Links that are to be cut."""
    kept: tuple[Link, ...] = ()
    """Links that must go on working."""
    shared: dict[str, tuple[str, ...]] = {}
    """Node -> the nodes it shares a network with."""


class Fault(Record, ABC):
    """A fault: its fields are its parameters, its schema and their documentation.

    The docstring's first line says what it does. Registered through the entry points `chaoskit.faults`.
    """

    NAME: ClassVar[str]
    """family.what, such as node.power_off."""
    OUTAGE: ClassVar[str]
    """The real outage it stands for."""
    ONE_SHOT: ClassVar[bool] = False
    """True: nothing stays in force after injection (a kill); heal only makes good what it broke."""
    EXAMPLE: ClassVar[Mapping[str, Any]]
    """An entry of `method` that uses it."""

    @abstractmethod
    def needs(self) -> tuple[Need, ...]:
        """Capabilities, checked when planning."""

    def misfits(self, lab: LabSpec, nodes: Sequence[str]) -> Iterator[str]:
        """Why this cannot be done in this lab, checked before anything starts: what is wrong, and what to write instead.

        `nodes`: all that the target may ever be."""
        return iter(())

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        """Things no other fault may hold at the same time, such as "power:db1"."""
        return ()

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        """Reads what was there before. StepFailed where the fault cannot be restored or has nothing to hit."""
        return Facts(
            tag=tag,
            nodes=tuple(nodes),
            others=tuple(n for n in scene.nodes if n not in nodes),
            observers=tuple(n for n in scene.observers if n not in nodes),
            shared={
                n: tuple(m for m in scene.nodes if m != n and set(scene.networks_of(n)) & set(scene.networks_of(m)))
                for n in nodes
            },
        )

    @abstractmethod
    def inject(self, facts: Facts) -> tuple[Step, ...]:
        """Pure."""

    @abstractmethod
    def heal(self, facts: Facts) -> tuple[Step, ...]:
        """Pure and idempotent: harmless twice, and harmless without inject."""

    @abstractmethod
    def effect(self, facts: Facts) -> tuple[Check, ...]:
        """Pure: how to see that it bites, and that it is gone."""


def services_running(node: str, read: Callable[[Query], Reading]) -> tuple[str, ...]:
    """The lab's services that run on a node, by name: what a heal must leave running."""
    return tuple(sorted({p.service for p in read(ProcessesQuery(node=node)).processes if p.service is not None}))


def services_started(facts: Facts) -> tuple[StartService, ...]:
    """Heal: start the services of the facts that do not run."""
    return tuple(StartService(node=n, service=s) for n in facts.nodes for s in facts.services.get(n, ()))
