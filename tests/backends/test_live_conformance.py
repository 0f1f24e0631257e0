"""Every registered fault on a real lab: not seen before, seen in force, gone after healing, and nothing left behind."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any

import pytest

from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.engine.injecting import GONE_WITHIN_S, seen_within
from chaoskit.engine.scene import LiveScene
from chaoskit.model.capability import Survey
from chaoskit.model.experiment import Action
from chaoskit.model.facts import Check, ServiceQuery
from chaoskit.model.lab import LabPlan, RoutePlan, VolumeSpec
from chaoskit.model.steps import STEP, Step
from chaoskit.ports.clock import Clock
from chaoskit.ports.fault import Fault
from tests.prior_state import at_rest, changes, prior_state

from . import plans

pytestmark = pytest.mark.lab

FAULTS: dict[str, type[Fault]] = {point.name: point.load() for point in entry_points(group="chaoskit.faults")}
NODES = ("n0", "n1", "n2")
PORT = 8000
FITTED: dict[str, Any] = {
    "process": {"service": "web"},
    "service": "web",
    "ports": (PORT,),
    "volume": "data",
    "owner": {"node": "n1"},
}
"""Parameters of the faults' own examples that name what this lab has not."""


class WallClock(Clock):
    def monotonic_ns(self) -> int:
        return time.monotonic_ns()

    def wall_ns(self) -> int:
        return time.time_ns()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


def fitted(kind: type[Fault], **changed: Any) -> Fault:
    given = dict(Action.model_validate(kind.EXAMPLE).parameters)
    return kind.model_validate(given | {name: value for name, value in FITTED.items() if name in given} | changed)


def scene(lab: NamespaceLab) -> LiveScene:
    return LiveScene(lab, lambda role: ("n0",) if role == "primary" else ("n1",), random.Random(1))


def holds(lab: NamespaceLab, checks: tuple[Check, ...], side: str, within_s: float) -> tuple[bool, list[dict[str, Any]]]:
    return seen_within(lab, checks, lambda c: getattr(c, side), within_s, WallClock(), nothing_is=side == "healed")


def perform(lab: NamespaceLab, steps: tuple[Step, ...]) -> None:
    for step in steps:
        lab.perform(STEP.validate_json(STEP.dump_json(step)))


def settled(question: Callable[[], Any], wanted: Any, within_s: float = 10.0) -> Any:
    """A rebooted node's kernel takes a while to have its IPv6 addresses again."""
    deadline = time.monotonic() + within_s
    while (answer := question()) != wanted and time.monotonic() < deadline:
        time.sleep(0.2)
    return answer


def plan_for(kind: str, volumes: dict[str, VolumeSpec]) -> LabPlan:
    """Three nodes with a web service. n1 is a DNS server too where names are broken; n0 routes to n2 where routers are; n1 keeps
    a connection to n0 where connections are."""
    services = {node: [plans.web()] for node in NODES}
    more: dict[str, dict[str, Any]] = {node: {} for node in NODES}
    networks = dict.fromkeys(NODES, ("lan",))
    if kind == "network.dns_failure":
        services["n1"].append(plans.names())
    if kind == "network.connection_reset":
        services["n1"].append(plans.service("holds", sys.executable, "-c", HOLDS, restart="always"))
    if kind == "network.router_failure":
        networks |= {"n0": ("lan", "san"), "n2": ("san",)}
        more = {
            "n0": {"forwards": True},
            "n1": {"routes": (RoutePlan(subnet=plans.SUBNETS["san"], via="198.18.0.1"),)},
            "n2": {"routes": (RoutePlan(subnet=plans.SUBNETS["lan"], via="198.18.1.1"),)},
        }
    nodes = [
        plans.node(
            node, at, networks[node], services=tuple(services[node]), volumes=volumes, drain=plans.drain(node), **more[node]
        )
        for at, node in enumerate(NODES)
    ]
    return plans.plan(*nodes).model_copy(update={"clients": ("n2",)})


HOLDS = """
import socket, time
while True:
    try:
        with socket.create_connection(("198.18.0.1", 8000)) as held:
            held.recv(1)
    except OSError:
        pass
    time.sleep(0.05)
"""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "network.port_block (reject, both ways, one peer)": (
        "network.port_block",
        {"action": "reject", "direction": "both", "ports": ["7990-8000"], "udp_ports": [53], "peers": {"node": "n1"}},
    ),
    "network.port_block (ranges of UDP)": ("network.port_block", {"ports": (), "udp_ports": [53, "5400-5500"]}),
    "network.delay (scattered, one way, one peer)": (
        "network.delay",
        {"delay": "20ms", "jitter": "10ms", "distribution": "pareto", "direction": "out", "peers": {"node": "n1"}},
    ),
    "network.loss (in bursts)": ("network.loss", {"burst": 5}),
    "resource.cpu (limit)": ("resource.cpu", {"workers": None, "limit": 0.2}),
    "resource.memory (limit)": ("resource.memory", {"allocate": None, "spare": "16MiB"}),
    "resource.memory (limit and load)": ("resource.memory", {"allocate": None, "spare": "64MiB", "leave": "32MiB"}),
    **{f"storage.{how} (programmable)": (f"storage.{how}", {}) for how in ("lost", "power_loss", "detach", "hang", "full")},
    "storage.read_only (programmable)": ("storage.read_only", {}),
    "storage.full (inodes)": ("storage.full", {"inodes": True}),
    "storage.slow (limits)": ("storage.slow", {"latency": None, "iops": "50/s", "bandwidth": "4MiB"}),
    "storage.errors (reads)": ("storage.errors", {"share": "5%", "writes": False}),
}
VARIANTS |= {
    f"{name} ({', '.join(f'{k} {v}' for k, v in changed.items())})": (name, changed)
    for name, changed in [
        ("network.link_flap", {"how": "silent", "period": "300ms"}),
        ("network.switch_failure", {"how": "dies"}),
        ("network.router_failure", {"how": "dies"}),
        ("network.router_failure", {"network": "lan"}),
        ("network.partition", {"direction": "to_target", "clients": "others"}),
        ("network.connection_reset", {"every": "200ms", "ports": (8000,), "peers": {"node": "n1"}}),
        ("network.duplicate_ip", {"owner": None, "address": "198.18.0.2"}),
        ("network.dns_failure", {"response": "timeout"}),
        ("network.dns_failure", {"response": "nxdomain"}),
        ("network.dns_failure", {"response": "nxdomain", "names": ["db.example"]}),
        ("network.dns_failure", {"response": "stale", "names": ["db.example"]}),
    ]
}
"""Beside the faults' own examples: what is done in another way."""


@pytest.mark.parametrize("name", [*sorted(FAULTS), *VARIANTS])
def test_it_bites_and_heals_and_leaves_nothing(name: str, up: Callable[..., NamespaceLab], survey: Survey) -> None:
    kind, changed = VARIANTS.get(name, (name, {}))
    fault = fitted(FAULTS[kind], **changed)
    lacking = [n.capability for n in fault.needs() if n.required and not survey.has(n.capability)]
    if lacking:
        pytest.skip("; ".join(f"{capability}: {survey.reason(capability)}" for capability in lacking))
    if os.geteuid() != 0:
        pytest.skip("looking at the switch from outside needs root")
    programmable = "programmable" in name or getattr(FAULTS[kind], "PROGRAMMABLE_ONLY", False)
    lab = up(plan_for(kind, plans.volume(kind="programmable" if programmable else "ext4-loop")))
    before = at_rest(lab, files=False)
    facts = fault.prepare(scene(lab), ("n0",), "tag")
    checks = fault.effect(facts)
    perform(lab, fault.heal(facts))
    assert changes(before, prior_state(lab, files=False)) == [], "healing without injecting changed something"
    assert not holds(lab, checks, "in_force", 0.0)[0], "the evidence is there before anything was done"
    perform(lab, fault.inject(facts))
    seen, evidence = holds(lab, checks, "in_force", 5.0)
    print(name, "in force:", evidence)
    assert seen, evidence
    perform(lab, fault.heal(facts))
    gone, evidence = holds(lab, checks, "healed", GONE_WITHIN_S)
    print(name, "healed:", evidence)
    assert gone, evidence
    perform(lab, fault.heal(facts))
    assert settled(lambda: changes(before, prior_state(lab, files=False)), []) == []
    running = {node: lab.read(ServiceQuery(node=node, service="web")).value for node in NODES}
    assert running == dict.fromkeys(NODES, "running")
