"""Carrying out a method: what is due when, what it waits for, what is refused, and when each fault is healed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from chaoskit.engine.blast_radius import Hit, Surroundings, excess, hit_of
from chaoskit.engine.conditions import Conditions, Met, Wait
from chaoskit.engine.expanding import free_name
from chaoskit.engine.injecting import Injection, Injector
from chaoskit.engine.observing import Observation
from chaoskit.engine.run_directory import EventLog
from chaoskit.engine.scene import LiveScene
from chaoskit.model.errors import BlastRadiusExceeded, StepFailed
from chaoskit.model.experiment import Selector
from chaoskit.model.plan import Plan, PlannedAction
from chaoskit.model.steps import Step
from chaoskit.model.units import Duration
from chaoskit.ports.clock import Clock
from chaoskit.ports.fault import Fault

TARGET_WITHIN_S = 5.0
"""How long a role may be without a holder before a fault aimed at it gives up."""
HOLD_MARGIN_S = 120.0
"""The dead-man timer fires this long after the planned end of a fault: late enough never to heal a run that is alive."""


@dataclass(slots=True)
class _Waiting:
    """An action that was not injected yet."""

    planned: PlannedAction
    wait: Wait | None = None
    due_ns: int | None = None
    """None while it waits for something."""


@dataclass(frozen=True, slots=True)
class MethodContext:
    """What a method works with."""

    plan: Plan
    injector: Injector
    watch: Observation
    scene: LiveScene
    conditions: Conditions
    events: EventLog
    clock: Clock
    fault_type: Callable[[str], type[Fault]]
    tick: Callable[[], None]
    """Sleeps a little and listens; raises where the run is to end."""


class Method:
    """The actions of one trial, from the end of its baseline to the heal of the last."""

    def __init__(self, context: MethodContext, actions: Sequence[PlannedAction], zero_ns: int) -> None:
        self._c, self._zero_ns = context, zero_ns
        self._planned = {a.name: a for a in actions}
        self._waiting = [_Waiting(a) for a in actions]
        self._injected: dict[str, Injection] = {}
        self._healed_ns: dict[str, int] = {}
        self._until: dict[str, Wait] = {}
        self._skipped: dict[str, str] = {}
        self._hits: dict[str, Hit] = {}
        self._around = Surroundings.of(context.plan.lab_plan)
        self._recovery_s = float(context.plan.experiment.recovery)

    def run(self) -> None:
        """Inject and heal until every action was healed or skipped. Raises what `tick` raises, StepFailed where an action has
        nothing to hit or a step failed, BlastRadiusExceeded, HealFailed."""
        c = self._c
        while self._waiting or c.injector.in_force:
            c.tick()
            c.injector.look()
            c.conditions.poll()
            self._heal_what_is_over()
            due = [waiting for waiting in list(self._waiting) if self._is_due(waiting)]
            self._inject([w.planned for w in due if w in self._waiting])

    # -- when ----------------------------------------------------------------------------------------------------------

    def _is_due(self, waiting: _Waiting) -> bool:
        """Whether its time has come. One that waits for what will never be is skipped, and taken off the list."""
        planned, now_ns = waiting.planned, self._c.clock.monotonic_ns()
        if planned.at_s is not None:
            return now_ns >= self._zero_ns + round(planned.at_s * 1e9)
        if waiting.due_ns is None:
            if waiting.wait is None:
                base_ns = self._base_ns(waiting)
                if base_ns is None:
                    return False
                self._begin_to_wait(waiting, base_ns)
            if waiting.wait is not None:
                self._ask(waiting, waiting.wait, now_ns)
        return waiting.due_ns is not None and now_ns >= waiting.due_ns

    def _base_ns(self, waiting: _Waiting) -> int | None:
        """When it begins to count or to wait; None as long as what comes before it has not come."""
        action = waiting.planned.action
        named = action.after or action.during
        if named is None:
            base_ns = self._zero_ns + round(float(action.at or 0) * 1e9)
            return base_ns if self._c.clock.monotonic_ns() >= base_ns else None
        earlier = [a.name for a in self._planned.values() if waiting.planned.waits_for(a)]
        skipped = [name for name in earlier if name in self._skipped]
        if skipped and (action.after is not None or len(skipped) == len(earlier)):
            self._skip(waiting, f"it waits for {skipped[0]}, which was not injected")
            return None
        if action.after is not None:
            healed = [self._healed_ns.get(name) for name in earlier]
            return None if None in healed else max(t for t in healed if t is not None)
        return min((self._injected[name].began_ns for name in earlier if name in self._injected), default=None)

    def _begin_to_wait(self, waiting: _Waiting, base_ns: int) -> None:
        action = waiting.planned.action
        if action.when is None:
            waiting.due_ns = base_ns + self._extra_ns(waiting.planned)
            return
        waiting.wait = self._c.conditions.wait_for(action.when, base_ns)
        self._say("action.waiting", waiting.planned, what=str(action.when), within_s=self._within_s(waiting.planned))

    def _ask(self, waiting: _Waiting, wait: Wait, now_ns: int) -> None:
        planned = waiting.planned
        met = wait.met(now_ns)
        if met is not None:
            waiting.due_ns = met.at_ns + self._extra_ns(planned)
            self._say("action.triggered", planned, what=str(wait.condition), at_ns=met.at_ns, details=met.how)
        elif now_ns - wait.since_ns >= self._within_s(planned) * 1e9:
            self._skip(waiting, f"it was not triggered: not within {self._within_s(planned):g} s: {wait.condition}")

    def _within_s(self, planned: PlannedAction) -> float:
        within = planned.action.within
        return float(within) if within is not None else self._recovery_s

    @staticmethod
    def _extra_ns(planned: PlannedAction) -> int:
        return planned.action.delay.ns + round(planned.phase_s * 1e9)

    def _skip(self, waiting: _Waiting, reason: str) -> None:
        """It is not injected, and what remains goes on. The verdict is unknown: not everything that was asked was done."""
        self._waiting.remove(waiting)
        self._skipped[waiting.planned.name] = reason
        self._say("action.skipped", waiting.planned, reason=reason)

    def _say(self, kind: str, planned: PlannedAction, **data: Any) -> None:
        self._c.events.add(kind, action=planned.name, fault=planned.fault, **data)

    # -- inject --------------------------------------------------------------------------------------------------------

    def _inject(self, due: Sequence[PlannedAction]) -> None:
        """All that is due at once: everything is prepared and owed before the first of them breaks anything."""
        owed: list[Injection] = []
        for planned in due:
            waiting = next(w for w in self._waiting if w.planned is planned)
            injection = self._owed(waiting)
            if injection is not None:
                owed.append(injection)
                self._waiting.remove(waiting)
        for injection in owed:
            self._c.conditions.poll()  # what was logged until now was logged before
            self._c.injector.inject(injection)
            self._hold(injection)

    def _owed(self, waiting: _Waiting) -> Injection | None:
        """Prepared and owed; None where it is skipped."""
        c, planned = self._c, waiting.planned
        for name in (planned.action.target.of, planned.action.target.not_of):
            lost = [a.name for a in self._planned.values() if name is not None and a.is_of(name) and a.name in self._skipped]
            if lost and name not in c.scene.hit:
                self._skip(waiting, f"its target is told by {lost[0]}, which was not injected")
                return None
        nodes = self._resolved(planned.action.target)
        if planned.action.stagger is not None and len(nodes) > 1:
            nodes = self._staggered(planned, nodes)
        fault = c.fault_type(planned.fault).model_validate(planned.action.parameters)
        if clash := self._clash(fault, nodes):
            self._skip(waiting, clash)
            return None
        hold_s = self._held_s(planned) + HOLD_MARGIN_S
        injection = c.injector.owe(
            planned.name, fault, c.scene, nodes, hold_s, lambda hit, steps: self._permit(planned.name, hit, steps)
        )
        self._hits[planned.name] = hit_of(planned.name, nodes, injection.steps)
        for name in {planned.name, planned.entry or planned.name}:
            c.scene.hit[name] = tuple(dict.fromkeys((*c.scene.hit.get(name, ()), *nodes)))
        return injection

    def _resolved(self, target: Selector) -> tuple[str, ...]:
        """The target now. On a busy machine a role's holder may not have answered this instant: it is asked again for a while."""
        deadline_ns = self._c.clock.monotonic_ns() + round(TARGET_WITHIN_S * 1e9)
        while True:
            try:
                return self._c.scene.resolve(target)
            except StepFailed:
                if target.role is None or self._c.clock.monotonic_ns() >= deadline_ns:
                    raise
            self._c.tick()

    def _staggered(self, planned: PlannedAction, nodes: tuple[str, ...]) -> tuple[str, ...]:
        """The first node; each of the others becomes an action of its own, so much later than the injection before."""
        stagger_s = float(planned.action.stagger or 0)
        for place, node in enumerate(nodes[1:], start=1):
            changes = {
                "target": Selector(node=node), "stagger": None, "at": None, "after": None, "when": None, "within": None,
                "during": planned.name, "delay": Duration(place * stagger_s),
            }  # fmt: skip
            name, entry = free_name(planned.entry or planned.name, self._planned), planned.entry or planned.name
            action = planned.action.model_copy(update=changes)
            later = planned.model_copy(update={"name": name, "entry": entry, "at_s": None, "phase_s": 0.0, "action": action})
            self._planned[name] = later
            self._waiting.append(_Waiting(later))
        return nodes[:1]

    def _clash(self, fault: Fault, nodes: tuple[str, ...]) -> str:
        """Why it cannot be: another fault in force holds the same thing. Empty where it can."""
        wanted = set(fault.claims(nodes))
        for other in self._c.injector.in_force:
            both = sorted(wanted & set(other.fault.claims(other.nodes)))
            if both:
                return f"{other.action} is in force and holds {', '.join(both)}"
        return ""

    def _permit(self, name: str, nodes: tuple[str, ...], steps: tuple[Step, ...]) -> None:
        """BlastRadiusExceeded where it would break too much, or what is protected."""
        in_force = [self._hits[i.action] for i in self._c.injector.in_force if i.action in self._hits]
        too_much = excess(self._c.plan.blast_radius, hit_of(name, nodes, steps), in_force, self._around, self._holders)
        if too_much:
            raise BlastRadiusExceeded(f"the blast radius would be exceeded: {too_much}; nothing of it was done")

    def _holders(self, role: str) -> Sequence[str] | None:
        """Who holds a role, or was the last known to; None where nothing current is known."""
        now = self._c.watch.leading.holders(role)
        return None if now is None else (*now, *self._c.watch.leading.history.known_holders(role))

    # -- hold and heal -------------------------------------------------------------------------------------------------

    def _held_s(self, planned: PlannedAction) -> float:
        return float(planned.action.period) if planned.action.period is not None else self._recovery_s

    def _hold(self, injection: Injection) -> None:
        planned = self._planned[injection.action]
        self._injected[injection.action] = injection
        injection.until_ns = injection.ended_ns + round(self._held_s(planned) * 1e9)
        if planned.action.until is not None:
            self._until[injection.action] = self._c.conditions.wait_for(planned.action.until, injection.began_ns)

    def _heal_what_is_over(self) -> None:
        for injection in list(self._c.injector.in_force):
            because = self._over(injection)
            if because:
                self._c.injector.heal(injection, because)
                self._healed_ns[injection.action] = self._c.clock.monotonic_ns()

    def _over(self, injection: Injection) -> str:
        """Why it is to be healed now; empty where it is held on, as long as its effect is still looked for in any case."""
        if not injection.settled:
            return ""
        action, now_ns = self._planned[injection.action].action, self._c.clock.monotonic_ns()
        until = self._until.get(injection.action)
        met: Met | None = until.met(now_ns) if until is not None else None
        if met is not None:
            return f"{until.condition if until else ''}: {met.how}"
        if injection.until_ns is not None and now_ns >= injection.until_ns:
            limit = f"{action.period if action.period is not None else self._c.plan.experiment.recovery}"
            return f"{limit} are over" + (f", and not yet: {action.until}" if action.until is not None else "")
        if action.period is None and action.until is None and not self._c.watch.clients_not_back(injection.began_ns):
            return "every client is back"
        return ""
