"""One injection from preparation to proof, and its healing: owe, arm, inject, look; heal, verify, pay."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import takewhile
from typing import Any, Protocol

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from chaoskit.engine.run_directory import EventLog
from chaoskit.engine.spoiling import spoils
from chaoskit.engine.undo import UndoJournal
from chaoskit.model.errors import HealFailed, LabGone, RecordingFailed, StepFailed
from chaoskit.model.facts import Check, ReachQuery
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
MOST_TAG_CHARS = 40
"""Names of rules in the kernel are no longer than this."""

_AT_ONCE = 16
"""Questions under way together."""


class ReadsLab(Protocol):
    """The part of a lab that verifying needs."""

    def read(self, query: Any) -> Any: ...


Permit = Callable[[tuple[str, ...], tuple[Step, ...]], None]
"""Gets the target and the steps of an injection, and raises where it must not be."""


class Evidence:
    """Questions, and what was answered so far. One that was answered as wanted is not asked again."""

    def __init__(self, checks: Sequence[Check], wanted: Callable[[Check], tuple[str, ...]]) -> None:
        self._asked = [(check, wanted(check)) for check in checks if wanted(check)]
        self._rows: dict[int, dict[str, Any]] = {}
        self._dropped: set[int] = set()
        self._next = 0

    def leave_only(self, checks: Sequence[Check]) -> None:
        """Drop the questions that are still open and not among these."""
        for index in self.open:
            if self._asked[index][0] not in checks:
                self._dropped.add(index)
                self._rows.pop(index, None)

    @property
    def open(self) -> list[int]:
        """Questions that were not answered as wanted yet."""
        return [i for i in range(len(self._asked)) if i not in self._dropped and not self._rows.get(i, {}).get("holds")]

    @property
    def holds(self) -> bool:
        return not self.open

    @property
    def every_one_was_asked(self) -> bool:
        return len(self._rows) + len(self._dropped) == len(self._asked)

    def ask_next(self, lab: ReadsLab, clock: Clock) -> int:
        """One of those still open, each in its turn; who reaches whom, many at a time: that only waits, and disturbs nobody.

        How many were asked. LabGone where there is nothing to ask any more.
        """
        still = self.open
        turn = [i for i in still if i >= self._next] or still
        together = list(takewhile(lambda i: isinstance(self._asked[i][0].query, ReachQuery), turn[:_AT_ONCE])) or turn[:1]
        if together:
            self._next = together[-1] + 1
            with ThreadPoolExecutor(len(together)) as pool:
                self._rows |= zip(together, pool.map(lambda i: _asked(lab, *self._asked[i], clock), together), strict=True)
        return len(together)

    def rows(self) -> list[dict[str, Any]]:
        return [self._rows[i] for i in sorted(self._rows)]


@dataclass(slots=True)
class Injection:
    """One fault of the method on its way through the run."""

    action: str
    fault: Fault
    nodes: tuple[str, ...]
    facts: Facts
    debt: Debt
    steps: tuple[Step, ...] = ()
    began_ns: int = 0
    ended_ns: int = 0
    """When the last step was done; 0 before."""
    proof: Evidence | None = None
    """That it bites, as far as it was looked for; None before it was injected."""
    settled: bool = False
    """Its effect was seen, or was looked for in vain."""
    verified: bool = False
    healed: bool = False
    until_ns: int | None = None
    """When it is to be healed; None: not by the clock."""

    def said(self) -> dict[str, Any]:
        """What every event about it has."""
        return {"action": self.action, "fault": self.fault.NAME, "nodes": list(self.nodes)}


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
        self.on_healed: Callable[[tuple[str, ...]], None] = lambda nodes: None
        """Called with its nodes as soon as the steps of a heal are done."""
        self._turn = 0
        self._unproven: list[tuple[Injection, list[Check]]] = []
        """Healed, but part of the proof has to wait until another fault is over."""

    def owe(self, action: str, fault: Fault, scene: Scene, nodes: tuple[str, ...], hold_s: float, permit: Permit) -> Injection:
        """Prepare, ask whether it may be, write the debt, arm the dead-man timer. Nothing is broken yet.

        StepFailed where it could not be prepared, and whatever `permit` raises; nothing is owed then.
        """
        tag = f"{self._run_id[-4:]}-{self._trial}-{action}"
        if len(tag) > MOST_TAG_CHARS:  # cut short it would not be the only one of its kind
            tag = f"{tag[: MOST_TAG_CHARS - 9]}-{sha256(action.encode()).hexdigest()[:8]}"
        self._events.add("fault.preparing", action=action, fault=fault.NAME, nodes=list(nodes))
        facts = fault.prepare(scene, nodes, tag)
        steps, heal, checks = fault.inject(facts), fault.heal(facts), fault.effect(facts)
        permit(nodes, steps)
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
        injection = Injection(action=action, fault=fault, nodes=nodes, facts=facts, debt=debt, steps=steps)
        self.in_force.append(injection)
        if isinstance(self._lab, DeadMan):
            self._lab.arm(debt.debt_id, heal, hold_s)
        return injection

    def inject(self, injection: Injection) -> None:
        """Break what is owed; `look` sees whether it bites. StepFailed where a step failed: `heal_all` undoes the others."""
        steps = [s.model_dump(mode="json", exclude_defaults=True) for s in injection.steps]
        self._events.add("fault.injecting", **injection.said(), steps=steps)
        injection.began_ns = self._clock.monotonic_ns()
        injection.began_ns, injection.ended_ns = self._perform(injection.steps)
        self._events.add("fault.injected", **injection.said(), began_ns=injection.began_ns, ended_ns=injection.ended_ns)
        wanted = self._judgeable(injection, injection.debt.checks, healed=False)
        injection.proof = Evidence(wanted, lambda check: check.in_force)

    def look(self) -> None:
        """Ask the next about the effect of one injection that was not seen yet. To be called again and again.

        One injection at a time, for some questions take long, and meanwhile nobody listens to the cluster.
        """
        pending = [i for i in self.in_force if i.proof is not None and not i.settled]
        if pending:
            self._turn += 1
            injection = pending[self._turn % len(pending)]
            proof = injection.proof
            if proof is None:
                return
            # A fault that came meanwhile may hold whom a question asks: then its answer says nothing.
            proof.leave_only(self._judgeable(injection, injection.debt.checks, healed=False))
            proof.ask_next(self._lab, self._clock)
            late = self._clock.monotonic_ns() - injection.ended_ns >= EFFECT_WITHIN_S * 1e9
            if proof.holds or (late and proof.every_one_was_asked):
                self._settle(injection, proof)

    def _settle(self, injection: Injection, proof: Evidence) -> None:
        injection.settled, injection.verified = True, proof.holds and bool(proof.rows())
        self._events.add(
            "fault.effect",
            **injection.said(),
            verified=injection.verified,
            evidence=proof.rows(),
            began_ns=injection.began_ns,
            effective_ns=injection.ended_ns,
        )

    def heal(self, injection: Injection, because: str = "") -> None:
        """Undo one injection and see that it is gone. HealFailed where it is not; the debt then stays open.

        LabGone where the lab vanished, and the fault with it.
        """
        common = injection.said()
        was_healing, self._events.healing = self._events.healing, True
        if injection.proof is not None and not injection.settled:
            self._settle(injection, injection.proof)  # it ends before all of it was seen: said as far as it was
        self._events.add("fault.healing", **common, because=because)
        try:
            began_ns, ended_ns = self._perform_stubbornly(injection.debt.heal)
            self._events.add("fault.healed", **common, began_ns=began_ns, ended_ns=ended_ns)
            self.on_healed(injection.nodes)
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
        """The checks that no other fault in force can spoil.

        While a fault bites, its own nodes are asked even where another fault holds them too: what they show is at least its own.
        """
        own = () if healed else injection.nodes
        others = [other for other in self.in_force if other is not injection]
        return [c for c in checks if not any(spoils(other.nodes, other.steps, c, own) for other in others)]

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
            common = injection.said()
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

    def heal_all(self, because: str = "") -> list[HealFailed]:
        """Undo everything in force, newest first, whatever fails on the way."""
        failures: list[HealFailed] = []
        for injection in reversed(list(self.in_force)):
            try:
                self.heal(injection, because)
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
    evidence = Evidence(checks, wanted)
    deadline_ns = clock.monotonic_ns() + round(within_s * 1e9)
    while True:
        left = len(evidence.open)
        while left > 0:
            left -= evidence.ask_next(lab, clock)
        if evidence.holds or clock.monotonic_ns() >= deadline_ns:
            break
        clock.sleep(0.05)
    rows = evidence.rows()
    return (evidence.holds if rows else nothing_is), rows


def _asked(lab: ReadsLab, check: Check, expected: tuple[str, ...], clock: Clock) -> dict[str, Any]:
    felt: dict[str, Any] = {} if check.asked is None else {"asked": check.asked, "unit": check.unit}
    try:
        reading = lab.read(check.query)
        seen = check.seen(reading)
        if reading.number is not None and check.answer == "value":
            felt["number"] = reading.number  # the dose that was felt, beside the judgement on it
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
