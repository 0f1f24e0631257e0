"""One trial: build, observe, wait for the steady state, break, watch the recovery, heal, read back, take down."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from chaoskit.engine.aborting import AbortConditions
from chaoskit.engine.conditions import Conditions
from chaoskit.engine.injecting import Injector
from chaoskit.engine.interrupting import Interrupts
from chaoskit.engine.marking import LogMarks
from chaoskit.engine.method import Method, MethodContext
from chaoskit.engine.observing import Observation
from chaoskit.engine.probing import RepeatedProbe
from chaoskit.engine.resetting import SharedLab
from chaoskit.engine.run_directory import EventLog, RunDirectory
from chaoskit.engine.scene import LiveScene
from chaoskit.engine.store import merge_spool
from chaoskit.engine.undo import UndoJournal
from chaoskit.engine.waiting import wait_until
from chaoskit.model.errors import Aborted, ChaoskitError, HealFailed, Interrupted, LabGone, LabUnavailable
from chaoskit.model.experiment import probers
from chaoskit.model.plan import Plan, TrialPlan
from chaoskit.ports.clock import Clock
from chaoskit.ports.fault import Fault
from chaoskit.ports.lab import Backend, Lab
from chaoskit.ports.progress import Progress, Snapshot

TICK_S = 0.05
CLIENT_START_S = 60.0
READ_BACK_S = 120.0


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every trial of a run shares."""

    plan: Plan
    backend: Backend
    run: RunDirectory
    run_id: str
    clock: Clock
    events: EventLog
    journal: UndoJournal
    interrupts: Interrupts
    progress: Progress
    fault_type: Callable[[str], type[Fault]]
    keep_lab: bool = False
    on_lab: str | None = None
    """The id of a lab that is up already: the trial uses it and leaves it up."""
    shared_lab: SharedLab = field(default_factory=SharedLab)
    """How it was before its first trial."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Name -> value; handed to clients, written to nothing that stays."""


class Trial:
    """Runs one trial. Whatever happens, what it broke is healed and what it built is taken down."""

    def __init__(self, context: RunContext, trial: TrialPlan) -> None:
        self._c = context
        self._trial = trial
        self._plan = context.plan
        self._chance = random.Random(trial.seed)
        self._phase, self._phase_began_ns = "building", context.clock.monotonic_ns()
        self._phase_of_s: float | None = None
        self._zero_ns: int | None = None
        self._watch: Observation | None = None
        self._injector: Injector | None = None
        self._aborts: AbortConditions | None = None
        self._conditions: Conditions | None = None
        self._marks: LogMarks | None = None
        self._exits_seen = 0
        made_up = f"{context.run_id[:15]}-{context.run_id[-4:]}-{trial.index}"  # short: it names sockets and control groups
        self.lab_id = context.on_lab or made_up
        self.lab_kept = False

    def run(self) -> None:
        """Run it to its end. Raises the first thing that went wrong, after healing; HealFailed outranks all."""
        c = self._c
        c.events.trial = self._trial.index
        phase_s = round(self._trial.injection_phase_s, 9)
        c.events.add("trial.started", index=self._trial.index, seed=self._trial.seed, injection_phase_s=phase_s)
        lab: Lab | None = None
        problem: BaseException | None = None
        try:
            lab = self._built()
            self._conduct(lab)
        except BaseException as error:  # noqa: BLE001 - it is raised again: healing comes before anything else, whatever it was
            problem = LabUnavailable(f"the lab vanished: {error}") if isinstance(error, LabGone) else error
        problem = self._ended(lab, problem)
        if problem is not None:
            raise problem

    # -- the way through -----------------------------------------------------------------------------------------------

    def _built(self) -> Lab:
        c = self._c
        if c.on_lab is not None:
            return self._joined(c.on_lab)
        keep = c.keep_lab and self._trial.index == len(self._plan.trials) - 1
        c.events.add("lab.creating", lab_id=self.lab_id)
        began_ns = c.clock.monotonic_ns()
        logs = c.run.logs / str(self._trial.index)
        self._enter("building", float(self._plan.lab_plan.ready.within))
        try:
            with c.interrupts.at_once():
                lab = c.backend.up(self._plan.lab_plan, self.lab_id, c.run_id, logs, detached=keep, progress=c.progress.message)
        except (Interrupted, Aborted):
            # it may have come when the lab was built and not yet ours
            for left in c.backend.sweep(self.lab_id):
                c.events.add("problem", message=f"left behind: {left}")
            raise
        self.lab_kept = keep
        c.events.add("lab.up", took_s=(c.clock.monotonic_ns() - began_ns) / 1e9)
        return lab

    def _joined(self, lab_id: str) -> Lab:
        """A lab that somebody else built and will end. LabUnavailable where it is not the one that was planned."""
        c = self._c
        lab = c.backend.attach(lab_id)
        if lab.plan != self._plan.lab_plan:
            source = self._plan.lab_source.path
            raise LabUnavailable(f"the lab {lab_id} was not built from {source} as it is now: build it again, or leave --on out")
        waits = (x for a in self._trial.actions for x in (a.action.when, a.action.until))
        if any(single.log is not None for condition in waits if condition is not None for single in condition.singles()):
            raise LabUnavailable(
                f"the logs of the lab {lab_id} are not this run's, and an action waits for a line of one; leave --on out"
            )
        self.lab_kept = True
        c.events.add("lab.joined", lab_id=lab_id)
        self._enter("resetting", float(self._plan.lab_plan.ready.within))
        took_s = c.shared_lab.verify(lab, c.clock, float(self._plan.lab_plan.ready.within), c.interrupts.check)
        if took_s is not None:
            c.events.add("lab.reset", took_s=took_s)
        lab.events()  # what happened there before this trial is not this trial's
        return lab

    def _conduct(self, lab: Lab) -> None:
        c, plan, experiment = self._c, self._plan, self._plan.experiment
        watch = self._watch = Observation(plan, lab, c.run, c.run_id, c.events, c.clock, self._trial.index)
        self._injector = Injector(lab, c.backend.name, c.run_id, self._trial.index, c.journal, c.events, c.clock)
        self._injector.on_healed = self._read_what_came_back
        self._aborts = AbortConditions(experiment.abort_when, lab, c.run.path, c.clock)
        began_ns = c.clock.monotonic_ns()
        ready = plan.lab_plan.ready
        self._enter("getting ready", float(ready.within))
        watch.start_watcher()
        logs = c.run.logs / str(self._trial.index)
        wait_until(
            lambda: watch.leading.lacking(ready.roles),
            float(ready.within),
            "the lab did not become ready",
            self._tick,
            c.clock,
            logs,
        )
        held = {role: list(watch.leading.holders(role) or ()) for role in plan.lab_plan.roles}
        c.events.add("lab.ready", took_s=(c.clock.monotonic_ns() - began_ns) / 1e9, roles=held)
        watch.start_clients(c.secrets)
        wait_until(lambda: watch.clients_lacking("running"), CLIENT_START_S, "clients did not start", self._tick, c.clock, logs)
        watch.forget_secrets()
        steady = experiment.steady_state_hypothesis
        self._enter("steady state", float(steady.within))
        wait_until(self._steady_lacking(), float(steady.within), "the steady state was not reached", self._tick, c.clock, logs)
        self._enter("baseline", float(experiment.baseline))
        c.events.add("baseline.started")
        self._wait(float(experiment.baseline))
        self._zero_ns = c.events.add("baseline.ended").t_ns
        self._exits_seen = -1  # from here on services may end: that is what the faults are for
        self._method(lab)
        self._recover_and_read_back()

    def _steady_lacking(self) -> Callable[[], str]:
        """What the steady-state hypothesis lacks now; each client's share must hold without a break over its period."""
        since_ns: dict[str, int] = {}
        hypothesis = self._plan.experiment.steady_state_hypothesis
        watch = self._observation()

        def lacking() -> str:
            missing = [text] if (text := watch.leading.lacking(hypothesis.roles)) else []
            now_ns = self._c.clock.monotonic_ns()
            for name, prober in probers(self._plan.experiment.clients).items():
                status = watch.clients.get(name)
                wanted = hypothesis.clients.get(prober.client)
                attempts, ok = status.window if status is not None else (0, 0)
                share = ok / attempts if attempts else 0.0
                holds = wanted.success.holds(share) if wanted is not None else ok > 0
                if not holds:
                    since_ns.pop(name, None)
                    last = f", last error: {status.last_error}" if status is not None and status.last_error else ""
                    missing.append(f"{name}: {ok} of {attempts} attempts ok in the last 5 s{last}")
                elif now_ns - since_ns.setdefault(name, now_ns) < (wanted.period.ns if wanted is not None else 0):
                    missing.append(f"{name}: not steady for long enough")
            return "; ".join(missing)

        return lacking

    def _method(self, lab: Lab) -> None:
        """Inject and heal until every action was healed or skipped."""
        c, watch = self._c, self._observation()
        self._enter("method")
        self._marks = LogMarks(self._plan.lab.marks, c.run.logs / str(self._trial.index), c.clock, c.events)
        asked = [x for a in self._trial.actions for x in (a.action.when, a.action.until) if x is not None]
        self._conditions = Conditions(
            asked,
            watch,
            c.run.logs / str(self._trial.index),
            c.clock,
            lambda probe: RepeatedProbe(probe, lab, c.run.path, c.clock),
            c.run.path,
        )
        context = MethodContext(
            plan=self._plan,
            injector=self._breaker(),
            watch=watch,
            scene=LiveScene(lab, watch.leading.holders, self._chance),
            conditions=self._conditions,
            events=c.events,
            clock=c.clock,
            fault_type=c.fault_type,
            tick=self._tick,
        )
        Method(context, self._trial.actions, self._zero_ns or 0).run()

    def _read_what_came_back(self, nodes: tuple[str, ...]) -> None:
        """Let ledgers read a node before the cluster rewinds it, or what it alone had is gone unseen."""
        if self._phase == "method":
            self._observation().tell_clients(f"rejoined {' '.join(nodes)}")

    def _recover_and_read_back(self) -> None:
        c, watch, recovery_s = self._c, self._observation(), float(self._plan.experiment.recovery)
        healed_ns = c.clock.monotonic_ns()
        self._enter("recovery", recovery_s)
        wanted = self._plan.lab_plan.ready.roles
        deadline_ns = healed_ns + round(recovery_s * 1e9)
        # S counts from the heal even for who was never down: what heals may strike as well, as a fail-back does
        while (late := watch.clients_not_back(healed_ns)) or watch.leading.lacking(wanted):
            if c.clock.monotonic_ns() >= deadline_ns:
                c.events.add("recovery.timeout", clients=list(late), roles=watch.leading.lacking(wanted))
                break
            self._tick()
        else:
            c.events.add("clients.recovered")
        self._enter("reading back", READ_BACK_S)
        watch.tell_clients("drain")
        c.events.add("observation.ended")
        wait_until(lambda: watch.clients_lacking("drained"), 30.0, "clients did not come to rest", self._tick, c.clock)
        watch.tell_clients("read_back")
        wait_until(lambda: watch.clients_lacking("done"), READ_BACK_S, "the ledgers could not be read back", self._tick, c.clock)
        c.events.add("ledgers.read")

    # -- the end, whatever happened --------------------------------------------------------------------------------------

    def _ended(self, lab: Lab | None, problem: BaseException | None) -> BaseException | None:
        """Heal, stop, take down, merge. Returns what is to be raised."""
        c = self._c
        c.events.healing = True
        if isinstance(problem, Aborted):
            c.events.add("abort", reason=str(problem))
        elif problem is not None:
            name = "" if isinstance(problem, ChaoskitError) else f"{type(problem).__name__}: "
            c.events.add("problem", message=f"{name}{problem}")
        self._enter("healing")
        because = "the trial ends early" if problem is not None else ""
        failures: list[HealFailed] = self._injector.heal_all(because) if self._injector is not None else []
        for asking in (self._aborts, self._conditions):
            if asking is not None:
                asking.stop()
        self._enter("ending")
        try:
            if self._watch is not None:
                self._watch.stop()
        finally:
            if lab is not None and not self.lab_kept:
                problem = self._taken_down(lab) or problem
        c.events.add("trial.ended", index=self._trial.index)
        c.events.healing = False
        if isinstance(problem, HealFailed):
            failures.insert(0, problem)
        if failures:
            return HealFailed("; ".join(str(f) for f in failures))
        try:
            merge_spool(c.run.path)
        except ChaoskitError as error:
            problem = problem or error
        return problem or c.events.failure

    def _taken_down(self, lab: Lab) -> HealFailed | None:
        """End the lab; what is left of it counts as not healed."""
        c, began_ns = self._c, self._c.clock.monotonic_ns()
        try:
            lab.down()
        except ChaoskitError as error:
            c.events.add("problem", message=str(error))
            return HealFailed(str(error))
        c.events.add("lab.down", took_s=(c.clock.monotonic_ns() - began_ns) / 1e9)
        self._void_what_went_with_the_lab()
        return None

    def _void_what_went_with_the_lab(self) -> None:
        for debt in self._c.journal.open_debts():
            if debt.lab_id == self.lab_id:
                try:
                    self._c.journal.void(debt.debt_id, "its lab was taken down")
                except ChaoskitError as error:
                    self._c.events.add("problem", message=str(error))

    # -- ticking -------------------------------------------------------------------------------------------------------

    def _observation(self) -> Observation:
        assert self._watch is not None
        return self._watch

    def _breaker(self) -> Injector:
        assert self._injector is not None
        return self._injector

    def _enter(self, phase: str, of_s: float | None = None) -> None:
        self._phase, self._phase_began_ns, self._phase_of_s = phase, self._c.clock.monotonic_ns(), of_s
        self._show()

    def _wait(self, seconds: float) -> None:
        until_ns = self._c.clock.monotonic_ns() + round(seconds * 1e9)
        while self._c.clock.monotonic_ns() < until_ns:
            self._tick()

    def _tick(self) -> None:
        """Sleep a little, listen, obey signals and abort conditions, show how things stand."""
        c, watch = self._c, self._observation()
        c.clock.sleep(TICK_S)
        c.interrupts.check()
        watch.poll()
        if c.events.failure is not None:
            raise c.events.failure
        if lost := watch.lost():
            raise LabUnavailable("; ".join(lost), f"logs are in {c.run.logs}")
        if self._exits_seen >= 0 and len(watch.exits) > self._exits_seen:
            raise LabUnavailable("before anything was broken, " + "\n".join(watch.exits), f"logs are in {c.run.logs}")
        if self._aborts is not None:
            self._aborts.check(watch, self._zero_ns)
        if self._marks is not None:
            self._marks.poll()
        self._show()

    def _show(self) -> None:
        """Whatever is wrong with the display, healing goes on."""
        try:
            self._c.progress.snapshot(self._snapshot())
        except Exception:
            if not self._c.events.healing:
                raise

    def _snapshot(self) -> Snapshot:
        now_ns = self._c.clock.monotonic_ns()
        return Snapshot(
            trial=self._trial.index,
            trials=len(self._plan.trials),
            phase=self._phase,
            phase_s=(now_ns - self._phase_began_ns) / 1e9,
            phase_of_s=self._phase_of_s,
            method_s=None if self._zero_ns is None else (now_ns - self._zero_ns) / 1e9,
            clients=dict(self._watch.clients) if self._watch is not None else {},
            roles={
                r: {n: None if s is None else bool(s) for n, s in nodes.items()} for r, nodes in self._watch.leading.roles.items()
            }
            if self._watch is not None
            else {},
            faults=tuple(f"{i.fault.NAME} on {', '.join(i.nodes)}" for i in self._injector.in_force)
            if self._injector is not None
            else (),
        )
