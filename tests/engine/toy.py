"""A small lab and experiment, and a registry with a few entries: enough to load and plan against, whatever is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from chaoskit.engine.registry import unknown_name
from chaoskit.model.capability import NETWORK_CUT, NODE_POWER, VOLUME_LOSE_UNSYNCED, Capability, Need, Survey
from chaoskit.model.errors import InputError
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import Check
from chaoskit.model.lab import LabSpec
from chaoskit.model.record import Record
from chaoskit.model.steps import CutLinks, JoinLinks, Link, PowerOff, PowerOn, Signal, Step
from chaoskit.model.units import Bound, Duration
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.process_match import ProcessMatch

LAB = """\
name: pair
nodes:
  db: {count: 3, volumes: {data: {size: 64MiB}}, services: [store, proxy]}
  app: {}
clients: app
settings: {ttl: 20s, loop_wait: 2s, port: 5432}
services:
  proxy:
    command: [proxy, "--to={{ address }}:{{ settings.port }}"]
    needs: store
  store:
    command: [store, --name, "{{ node }}", --data, "{{ volumes.data }}"]
    files:
      /etc/store.conf: {content: "ttl {{ settings.ttl | seconds }}\\n", mode: "0600"}
      /etc/peers.conf: templates/peers.conf
    ready: {tcp: 5432}
roles:
  primary: {http: "http://{{ address }}:8008/primary"}
  replica: {http: "http://{{ address }}:8008/replica"}
leader: primary
endpoints:
  write: {kind: sql, hosts: db, port: 5432, database: shop}
  web: {kind: web, hosts: [db1, db2], port: 80}
ready: {roles: {primary: 1, replica: 2}, within: 30s}
predict: {rto: [ttl - loop_wait, ttl + loop_wait + 2s]}
variants:
  slow: {settings: {ttl: 60s}}
"""
PEERS = "{% for p in peers %}\n{{ p.name }} {{ p.address }}\n{% endfor %}\n"

EXPERIMENT = """\
title: The primary loses power
description: What it costs.
tags: [toy]
configuration: {rate: 100/s, hold: 20s}
lab: lab
clients:
  orders: {type: sql, class: fresh, operation: append, rate: "${rate}", deadline: 500ms, endpoint: write}
  readers: {type: sql, class: pooled, operation: read, rate: 50/s, endpoint: write, pool: 5}
steady-state-hypothesis:
  clients: {orders: {success: ">= 99.9%", for: 5s}}
  roles: {primary: 1}
baseline: 30s
method:
  - inject: power
    target: {role: primary}
    at: 10s
    for: ${hold}
  - inject: cut
    name: later
    target: {node: db2}
    after: power
    with: {side: {group: app}}
    for: 5s
objectives: {rto: "<= 30s"}
abort-when: {clients: {orders: {down_for: ">= 120s"}}}
repeat: 2
"""


class Power(Fault):
    """Cut a node's power."""

    NAME = "power"
    OUTAGE = "a tripped breaker"
    EXAMPLE: ClassVar[Mapping[str, Any]] = {"inject": "power", "target": {"role": "primary"}, "at": "1s", "for": "2s"}

    loud: bool = False
    """Connections close."""

    def needs(self) -> tuple[Need, ...]:
        return (
            Need(capability=NODE_POWER, why="to end every process"),
            Need(capability=VOLUME_LOSE_UNSYNCED, why="to lose data", required=False),
        )

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"power:{n}" for n in nodes)

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(PowerOff(node=n, silent=not self.loud) for n in facts.nodes)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(PowerOn(node=n) for n in facts.nodes)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return ()


class Cut(Fault):
    """Cut a node off from a side."""

    NAME = "cut"
    OUTAGE = "a failed switch"
    EXAMPLE: ClassVar[Mapping[str, Any]] = {"inject": "cut", "target": {"role": "primary"}, "with": {"side": {"group": "app"}}}

    side: Selector
    """The other side."""
    network: str | None = None
    """One network."""
    delay: Duration = Duration(0)
    """Wait."""

    def needs(self) -> tuple[Need, ...]:
        return (Need(capability=NETWORK_CUT, why="to drop frames"),)

    def claims(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"links:{n}" for n in nodes)

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        return super().prepare(scene, nodes, tag).model_copy(update={"sides": (tuple(nodes), scene.resolve(self.side))})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        links = tuple(Link(source=a, destination=b) for a in facts.sides[0] for b in facts.sides[1])
        return (CutLinks(tag=facts.tag, links=links, network=self.network),)

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return (JoinLinks(tag=facts.tag),)

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return ()


class Kill(Fault):
    """Kill a process."""

    NAME = "kill"
    OUTAGE = "a crash"
    ONE_SHOT = True
    EXAMPLE: ClassVar[Mapping[str, Any]] = {"inject": "kill", "target": {"node": "db1"}, "with": {"process": {"name": "store"}}}

    process: ProcessMatch

    def needs(self) -> tuple[Need, ...]:
        return ()

    def prepare(self, scene: Scene, nodes: Sequence[str], tag: str) -> Facts:
        found = {n: tuple(p.ref for p in self.process.found(n, scene.read)) for n in nodes}
        return super().prepare(scene, nodes, tag).model_copy(update={"processes": found})

    def inject(self, facts: Facts) -> tuple[Step, ...]:
        return tuple(Signal(node=n, processes=refs, signal="KILL") for n, refs in facts.processes.items())

    def heal(self, facts: Facts) -> tuple[Step, ...]:
        return ()

    def effect(self, facts: Facts) -> tuple[Check, ...]:
        return ()


class SqlOptions(Record):
    pool: int = Field(default=10, ge=1)
    """Connections."""
    password: str = ""
    ledger: str = ""


class SqlEndpoint(Record):
    database: str = "postgres"
    """Which database."""


class Sql:
    """SQL."""

    TYPE = "sql"
    OPERATIONS: ClassVar = {"append": "insert a token", "newest": "the newest token", "read": "select"}
    CLASSES = ("fresh", "pooled", "direct")
    LEDGER = frozenset({"append"})
    Options = SqlOptions
    EndpointOptions = SqlEndpoint


class Nothing(Record):
    """No keys."""


class Web:
    """HTTP."""

    TYPE = "web"
    OPERATIONS: ClassVar = {"get": "GET a path"}
    CLASSES = ("fresh", "direct")
    LEDGER: ClassVar[frozenset[str]] = frozenset()
    Options = Nothing
    EndpointOptions = Nothing


class Rto:
    """How long users were down."""

    name = "rto"
    example = '"<= 30s"'

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        Bound.parse(limit, Duration)


def survey(*names: str) -> Survey:
    """A backend that can do `names`, or everything the toy faults need."""
    able = names or (NODE_POWER, NETWORK_CUT, VOLUME_LOSE_UNSYNCED)
    lacking = tuple(n for n in (NODE_POWER, NETWORK_CUT, VOLUME_LOSE_UNSYNCED) if n not in able)
    return Survey(
        backend="toy",
        mode="tested",
        capabilities=(
            *(Capability(name=n, present=True) for n in able),
            *(Capability(name=n, present=False, reason=f"install {n}-tools") for n in lacking),
        ),
    )


class ToyBackend:
    name = "toy"

    def survey(self, lab: LabSpec) -> Survey:
        return survey()


class ToyRegistry:
    """Looks like the registry."""

    def __init__(self) -> None:
        self.groups: dict[str, dict[str, Any]] = {
            "faults": {"power": Power, "cut": Cut, "kill": Kill},
            "clients": {"sql": Sql, "web": Web},
            "objectives": {"rto": Rto},
            "backends": {"toy": ToyBackend},
        }

    def names(self, group: str) -> tuple[str, ...]:
        return tuple(sorted(self.groups[group]))

    def load(self, group: str, name: str) -> Any:
        if name not in self.groups[group]:
            raise InputError([unknown_name(group, name, self.names(group))])
        return self.groups[group][name]

    def all(self, group: str) -> Mapping[str, Any]:
        return dict(sorted(self.groups[group].items()))


def written(folder: Path, experiment: str = EXPERIMENT, lab: str = LAB) -> Path:
    """The experiment's file, with the lab beside it."""
    (folder / "lab" / "templates").mkdir(parents=True, exist_ok=True)
    (folder / "lab" / "lab.yaml").write_text(lab)
    (folder / "lab" / "templates" / "peers.conf").write_text(PEERS)
    path = folder / "experiment.yaml"
    path.write_text(experiment)
    return path
