"""A lab that is only planned, as a scene to prepare faults in: what is known before the run, and placeholders for the rest."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from chaoskit.engine.expanding import Injectable
from chaoskit.engine.loading import Loaded
from chaoskit.engine.scene import chosen_nodes, groups_of
from chaoskit.model.drain import DrainPlan
from chaoskit.model.errors import StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.facts import ProcessInfo, Query, Reading
from chaoskit.model.files import FileState
from chaoskit.model.lab import LabPlan, NodePlan
from chaoskit.model.steps import Step
from chaoskit.ports.candidates import candidate_nodes
from chaoskit.ports.fault import Fault
from chaoskit.ports.process_match import ProcessMatch

_USUAL: Mapping[str, Reading] = {
    "node_state": Reading(value="up"),
    "service": Reading(value="running"),
    "service_enabled": Reading(value="enabled"),
    "process_state": Reading(value="running"),
    "reach": Reading(value="answered"),
    "activity": Reading(value="none", number=0.0),
    "flaps": Reading(value="steady", number=0.0),
    "forwarding": Reading(value="on"),
    "carrier": Reading(value="up"),
    "link": Reading(value="none", number=0.0),
    "dropped": Reading(number=0.0),
    "exec": Reading(value="", number=0.0),
    "pid_file": Reading(number=0.0),
    "clock": Reading(value="true", number=0.0),
    "quota": Reading(value="unlimited"),
}
"""Kind of query -> what it answers in a lab that is well."""
ITS_SERVICE = "<the service of the lab that it belongs to, if any>"
INIT = ProcessInfo(
    pid=1, parent=0, name="init", command=("init",), state="S", start_ticks=0, stands_for="the node's first process"
)


class PreviewScene:
    """Answers as the lab would, if it ran as planned and nothing were wrong with it."""

    def __init__(
        self,
        plan: LabPlan,
        chance: random.Random,
        fault: Fault | None = None,
        prefer: Sequence[str] = (),
        hit: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._plan, self._chance = plan, chance
        self._matches = tuple(_matches(fault)) if fault is not None else ()
        self._prefer = tuple(prefer)
        self._hit = hit or {}
        self.nodes: Sequence[str] = tuple(n.name for n in plan.nodes)
        self.observers: Sequence[str] = plan.clients
        self.guessed: list[str] = []
        """What had to be answered with a placeholder."""

    def groups(self) -> Mapping[str, Sequence[str]]:
        return groups_of(self._plan)

    def read(self, query: Query) -> Reading:
        """What is known or usual. StepFailed for what only the running lab can tell."""
        kind, node = query.kind, self._node(str(getattr(query, "node", "")))
        if kind == "processes" and node is not None:
            return Reading(processes=self._processes(node))
        if kind == "file" and node is not None:
            return self._file(node, str(getattr(query, "path", "")))
        if kind == "exec" and any(n.drain is not None and n.drain.shown == getattr(query, "argv", ()) for n in self._plan.nodes):
            return Reading(value="", number=1.0)
        if kind == "volume" and node is not None:
            volume = node.volumes.get(str(getattr(query, "volume", "")))
            return Reading(value="works", number=float(volume.size) if volume is not None else 0.0)
        usual = _USUAL.get(kind)
        if usual is None:
            raise StepFailed(f"it depends on what is on {getattr(query, 'node', 'the lab')} at that instant")
        return usual

    def _node(self, name: str) -> NodePlan | None:
        return next((n for n in self._plan.nodes if n.name == name), None)

    def _processes(self, node: NodePlan) -> tuple[ProcessInfo, ...]:
        """The lab's services, and one stand-in for each description that the fault gives."""
        programs = {service.name: (service.argv or (service.name,))[0] for service in node.services}
        running = [
            ProcessInfo(
                pid=0, parent=1, name=programs[service.name].rpartition("/")[2][:15], command=service.argv, state="S",
                start_ticks=1, service=service.name, stands_for=f"the processes of service {service.name}",
            )
            for service in node.services
        ]  # fmt: skip
        for match in self._matches:
            self.guessed.append(match.stand_in)
            running.append(
                ProcessInfo(
                    pid=0, parent=1, name=match.name or "", command=(), state="S", start_ticks=2,
                    service=match.service or ITS_SERVICE, stands_for=match.stand_in,
                )
            )  # fmt: skip
        return (INIT, *running)

    def _file(self, node: NodePlan, path: str) -> Reading:
        """A file that the lab puts there itself, or a stand-in."""
        for service in node.services:
            for file in service.files:
                if file.path == path:
                    content = base64.b64encode(file.content.encode()).decode()
                    state = FileState(path=path, content=content, mode=file.mode, user_id=0, group_id=0)
                    return Reading(file=state, value=state.fingerprint)
        self.guessed.append(f"what {path} holds on {node.name}")
        state = FileState(path=path, content="", mode=0o644, user_id=0, group_id=0, stands_for="as it is at that instant")
        return Reading(file=state, value=state.fingerprint)

    def drain_of(self, node: str) -> DrainPlan | None:
        return self._plan.node(node).drain

    def resolve(self, selector: Selector) -> tuple[str, ...]:
        """As in a run, with the first node that can hold a role standing for whoever will."""
        return chosen_nodes(selector, self.groups(), self._first_able, self._chance, self._hit)

    def _first_able(self, role: str) -> tuple[str, ...] | None:
        able = tuple(self._plan.roles.get(role, {}))
        preferred = tuple(n for n in able if n in self._prefer)
        return preferred[:1] or able[:1] or None

    def networks_of(self, node: str) -> Sequence[str]:
        return tuple(i.network for i in self._plan.node(node).interfaces)

    def address_of(self, node: str, network: str) -> str:
        return self._plan.address(node, network)

    def shuffled(self, nodes: Sequence[str]) -> tuple[str, ...]:
        return tuple(self._chance.sample(tuple(nodes), len(nodes)))


def _matches(value: Any) -> Iterator[ProcessMatch]:
    """Descriptions of processes among the parameters of a fault."""
    if isinstance(value, ProcessMatch):
        yield value
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _matches(getattr(value, name))
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _matches(inner)


def preview(
    loaded: Loaded, one: Injectable, seed: int, hit: Mapping[str, Sequence[str]]
) -> tuple[tuple[Step, ...], tuple[Step, ...], list[str], tuple[str, ...]]:
    """(inject steps, heal steps, notes, nodes). Examples where who holds a role, or what runs, decides at that instant."""
    lab = loaded.lab.rendered.plan
    target = one.action.target
    candidates = candidate_nodes(target, loaded.lab.file.spec)
    scene = PreviewScene(lab, random.Random(seed), one.fault, candidates, hit)
    nodes: tuple[str, ...] = ()
    try:
        nodes = scene.resolve(target)
        facts = one.fault.prepare(scene, nodes, f"plan-{one.name}"[:40])
        steps = one.fault.inject(facts), one.fault.heal(facts)
    except StepFailed as error:
        return (), (), [f"its steps are known at run time: {error}"], nodes
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        # A fault may make more of a reading than a stand-in gives; the run has the real one.
        return (), (), [f"its steps are known at run time, when there is more to read ({type(error).__name__}: {error})"], nodes
    notes = []
    if target.role is not None or target.count is not None or target.of is not None or target.not_of is not None:
        notes.append(f"the steps are those for {', '.join(nodes)}; the run takes whoever {_chosen_by(target)}")
    if scene.guessed:
        notes.append(f"known at run time: {', '.join(dict.fromkeys(scene.guessed))}")
    return (*steps, notes, nodes)


def _chosen_by(target: Selector) -> str:
    if target.role is not None:
        return f"holds the role {target.role} at that instant"
    if target.of is not None or target.not_of is not None:
        return f"{'was hit by' if target.of else 'was not hit by'} {target.of or target.not_of}"
    return f"the trial's seed draws ({target.count} of the candidates)"
