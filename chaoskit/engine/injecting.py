"""One injection from preparation to proof, and its healing: owe, arm, inject, verify; heal, verify, pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from chaoskit.engine.run_directory import EventLog
from chaoskit.engine.undo import UndoJournal
from chaoskit.model.errors import HealFailed, LabGone, RecordingFailed, StepFailed
from chaoskit.model.facts import Check
from chaoskit.model.steps import Step
from chaoskit.model.undo import Debt
from chaoskit.ports.clock import Clock
from chaoskit.ports.fault import Facts, Fault, Scene
from chaoskit.ports.lab import DeadMan, Lab

EFFECT_WITHIN_S = 5.0
"""How long an effect may take until it is seen, after the last step was done."""
GONE_WITHIN_S = 30.0
"""How long it may take to go away: a node has to boot."""
HEAL_ATTEMPTS = 3
HEAL_PAUSE_S = 0.5


class ReadsLab(Protocol):
    """The part of a lab that verifying needs."""

    def read(self, query: Any) -> Any: ...


@dataclass(slots=True)
class Injection:
    """One fault of the method on its way through the run."""

    action: str
    fault: Fault
    nodes: tuple[str, ...]
    facts: Facts
    debt: Debt
    began_ns: int = 0
    verified: bool = False
    healed: bool = False
    until_ns: int | None = None
    """When it is to be healed; None: not by the clock."""
    log: list[str] = field(default_factory=list)


class Injector:
    """Breaks and heals one lab, with the journal written first."""

    def __init__(
        self, lab: Lab, backend: str, run_id: str, trial: int, journal: UndoJournal, events: EventLog, clock: Clock
    ) -> None:
        self._lab = lab
        self._backend = backend
        self._run_id = run_id
        self._trial = trial
        self._journal = journal
        self._events = events
        self._clock = clock
        self.in_force: list[Injection] = []
        self._unproven: list[tuple[Injection, list[Check]]] = []
        """Healed, but part of the proof has to wait until another fault is over."""

    def inject(self, action: str, fault: Fault, scene: Scene, nodes: tuple[str, ...], hold_s: float) -> Injection:
        """Prepare, owe, arm the dead-man timer, break, look for the effect.

        StepFailed where it could not be prepared (nothing was done) or a step failed (whoever calls `heal_all` heals it then).
        """
        tag = f"{self._run_id[-4:]}-{self._trial}-{action}"[:40]
        common: dict[str, Any] = {"action": action, "fault": fault.NAME, "nodes": list(nodes)}
        self._events.add("fault.preparing", **common)
        facts = fault.prepare(scene, nodes, tag)
        steps, heal, checks = fault.inject(facts), fault.heal(facts), fault.effect(facts)
        debt = Debt(
            debt_id=f"{self._run_id}/{self._trial}/{action}",
            run_id=self._run_id,
            trial=self._trial,
            action=action,
            fault=fault.NAME,
            nodes=nodes,
            backend=self._backend,
            lab_id=self._lab.lab_id,
            heal=heal,
            checks=checks,
        )
        self._journal.owe(debt)
        injection = Injection(action=action, fault=fault, nodes=nodes, facts=facts, debt=debt)
        self.in_force.append(injection)
        if isinstance(self._lab, DeadMan):
            self._lab.arm(debt.debt_id, heal, hold_s)
        self._events.add("fault.injecting", **common, steps=[s.model_dump(mode="json", exclude_defaults=True) for s in steps])
        injection.began_ns = self._clock.monotonic_ns()
        began_ns, ended_ns = self._perform(steps)
        self._events.add("fault.injected", **common, began_ns=began_ns, ended_ns=ended_ns)
        injection.verified, evidence = seen_within(
            self._lab,
            self._judgeable(injection, checks, healed=False),
            lambda check: check.in_force,
            EFFECT_WITHIN_S,
            self._clock,
        )
        self._events.add(
            "fault.effect", **common, verified=injection.verified, evidence=evidence, began_ns=began_ns, effective_ns=ended_ns
        )
        return injection

    def heal(self, injection: Injection) -> None:
        """Undo one injection and see that it is gone. HealFailed where it is not; the debt then stays open.

        LabGone where the lab vanished, and the fault with it.
        """
        common: dict[str, Any] = {"action": injection.action, "fault": injection.fault.NAME, "nodes": list(injection.nodes)}
        was_healing, self._events.healing = self._events.healing, True
        self._events.add("fault.healing", **common)
        try:
            began_ns, ended_ns = self._perform_stubbornly(injection.debt.heal)
            self._events.add("fault.healed", **common, began_ns=began_ns, ended_ns=ended_ns)
            self._see_it_gone(injection, self._judgeable(injection, injection.debt.checks), common)
        except LabGone as error:
            reason = f"its lab is gone: {error}"
            self._write_down(lambda: self._journal.void(injection.debt.debt_id, reason))
            raise
        except (StepFailed, HealFailed) as error:
            reason = str(error)
            self._events.add("fault.heal_failed", **common, error=reason)
            self._write_down(lambda: self._journal.dirty(injection.debt.debt_id, reason))
            raise HealFailed(reason) from error
        finally:
            self._events.healing = was_healing
            injection.healed = True
            if injection in self.in_force:
                self.in_force.remove(injection)
        later = [c for c in injection.debt.checks if c not in self._judgeable(injection, injection.debt.checks)]
        if later:
            self._unproven.append((injection, later))
        else:
            self._pay(injection)
        self._prove_the_rest()

    def _judgeable(self, injection: Injection, checks: Sequence[Check], *, healed: bool = True) -> list[Check]:
        """The checks that no other fault in force can spoil: those that ask nobody whom another fault holds.

        While a fault bites, its own nodes are asked even where another fault holds them too: what they show is at least its own.
        """
        held = {node for other in self.in_force if other is not injection for node in other.nodes}
        if not healed:
            held -= set(injection.nodes)
        return [check for check in checks if not check.nodes() & held]

    def _see_it_gone(self, injection: Injection, checks: Sequence[Check], common: dict[str, Any]) -> None:
        """HealFailed where the evidence says that it is still there."""
        gone, evidence = seen_within(self._lab, checks, lambda c: c.healed, GONE_WITHIN_S, self._clock, nothing_is=True)
        self._events.add("fault.gone", **common, verified=gone, evidence=evidence)
        if not gone:
            missing = "; ".join(f"{e['means']}: saw {e['seen']!r}" for e in evidence if not e["holds"])
            raise HealFailed(f"{injection.fault.NAME} on {', '.join(injection.nodes)} was undone but is still there: {missing}")

    def _prove_the_rest(self) -> None:
        """Checks that had to wait for another fault's end. HealFailed where one shows that its fault is still there."""
        for injection, checks in list(self._unproven):
            if len(self._judgeable(injection, checks)) < len(checks):
                continue
            self._unproven.remove((injection, checks))
            common: dict[str, Any] = {"action": injection.action, "fault": injection.fault.NAME, "nodes": list(injection.nodes)}
            try:
                self._see_it_gone(injection, checks, common)
            except HealFailed as error:
                reason = str(error)
                self._events.add("fault.heal_failed", **common, error=reason)
                self._write_down(partial(self._journal.dirty, injection.debt.debt_id, reason))
                raise
            self._pay(injection)

    def _pay(self, injection: Injection) -> None:
        self._write_down(lambda: self._journal.paid(injection.debt.debt_id))
        if isinstance(self._lab, DeadMan):
            self._lab.disarm(injection.debt.debt_id)

    def _write_down(self, write: Callable[[], None]) -> None:
        """A journal that cannot be written must not keep the next heal from happening; the run ends because of it later."""
        try:
            write()
        except RecordingFailed as error:
            self._events.failure = self._events.failure or error

    def heal_all(self) -> list[HealFailed]:
        """Undo everything in force, newest first, whatever fails on the way."""
        failures: list[HealFailed] = []
        for injection in reversed(list(self.in_force)):
            try:
                self.heal(injection)
            except HealFailed as error:
                failures.append(error)
            except LabGone as error:
                self._events.add("problem", message=str(error))
            except Exception as error:  # noqa: BLE001 - a bug in one heal must not keep the others from being tried
                failures.append(HealFailed(f"{injection.fault.NAME}: {type(error).__name__}: {error}"))
        return failures

    def _perform(self, steps: Sequence[Step]) -> tuple[int, int]:
        """First instant a step may have had an effect, and the instant the last one surely had."""
        began_ns = ended_ns = self._clock.monotonic_ns()
        for index, step in enumerate(steps):
            done = self._lab.perform(step)
            began_ns = done.began_ns if index == 0 else began_ns
            ended_ns = done.ended_ns
        return began_ns, ended_ns

    def _perform_stubbornly(self, steps: Sequence[Step]) -> tuple[int, int]:
        """Every heal step is tried, several times, even where another one failed. StepFailed with all that did not work."""
        began_ns = self._clock.monotonic_ns()
        failed: list[str] = []
        stubbornly = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, StepFailed) and not isinstance(error, LabGone)),
            stop=stop_after_attempt(HEAL_ATTEMPTS),
            wait=wait_fixed(HEAL_PAUSE_S),
            sleep=self._clock.sleep,
            reraise=True,
        )
        for step in steps:
            try:
                stubbornly(self._lab.perform, step)
            except LabGone:
                raise
            except StepFailed as error:
                failed.append(f"{step.kind}: {error}")
        if failed:
            raise StepFailed("; ".join(failed))
        return began_ns, self._clock.monotonic_ns()


def seen_within(
    lab: ReadsLab,
    checks: Sequence[Check],
    wanted: Callable[[Check], tuple[str, ...]],
    within_s: float,
    clock: Clock,
    *,
    nothing_is: bool = False,
) -> tuple[bool, list[dict[str, Any]]]:
    """Ask until every check answers as wanted, or the time is over. LabGone where there is nothing to ask any more.

    Returns whether all did, with the evidence. Where no check says anything, `nothing_is` is the answer: an effect without
    evidence is not verified, while a heal that has nothing to show is done when its steps are.
    """
    asked = [check for check in checks if wanted(check)]
    deadline_ns = clock.monotonic_ns() + round(within_s * 1e9)
    evidence: dict[int, dict[str, Any]] = {}
    while True:
        for index, check in enumerate(asked):
            if not evidence.get(index, {}).get("holds"):
                evidence[index] = _asked(lab, check, wanted(check), clock)
        if all(e["holds"] for e in evidence.values()) or clock.monotonic_ns() >= deadline_ns:
            break
        clock.sleep(0.05)
    rows = [evidence[i] for i in range(len(asked))]
    return (all(e["holds"] for e in rows) if rows else nothing_is), rows


def _asked(lab: ReadsLab, check: Check, expected: tuple[str, ...], clock: Clock) -> dict[str, Any]:
    felt: dict[str, float] = {}
    try:
        reading = lab.read(check.query)
        seen = check.seen(reading)
        if reading.number is not None and check.answer == "value":
            felt = {"number": reading.number}  # the dose that was felt, beside the judgement on it
    except LabGone:
        raise
    except StepFailed as error:
        seen = f"could not be read: {error}"
    return {
        "means": check.means,
        "expected": list(expected),
        "seen": seen,
        "at_ns": clock.monotonic_ns(),
        "holds": seen in expected,
        **felt,
    }
