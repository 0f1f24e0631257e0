"""A backend that performs every step on a simulated cluster, with probes that answer from it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from chaoskit.model import capability
from chaoskit.model.capability import Capability, Survey
from chaoskit.model.errors import LabUnavailable, StepFailed
from chaoskit.model.facts import (
    CarrierQuery,
    DroppedQuery,
    ExecQuery,
    FileQuery,
    LossQuery,
    NodeStateQuery,
    PidFileQuery,
    ProcessesQuery,
    ProcessStateQuery,
    Query,
    ReachQuery,
    Reading,
    ServiceQuery,
    VolumeQuery,
)
from chaoskit.model.history import SAMPLES_DDL, Event
from chaoskit.model.lab import LabPlan, LabSpec
from chaoskit.model.steps import (
    BlockPorts,
    CutLinks,
    Exec,
    FailVolume,
    Freeze,
    JoinLinks,
    Performed,
    PowerOff,
    PowerOn,
    RemoveFile,
    RestoreVolume,
    SetLink,
    Signal,
    StartService,
    Step,
    StopService,
    Thaw,
    WriteFile,
)
from chaoskit.ports.client import ClientConfig
from chaoskit.ports.lab import Agent, Lab, Leftover
from tests.simulated.clock import FakeClock
from tests.simulated.cluster import SERVICE_PID, SimulatedCluster

ALL_CAPABILITIES = (
    capability.NETWORK_CUT,
    capability.NETWORK_LINK,
    capability.NETWORK_LOSS,
    capability.NETWORK_PORTS,
    capability.NETWORK_REJECT,
    capability.NODE_POWER,
    capability.NODE_FREEZE,
    capability.PROCESS_SIGNAL,
    capability.COMMAND_EXEC,
    capability.FILE_EDIT,
    capability.VOLUME_FAIL,
    capability.VOLUME_LOSE_UNSYNCED,
)


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
        self.files: set[str] = set()

    def perform(self, step: Step) -> Performed:
        if self.is_down:
            raise StepFailed("the lab is down")
        began_ns = self.clock.monotonic_ns()
        self.performed.append(step)
        if step.kind in self._backend.failing:
            raise StepFailed(f"{step.kind} does not work today")
        if step.kind not in self._backend.deaf:
            self._do(step)
        self.clock.sleep(0.001)
        return Performed(step=step, began_ns=began_ns, ended_ns=self.clock.monotonic_ns())

    def _do(self, step: Step) -> None:
        match step:
            case CutLinks() | JoinLinks() | BlockPorts() | SetLink():
                self._change_network(step)
            case Signal():
                for process in step.processes:
                    self._signal(step.node, process.pid, process.start_ticks, step.signal)
            case Exec():
                (self.files.add if step.argv[0] == "touch" else self.files.discard)(f"{step.node}:{step.argv[-1]}")
            case StartService() | StopService():
                self._change_service(step)
            case WriteFile() | RemoveFile() | FailVolume() | RestoreVolume():
                self._change_disk(step)
            case _:
                self._change_power(step)

    def _change_network(self, step: Step) -> None:
        c = self.cluster
        match step:
            case CutLinks():
                c.shares[step.tag] = step.share_percent
                c.cuts[step.tag] = {(link.source, link.destination) for link in step.links}
            case JoinLinks():
                c.cuts.pop(step.tag, None)
                c.shares.pop(step.tag, None)
                c.blocks.pop(step.tag, None)
            case BlockPorts():
                c.blocks[step.tag] = step
            case SetLink():
                (c.unplugged.discard if step.up else c.unplugged.add)(step.node)

    def _change_service(self, step: StartService | StopService) -> None:
        c = self.cluster
        if isinstance(step, StopService):
            c.pids[step.node] = 0
        elif step.node in c.off:
            raise StepFailed(f"{step.node} is off")
        elif c.pid(step.node) == 0:
            c.pids[step.node] = SERVICE_PID + 1

    def _change_power(self, step: Step) -> None:
        c = self.cluster
        match step:
            case PowerOff():
                c.off.add(step.node)
                c.frozen.discard(step.node)
            case PowerOn() if step.node in c.off:
                c.off.discard(step.node)
                c.pids.pop(step.node, None)
                c.boots[step.node] = c.boots.get(step.node, 0) + 1
            case Freeze():
                c.frozen.add(step.node)
            case Thaw():
                c.frozen.discard(step.node)

    def _change_disk(self, step: Step) -> None:
        c = self.cluster
        match step:
            case WriteFile():
                c.files[step.node, step.file.path] = step.file
            case RemoveFile():
                c.files[step.node, step.path] = None
            case FailVolume():
                c.volumes[step.node, step.volume] = {"lost": "eio", "hang": "hangs"}.get(step.how, step.how)
            case RestoreVolume():
                c.volumes.pop((step.node, step.volume), None)

    def _signal(self, node: str, pid: int, start_ticks: int, name: str) -> None:
        c = self.cluster
        if c.pid(node) != pid or pid * 10 != start_ticks:
            return
        if name == "STOP":
            c.stopped.add((node, pid))
        elif name == "CONT":
            c.stopped.discard((node, pid))
        else:
            c.pids[node] = 0

    def read(self, query: Query) -> Reading:
        if self.is_down:
            raise StepFailed("the lab is down")
        c, at_ns = self.cluster, self.clock.monotonic_ns()
        if isinstance(query, NodeStateQuery):
            state = "off" if query.node in c.off else "frozen" if query.node in c.frozen else "up"
            return Reading(value=state, at_ns=at_ns)
        if isinstance(query, ReachQuery | CarrierQuery | LossQuery):
            return self._read_network(query, at_ns)
        if isinstance(query, ProcessesQuery):
            return Reading(processes=c.processes(query.node), at_ns=at_ns)
        if isinstance(query, ProcessStateQuery):
            found = [p for p in c.processes(query.node) if p.ref == query.process]
            return Reading(value="gone" if not found else "stopped" if found[0].state == "T" else "running", at_ns=at_ns)
        if isinstance(query, ServiceQuery):
            return Reading(value="running" if c.pid(query.node) and query.node not in c.off else "exited", at_ns=at_ns)
        if isinstance(query, DroppedQuery):
            return Reading(number=float(len(c.cuts.get(query.tag, ()))), at_ns=at_ns)
        if isinstance(query, PidFileQuery):
            return Reading(number=float(c.pid(query.node)), at_ns=at_ns)
        if isinstance(query, VolumeQuery | FileQuery):
            return self._read_disk(query, at_ns)
        assert isinstance(query, ExecQuery)
        return Reading(number=float(f"{query.node}:{query.argv[-1]}" not in self.files), at_ns=at_ns)

    def _read_network(self, query: ReachQuery | CarrierQuery | LossQuery, at_ns: int) -> Reading:
        c = self.cluster
        if isinstance(query, ReachQuery):
            if query.source in c.off:
                return Reading(value="source_off", at_ns=at_ns)
            return Reading(value=c.probed(query.source, query.destination, query.tcp_port), at_ns=at_ns)
        if isinstance(query, LossQuery):
            lost = round(query.probes * c.lost_share(query.source, query.destination))
            return Reading(value=query.judged(lost), number=100 * lost / query.probes, at_ns=at_ns)
        state = "off" if query.node in c.off else "no_carrier" if query.node in c.unplugged else "up"
        return Reading(value=state, at_ns=at_ns)

    def _read_disk(self, query: VolumeQuery | FileQuery, at_ns: int) -> Reading:
        if isinstance(query, VolumeQuery):
            return Reading(value=self.cluster.volumes.get((query.node, query.volume), "works"), at_ns=at_ns)
        file = self.cluster.file(query.node, query.path)
        return Reading(file=file, value="absent" if file is None else file.fingerprint, at_ns=at_ns)

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


class ProbeAgent:
    """Answers as `python -m chaoskit.clients.probe` would, from the cluster's rules."""

    def __init__(self, lab: SimulatedLab, config_file: str, dies: bool) -> None:
        self.config = ClientConfig.model_validate_json(Path(config_file).read_text())
        self.name = self.config.client
        self._lab, self._dies = lab, dies
        self._next_ns = lab.clock.monotonic_ns() + 1_000_000
        self._rows: list[tuple[object, ...]] = []
        self._phase = "running"
        self._streak_ns: int | None = None
        self._last_ok_ns: int | None = None
        self._recent: list[tuple[int, bool]] = []
        self._reads: list[tuple[object, ...]] = []
        self._read_backs: list[tuple[object, ...]] = []

    def lines(self) -> Sequence[str]:
        now_ns, c = self._lab.clock.monotonic_ns(), self.config
        while self._phase == "running" and self._next_ns + c.deadline_ns <= now_ns:
            self._attempt(self._next_ns)
            self._next_ns += c.interval_ns // c.probes
        self._recent = [(t, ok) for t, ok in self._recent if t >= now_ns - 5_000_000_000]
        status = {
            "client": self.name, "t_ns": now_ns, "attempts": len(self._rows), "ok": 0, "phase": self._phase,
            "streak_since_ns": self._streak_ns, "last_ok_ns": self._last_ok_ns,
            "window": [len(self._recent), sum(ok for _, ok in self._recent)],
        }  # fmt: skip
        return [json.dumps(status)]

    def _attempt(self, t_ns: int) -> None:
        c, node = self.config, self._lab.cluster.serving_at(t_ns)
        seq = len(self._rows)
        token = f"{c.run_id}.{c.client}.{seq}" if c.operation == "append" else None
        ok = node is not None
        end_ns = t_ns + (2_000_000 if ok else c.deadline_ns)
        if ok and token is not None:
            self._lab.cluster.ledger[token] = end_ns
        self._streak_ns = (self._streak_ns or t_ns) if ok else None
        self._last_ok_ns = t_ns if ok else self._last_ok_ns
        self._recent.append((t_ns, ok))
        self._rows.append(
            (c.trial, c.client, seq % c.probes, c.client_class, c.operation, c.vantage, c.target, seq, token,
             t_ns, t_ns + 50_000, t_ns + 500_000 if ok else None, end_ns if ok else None, end_ns,
             "ok" if ok else "timeout", "ok" if ok else "fail", node, "1", None, None, 1, 0, None if ok else "no answer")
        )  # fmt: skip

    def tell(self, line: str) -> None:
        c, lab = self.config, self._lab
        self._phase = {"drain": "drained", "read_back": "done"}.get(line, self._phase)
        if line == "read_back" and c.operation == "append":
            now_ns = lab.clock.monotonic_ns()
            tokens = [t for t in lab.cluster.ledger if f".{c.client}." in t]
            for kind, node in (("final", lab.cluster.leader), *(("dump", host) for host, _ in c.hosts)):
                self._read_backs.append((c.trial, c.client, kind, node, now_ns, 1, len(tokens), None))
                self._reads.extend((c.trial, c.client, kind, node, now_ns, token, 1) for token in tokens)

    def exit_code(self) -> int | None:
        return 3 if self._dies else None

    def stop(self, timeout_s: float) -> int:
        with closing(sqlite3.connect(self.config.spool)) as spool, spool:
            spool.executescript(SAMPLES_DDL)
            spool.executemany(f"INSERT INTO samples VALUES ({','.join('?' * 23)})", self._rows)
            spool.executemany("INSERT INTO reads VALUES (?,?,?,?,?,?,?)", self._reads)
            spool.executemany("INSERT INTO read_backs VALUES (?,?,?,?,?,?,?,?)", self._read_backs)
        return 0


class WatcherAgent:
    """Answers as `python -m chaoskit.watchers.role` would."""

    name = "roles"

    def __init__(self, lab: SimulatedLab, config_file: str) -> None:
        self._config = json.loads(Path(config_file).read_text())
        self._lab = lab
        self._rows: list[tuple[object, ...]] = []
        self._before: dict[tuple[str, str], int | None] = {}
        self._asked_ns = lab.clock.monotonic_ns()

    def lines(self) -> Sequence[str]:
        now_ns, c = self._lab.clock.monotonic_ns(), self._lab.cluster
        roles: dict[str, dict[str, int | None]] = {}
        said = []
        for role, nodes in self._config["roles"].items():
            for node in nodes:
                leads = node == c.leader and c._works(node)
                answers = node not in c.off and node not in c.frozen
                state = None if not answers else int(leads if role == "primary" else not leads)
                roles.setdefault(role, {})[node] = state
                if self._before.get((role, node), "never") != state:
                    change = {
                        "kind": "role_changed", "role": role, "node": node, "state": state,
                        "before": self._before.get((role, node)), "between_ns": [self._asked_ns, now_ns],
                    }  # fmt: skip
                    said.append(json.dumps(change))
                    self._before[role, node] = state
                self._rows.append((self._config["trial"], role, node, now_ns - 1_000_000, now_ns, state, None))
        self._asked_ns = now_ns
        return [*said, json.dumps({"kind": "role_beat", "t_ns": now_ns, "roles": roles})]

    def tell(self, line: str) -> None:
        return

    def exit_code(self) -> int | None:
        return None

    def stop(self, timeout_s: float) -> int:
        with closing(sqlite3.connect(self._config["spool"])) as spool, spool:
            spool.executescript(SAMPLES_DDL)
            spool.executemany("INSERT INTO roles VALUES (?,?,?,?,?,?,?)", self._rows)
        return 0


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
