"""One calibration session: scripted services, the product's probes and recorder beside them, and what both wrote down."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from chaoskit.calibration.kinds import Script, drawn, took_s
from chaoskit.calibration.loopback import LocalAgent, LoopbackLab
from chaoskit.calibration.service import HIT_ADDRESS, SPARED_ADDRESS
from chaoskit.engine.clock import SystemClock
from chaoskit.engine.observing import Observation
from chaoskit.engine.recorded_plan import PLAN_FILE
from chaoskit.engine.run_directory import EventLog, RunDirectory
from chaoskit.engine.schedule import client_schedule
from chaoskit.engine.store import merge_spool, read_run
from chaoskit.engine.waiting import wait_until
from chaoskit.model.capability import Survey
from chaoskit.model.errors import LabUnavailable
from chaoskit.model.experiment import Action, ClientSpec, Experiment, probers
from chaoskit.model.lab import EndpointSpec, ImageSpec, InterfacePlan, LabPlan, LabSpec, NodePlan, ReadySpec
from chaoskit.model.plan import Plan, PlannedAction, TrialPlan
from chaoskit.model.record import Record
from chaoskit.model.recorded import TrialRecord
from chaoskit.model.source import SourceFile
from chaoskit.model.units import Duration, Rate

SERVICE = "chaoskit.calibration.service"
ACTION = "scripted"
DEADLINE_S = 0.2
"""W: short, so that many outages fit."""
BASELINE_S = 4.0
"""Clean service before each outage that is asked for; it is stated, as an experiment would state it."""
TRUTH_FILE = "truth.json"
_VANTAGES = {"here-hit": HIT_ADDRESS, "here-spared": SPARED_ADDRESS}
"""Of `half`: from each the service is reached by an address of its own, as over a path of its own."""
_SLOW_BY_S = 0.1
_START_WITHIN_S = 40.0
_TICK_S = 0.02
_NONE = SourceFile(path="chaoskit calibrate", sha256="")


class Truth(Record):
    """One outage as the scripted service performed it: (b0, b1, e0, e1) of each time it was down, CLOCK_MONOTONIC ns."""

    kind: str
    index: int
    phases: tuple[tuple[int, int, int, int], ...]


@dataclass(frozen=True)
class Wanted:
    """What a session is to do."""

    kinds: tuple[str, ...]
    trials: int
    """Of each kind."""
    rate: str
    """Attempts of one client, such as 100/s."""
    within_s: float
    seed: int


@dataclass(frozen=True)
class Recorded:
    """What came of it."""

    record: TrialRecord
    truths: tuple[Truth, ...]
    short: bool
    """The time ran out before all outages were performed."""


def labels_of(kind: str) -> tuple[str, ...]:
    """The series of attempts of a kind's client; the first meets its outages."""
    return tuple(label for label, p in probers({kind: _client(kind, "1/s")}).items() if p.client == kind)


def scripts_of(wanted: Wanted) -> dict[str, tuple[Script, ...]]:
    """Kind -> its outages."""
    schedule = client_schedule(_client("any", wanted.rate))
    times = (schedule.window_ns / 1e9, schedule.interval_ns / 1e9, schedule.spacing_ns / 1e9)
    return {kind: drawn(kind, wanted.trials, wanted.seed, *times) for kind in wanted.kinds}


def expected_s(wanted: Wanted) -> float:
    """How long the outages of a session take, all kinds side by side."""
    return max(took_s(scripts) for scripts in scripts_of(wanted).values()) + DEADLINE_S


def record_session(wanted: Wanted, directory: Path, progress: Callable[[str], None]) -> Recorded:
    """Perform and record. LabUnavailable where services or probes do not start, RecordingFailed where nothing can be written."""
    run = RunDirectory.create(directory)
    try:
        truths, short = _observed(wanted, run, progress)
        merge_spool(run.path)
        run.write_json(TRUTH_FILE, {"truths": [t.model_dump(mode="json") for t in truths]})
    finally:
        run.release()
    (record,) = read_run(run.path)
    return Recorded(record, truths, short)


def _observed(wanted: Wanted, run: RunDirectory, progress: Callable[[str], None]) -> tuple[tuple[Truth, ...], bool]:
    clock = SystemClock()
    events = EventLog(run, clock, lambda event: None)
    events.trial = 0
    scripts = scripts_of(wanted)
    with ExitStack() as ending:
        stages = {kind: _Stage(kind, scripts[kind], run.logs) for kind in wanted.kinds}
        for stage in stages.values():
            ending.callback(stage.agent.stop, 2.0)
        ports = {kind: stage.port(clock) for kind, stage in stages.items()}
        plan = _plan(wanted, ports)
        run.write_text(PLAN_FILE, plan.model_dump_json(by_alias=True, indent=2))
        observation = Observation(plan, LoopbackLab(plan.lab_plan, _VANTAGES), run, "calibration", events, clock, 0)
        ending.callback(observation.stop)
        events.add("trial.started", index=0, seed=wanted.seed)
        observation.start_clients({})

        def tick() -> None:
            observation.poll()
            clock.sleep(_TICK_S)

        wait_until(lambda: observation.clients_lacking("running"), _START_WITHIN_S, "not all probes were running", tick, clock)
        for stage in stages.values():
            stage.agent.tell("begin")
        deadline = time.monotonic() + wanted.within_s
        count = sum(len(s) for s in scripts.values())
        said = 0
        while (done := sum(stage.poll() for stage in stages.values())) < count and time.monotonic() < deadline:
            if done >= said + 10:
                said = done
                progress(f"{done} of {count} outages")
            tick()
            if observation.lost():
                raise LabUnavailable(f"a probe ended: {'; '.join(observation.lost())}", f"its log is in {run.logs}")
        _watch(max(s.window_ns for s in observation.schedules.values()) / 1e9 + DEADLINE_S, tick)
        events.add("observation.ended")
    events.add("trial.ended", index=0)
    return tuple(t for stage in stages.values() for t in stage.truths), done < count


def _watch(seconds: float, tick: Callable[[], None]) -> None:
    """The last return must last for S to count as one."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        tick()


class _Stage:
    """One scripted service and the truths it told so far."""

    def __init__(self, kind: str, scripts: Sequence[Script], logs: Path) -> None:
        self.kind = kind
        self.truths: list[Truth] = []
        told = {"kind": kind, "delay_s": DEADLINE_S + _SLOW_BY_S, "scripts": [s.model_dump() for s in scripts]}
        log = logs / f"service-{kind}.log"
        self.agent = LocalAgent(f"the scripted service {kind}", (sys.executable, "-m", SERVICE, json.dumps(told)), log)
        self._log = log

    def port(self, clock: SystemClock) -> int:
        """Where it listens. LabUnavailable where it does not say so in time."""
        said: list[str] = []

        def lacking() -> str:
            said.extend(self.agent.lines())
            return "" if said else f"{self.agent.name} is silent, exit code {self.agent.exit_code()}"

        wait_until(
            lacking, _START_WITHIN_S, "the scripted services did not start", lambda: clock.sleep(_TICK_S), clock, self._log
        )
        return int(json.loads(said[0])["port"])

    def poll(self) -> int:
        """How many outages it has performed. LabUnavailable where it ended or said something else."""
        for line in self.agent.lines():
            try:
                self.truths.append(Truth.model_validate({"kind": self.kind, **json.loads(line)}))
            except (ValidationError, ValueError) as error:
                raise LabUnavailable(f"{self.agent.name} said {line[:200]!r}", f"its log is {self._log}") from error
        code = self.agent.exit_code()
        if code is not None:
            raise LabUnavailable(f"{self.agent.name} ended with code {code}", f"its log is {self._log}")
        return len(self.truths)


# -- the plan that stands for it ---------------------------------------------------------------------------------------------


def _plan(wanted: Wanted, ports: Mapping[str, int]) -> Plan:
    """A plan like that of any run, so that everything behind it works as for any run."""
    clients = {kind: _client(kind, wanted.rate) for kind in wanted.kinds}
    places = tuple(dict.fromkeys(place for client in clients.values() for place in client.places))
    action = Action(inject=ACTION)
    experiment = Experiment.model_validate(
        {
            "title": "Calibration: outages that are known exactly",
            "lab": "loopback",
            "clients": clients,
            "baseline": f"{BASELINE_S:g}s",
            "method": [action],
        }
    )
    endpoints = {kind: EndpointSpec(kind="http", hosts=("service",), port=port) for kind, port in ports.items()}
    lab = LabSpec.model_validate(
        {"name": "loopback", "nodes": {"service": {}, **{place: {} for place in places}}, "endpoints": endpoints}
    )
    return Plan(
        experiment=experiment,
        experiment_source=_NONE,
        lab=lab,
        lab_source=_NONE,
        lab_plan=_lab_plan(lab, places),
        survey=Survey(backend="loopback", capabilities=()),
        seed=wanted.seed,
        trials=(
            TrialPlan(
                index=0,
                seed=wanted.seed,
                actions=(PlannedAction(name=ACTION, fault=ACTION, action=action, at_s=None, candidates=("service",)),),
            ),
        ),
    )


def _client(kind: str, rate: str) -> ClientSpec:
    return ClientSpec.model_validate(
        {
            "type": "http",
            "class": "fresh",
            "operation": "get",
            "rate": Rate.parse(rate),
            "deadline": Duration(DEADLINE_S),
            "endpoint": kind,
            "from": list(_VANTAGES) if kind == "half" else f"here-{kind}",
        }
    )


def _lab_plan(lab: LabSpec, clients: tuple[str, ...]) -> LabPlan:
    loopback = InterfacePlan(device="lo", network="loopback", address=HIT_ADDRESS, prefix=8, mac="")
    return LabPlan(
        name=lab.name,
        nodes=tuple(NodePlan(name=n, group=n, interfaces=(loopback,), volumes={}, services=()) for n in lab.node_names()),
        networks={"loopback": "127.0.0.0/8"},
        roles={},
        ready=ReadySpec(),
        image=ImageSpec(),
        clients=clients,
    )
