"""A backend that performs every step on a simulated cluster, with probes that answer from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from chaoskit.model import capability
from chaoskit.model.capability import Capability, Survey
from chaoskit.model.errors import LabUnavailable, StepFailed
from chaoskit.model.facts import (
    Query,
    Reading,
)
from chaoskit.model.history import Event
from chaoskit.model.lab import LabPlan, LabSpec
from chaoskit.model.steps import (
    Performed,
    Step,
)
from chaoskit.ports.lab import Agent, Lab, Leftover
from tests.simulated import activities, clocks, disks, network, nodes, resources, topology
from tests.simulated.agents import ProbeAgent, WatcherAgent
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SimulatedCluster

_ROOMS = (activities, topology, network, nodes, disks, clocks, resources)
DEEDS = {kind: deed for room in _ROOMS for kind, deed in room.DEEDS.items()}
"""Kind of step -> what it does to the cluster."""
ANSWERS = {kind: answer for room in _ROOMS for kind, answer in room.ANSWERS.items()}
"""Kind of query -> what it reads off the cluster."""
ALL_CAPABILITIES = tuple(sorted(v for k, v in vars(capability).items() if k.isupper() and isinstance(v, str)))


class SimulatedLab:
    """Performs steps on the cluster. `deaf` steps are accepted and do nothing; `failing` ones raise."""

    def __init__(
        self, plan: LabPlan, lab_id: str, cluster: SimulatedCluster, clock: FakeClock, backend: SimulatedBackend
    ) -> None:
        self.plan, self.lab_id, self.cluster, self.clock, self._backend = plan, lab_id, cluster, clock, backend
        self.performed: list[Step] = []
        self.is_down = False
        self.pending_events: list[Event] = []
        self.agents: list[ProbeAgent | WatcherAgent] = []

    def perform(self, step: Step) -> Performed:
        if self.is_down:
            raise StepFailed("the lab is down")
        began_ns = self.clock.monotonic_ns()
        self.performed.append(step)
        if step.kind in self._backend.failing:
            raise StepFailed(f"{step.kind} does not work today")
        if step.kind not in self._backend.deaf:
            DEEDS[step.kind](self.cluster, step)
        self.clock.sleep(0.001)
        return Performed(step=step, began_ns=began_ns, ended_ns=self.clock.monotonic_ns())

    def read(self, query: Query) -> Reading:
        if self.is_down:
            raise StepFailed("the lab is down")
        reading = ANSWERS[query.kind](self.cluster, query)
        return reading.model_copy(update={"at_ns": self.clock.monotonic_ns()})

    def spawn(self, name: str, node: str | None, argv: Sequence[str], log: Path) -> Agent:
        agent = WatcherAgent(self, argv[-1]) if node is None else ProbeAgent(self, argv[-1], self._backend.probe_dies)
        self.agents.append(agent)
        return agent

    def inside(self) -> Path | None:
        return None

    def events(self) -> Sequence[Event]:
        found, self.pending_events = self.pending_events, []
        return found

    def down(self) -> None:
        self.is_down = True


class SimulatedBackend:
    """Builds simulated labs. The knobs make it misbehave on purpose."""

    name = "simulated"

    def __init__(self, clock: FakeClock, new_cluster: Callable[[], SimulatedCluster] = SimulatedCluster) -> None:
        self.clock = clock
        self._new_cluster = new_cluster
        self.deaf: set[str] = set()
        self.failing: set[str] = set()
        self.probe_dies = False
        self.never_up = ""
        self.labs: list[SimulatedLab] = []

    def survey(self, lab: LabSpec) -> Survey:
        return Survey(backend=self.name, capabilities=tuple(Capability(name=n, present=True) for n in ALL_CAPABILITIES))

    def up(
        self, plan: LabPlan, lab_id: str, run_id: str, logs: Path, *, detached: bool, progress: Callable[[str], None]
    ) -> SimulatedLab:
        if self.never_up:
            raise LabUnavailable(self.never_up)
        lab = SimulatedLab(plan, lab_id, self._new_cluster(), self.clock, self)
        self.clock.on_step.append(lab.cluster.advance)
        self.labs.append(lab)
        return lab

    def attach(self, lab_id: str) -> Lab:
        for lab in self.labs:
            if lab.lab_id == lab_id and not lab.is_down:
                return lab
        raise LabUnavailable(f"no lab {lab_id}")

    def leftovers(self) -> Sequence[Leftover]:
        return ()

    def sweep(self, lab_id: str) -> Sequence[str]:
        return ()
