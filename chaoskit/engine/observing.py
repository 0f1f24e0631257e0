"""The probes and the role watcher of one trial: started in the lab, listened to, read back, stopped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.engine.addressing import AddressListener
from chaoskit.engine.leading import RoleListener
from chaoskit.engine.plugged import PluggedListener
from chaoskit.engine.run_directory import EventLog, RunDirectory
from chaoskit.engine.schedule import ClientSchedule, client_schedule
from chaoskit.engine.secrets import revealed
from chaoskit.model.errors import LabUnavailable, StepFailed
from chaoskit.model.experiment import Prober, client_of, probers
from chaoskit.model.plan import Plan
from chaoskit.ports.client import ClientConfig, ClientStatus
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Agent, Lab
from chaoskit.ports.watcher import RoleChanged

PROBE = "chaoskit.clients.probe"
"""Run as a process of its own inside the lab; the engine never imports it."""
WATCHER = "the role watcher"
ADDRESS_WATCHER = "the address watcher"
LAST_LINES = 8
_STATES = {1: "yes", 0: "no", None: "unknown"}


class Observation:
    """Everything that observes one trial. `poll` keeps it current; it never blocks."""

    def __init__(self, plan: Plan, lab: Lab, run: RunDirectory, run_id: str, events: EventLog, clock: Clock, trial: int) -> None:
        self._plan, self._lab, self._run, self._run_id = plan, lab, run, run_id
        self._events, self._clock, self._trial = events, clock, trial
        self._probes: dict[str, Agent] = {}
        self.leading = RoleListener(lab, plan.lab_plan, clock)
        self.addresses = AddressListener(plan, lab)
        self.plugged = PluggedListener(plan, lab)
        self.clients: dict[str, ClientStatus] = {}
        self.schedules: dict[str, ClientSchedule] = {}
        self._lost: dict[str, str] = {}
        self._private: list[Path] = []
        self.exits: list[str] = []
        """Services that ended, for people."""

    # -- start ---------------------------------------------------------------------------------------------------------

    def start_watcher(self) -> None:
        """Ask every node about every role, and watch every floating address, from now on. Nothing where there is none."""
        spool = self._run.spool / f"{self._trial}-roles"
        self.leading.start(spool.with_suffix(".json"), spool.with_suffix(".sqlite"), self._log("roles"), self._trial)
        self.addresses.start(self._run.spool, self._log("addresses"), self._trial)
        self.plugged.start(self._run.spool, self._log, self._trial)

    def start_clients(self, secrets: Mapping[str, str]) -> None:
        """Start every client of the experiment, one process each. `secrets` go to those that name them, and nowhere else."""
        for name, prober in probers(self._plan.experiment.clients).items():
            schedule = client_schedule(prober.spec)
            self.schedules[prober.client] = schedule
            config = self._client_config(prober, schedule)
            config = config.model_copy(update={"options": revealed(config.options, secrets)})
            self._probes[name] = self._spawn(name, config.vantage, config.model_dump_json(), private=bool(secrets))
            self._events.add(
                "client.started",
                client=name,
                interval_ns=schedule.interval_ns,
                spacing_ns=schedule.spacing_ns,
                deadline_ns=config.patience_ns,
                probes=schedule.probes,
                window_ns=schedule.window_ns,
            )

    def _client_config(self, prober: Prober, schedule: ClientSchedule) -> ClientConfig:
        spec, lab = prober.spec, self._plan.lab_plan
        vantage = prober.place or (lab.clients[0] if lab.clients else lab.nodes[0].name)
        extras: dict[str, Any] = {}
        port = None
        if spec.endpoint is not None:
            endpoint = self._plan.lab.endpoints[spec.endpoint]
            nodes = self._plan.lab.resolve_names(endpoint.hosts)
            port = endpoint.port
            if endpoint.kind == spec.type:  # a client of another type uses only its address
                extras = dict(endpoint.model_extra or {})
        else:
            nodes = ()
        if spec.target is not None:
            nodes = self._plan.lab.resolve_names((spec.target,))
        virtual = lab.virtual_addresses.get(spec.endpoint or "") if spec.target is None else None
        members = tuple((node, lab.address(node)) for node in nodes)
        inside = self._lab.inside()
        return ClientConfig(
            client=prober.label,
            type=spec.type,
            client_class=spec.client_class,
            operation=spec.operation,
            run_id=self._run_id,
            trial=self._trial,
            interval_ns=schedule.interval_ns,
            probes=schedule.probes,
            deadline_ns=spec.deadline.ns,
            window_ns=schedule.window_ns,
            in_flight=spec.in_flight,
            vantage=vantage,
            target=spec.target or spec.endpoint or "",
            hosts=members if virtual is None else ((virtual, virtual),),
            behind=() if virtual is None else members,
            port=port,
            endpoint=extras,
            options=dict(spec.model_extra or {}),
            slo_ns=None if spec.slo is None else spec.slo.ns,
            spool=str(self._run.spool / f"{self._trial}-{prober.label}.sqlite"),
            seed=self._plan.trials[self._trial].seed,
            inside="" if inside is None else str(inside),
            directory=str(Path(self._plan.experiment_source.path).resolve().parent),
            policy=spec.policy,
        )

    def forget_secrets(self) -> None:
        """Remove the files that secrets were handed over in; every client has read its own by now."""
        for file in self._private:
            file.unlink(missing_ok=True)
        self._private.clear()

    def _spawn(self, name: str, node: str, config: str, *, private: bool) -> Agent:
        file = f"spool/{self._trial}-{name}.json"
        if private:
            self._private.append(self._run.path / file)
        self._run.write_text(file, config, private=private)
        return self._lab.spawn(name, node, (sys.executable, "-m", PROBE, str(self._run.path / file)), self._log(name))

    def _log(self, name: str) -> Path:
        logs = self._run.logs / str(self._trial) / "chaoskit"
        logs.mkdir(parents=True, exist_ok=True)
        return logs / f"{name}.log"

    # -- listen --------------------------------------------------------------------------------------------------------

    def poll(self) -> None:
        """Take in what probes, watcher and lab said since the last call."""
        for name, agent in self._probes.items():
            code = agent.exit_code()  # asked first: what it said last is then among the lines
            for line in agent.lines():
                try:
                    self.clients[name] = ClientStatus.model_validate_json(line)
                except ValidationError:
                    self._odd(name, line)
            last = self.clients.get(name)
            self._note_loss(name, code, last.last_error if last is not None else "")
        code = self.leading.agent.exit_code() if self.leading.agent is not None else None
        self.leading.poll(self._role_changed, lambda line: self._odd("the role watcher", line))
        self._note_loss(WATCHER, code, self.leading.failure)
        code = self.addresses.agent.exit_code() if self.addresses.agent is not None else None
        for kind, data in self.addresses.poll(lambda line: self._odd(ADDRESS_WATCHER, line)):
            self._events.add(kind, source="watcher", **data)
        self._note_loss(ADDRESS_WATCHER, code, self.addresses.failure)
        ended = {name: agent.exit_code() for name, agent in self.plugged.agents.items()}
        for data in self.plugged.poll(lambda name, line: self._odd(f"the watcher {name}", line)):
            self._events.add("watcher.observed", source="watcher", **data)
        for name, code in ended.items():
            self._note_loss(f"the watcher {name}", code, "")
        for event in self._lab.events():
            if event.kind == "service.exited":
                said = event.data
                what = f"the service {said.get('service')} on {said.get('node')} ended with code {said.get('code')}"
                self.exits.append(what + self._last_words(f"{said.get('node')}/{said.get('service')}.log"))
            self._events.keep(event.model_copy(update={"trial": self._trial}))

    def _note_loss(self, name: str, code: int | None, why: str) -> None:
        if code is None or name in self._lost:
            return
        self._lost[name] = f"{name} ended by itself with code {code}{': ' if why else ''}{why}"
        self._events.add("problem", message=self._lost[name], subject=name)

    def _last_words(self, log: str) -> str:
        """The end of a service's log, for people; empty where there is none."""
        try:
            lines = (self._run.logs / str(self._trial) / log).read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return ""
        return "".join(f"\n    {line[:200]}" for line in lines[-LAST_LINES:])

    def _role_changed(self, change: RoleChanged) -> None:
        self._events.add(
            "role.changed",
            source="watcher",
            role=change.role,
            node=change.node,
            state=_STATES[change.state],
            between_ns=list(change.between_ns),
        )

    def _odd(self, name: str, line: str) -> None:
        self._events.add("note", text=f"{name} said {line[:200]!r}", author="chaoskit")

    # -- ask -----------------------------------------------------------------------------------------------------------

    def lost(self) -> tuple[str, ...]:
        """Probes and watchers that ended by themselves, and why: what they would have seen is not known."""
        return tuple(self._lost.values())

    def clients_lacking(self, phase: str) -> str:
        """Clients that have not reached a phase, with what they last said; LabUnavailable where one failed for good."""
        lacking = []
        for name in self._probes:
            status = self.clients.get(name)
            if status is not None and status.phase == "failed":
                raise LabUnavailable(f"the client {name} could not start: {status.last_error}")
            if name in self._lost:
                raise LabUnavailable(f"the client {name} ended by itself; see logs/{self._trial}/chaoskit/{name}.log")
            if status is None or status.phase != phase:
                lacking.append(f"{name} is {status.phase if status else 'silent'} ({status.last_error if status else ''})")
        return "; ".join(lacking)

    def of(self, client: str) -> dict[str, ClientStatus | None]:
        """What a client last said at each of its vantages, by label; None where it said nothing yet."""
        return {label: self.clients.get(label) for label in self._probes if client_of(label) == client}

    def settled_after_ns(self, label: str) -> int:
        """How long a client must succeed without a break to count as back: its window S, and W for what is still under way."""
        name = client_of(label)
        return self.schedules[name].window_ns + self._plan.experiment.clients[name].request_deadline.ns

    def clients_not_back(self, since_ns: int) -> tuple[str, ...]:
        """Clients without an unbroken run of ok attempts over their window S, begun after `since_ns` or never broken."""
        waiting = []
        now_ns = self._clock.monotonic_ns()
        for name in self._probes:
            status = self.clients.get(name)
            start_ns = None if status is None else status.streak_since_ns
            if start_ns is None or now_ns - max(start_ns, since_ns) < self.settled_after_ns(name):
                waiting.append(name)
        return tuple(waiting)

    # -- end -----------------------------------------------------------------------------------------------------------

    def tell_clients(self, command: str) -> None:
        """`drain` or `read_back` to every probe that still runs."""
        for name, agent in self._probes.items():
            if agent.exit_code() is None:
                try:
                    agent.tell(command)
                except StepFailed as error:
                    self._events.add("problem", message=f"{name} could not be told to {command}: {error}", subject=name)

    def stop(self) -> None:
        """End all of them; they flush what they have. Their own end is no loss any more."""
        self.forget_secrets()
        agents: Sequence[tuple[str, Agent]] = [
            *self._probes.items(),
            *([(WATCHER, self.leading.agent)] if self.leading.agent else []),
            *([(ADDRESS_WATCHER, self.addresses.agent)] if self.addresses.agent else []),
            *((f"the watcher {name}", agent) for name, agent in self.plugged.agents.items()),
        ]
        failures: list[str] = []
        for name, agent in agents:
            already_lost = name in self._lost
            self._lost.setdefault(name, f"{name} was stopped")
            try:
                code = agent.stop(5.0)
            except StepFailed as error:
                failures.append(f"{name}: {error}")
                continue
            if code != 0 and not already_lost:
                failures.append(f"{name} ended with code {code} when it was asked to stop")
        for failure in failures:
            self._events.add("problem", message=failure)
