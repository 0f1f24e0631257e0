"""Loaded experiment + what the backend can do here -> plan: everything decided before anything starts. Pure but for the survey.

The same file, overrides, survey and seed give the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from chaoskit.engine.checking import candidate_nodes
from chaoskit.engine.loading import Loaded, LoadedLab
from chaoskit.engine.scene import chosen_nodes, groups_of
from chaoskit.model.capability import PACKAGES_DEBIAN, Need, Survey
from chaoskit.model.errors import CapabilityMissing, InputError, Problem, StepFailed
from chaoskit.model.experiment import Action, Selector
from chaoskit.model.facts import Query, Reading
from chaoskit.model.lab import LabPlan
from chaoskit.model.plan import Plan, PlannedAction, TrialPlan
from chaoskit.model.steps import Step
from chaoskit.ports.fault import Fault

SHORT_BASELINE_S = 30.0


class PreviewScene:
    """A scene that knows the plan of a lab and nothing of how it runs: enough for the steps of most faults."""

    def __init__(self, plan: LabPlan, chance: random.Random, prefer: Sequence[str] = ()) -> None:
        self._plan = plan
        self._chance = chance
        self._prefer = tuple(prefer)
        self.nodes: Sequence[str] = tuple(n.name for n in plan.nodes)
        self.observers: Sequence[str] = plan.clients

    def groups(self) -> Mapping[str, Sequence[str]]:
        return groups_of(self._plan)

    def read(self, query: Query) -> Reading:
        raise StepFailed(f"it depends on what runs on {getattr(query, 'node', 'the lab')} at that instant")

    def resolve(self, selector: Selector) -> tuple[str, ...]:
        """As in a run, with the first node that can hold a role standing for whoever will."""
        return chosen_nodes(selector, self.groups(), self._first_able, self._chance)

    def _first_able(self, role: str) -> tuple[str, ...] | None:
        able = tuple(self._plan.roles.get(role, {}))
        preferred = tuple(n for n in able if n in self._prefer)
        return preferred[:1] or able[:1] or None

    def networks_of(self, node: str) -> Sequence[str]:
        return tuple(i.network for i in self._plan.node(node).interfaces)


def plan(loaded: Loaded, survey: Survey, seed: int) -> Plan:
    """Everything that will happen. CapabilityMissing names all that is missing; InputError names actions that would fight."""
    check_capabilities(loaded, survey)
    problems = list(_conflicts(loaded))
    if problems:
        raise InputError(problems)
    trial_seeds = random.Random(seed)
    trials = tuple(_trial(loaded, survey, index, trial_seeds.getrandbits(32)) for index in range(loaded.experiment.repeat))
    return Plan(
        experiment=loaded.experiment,
        experiment_source=loaded.source,
        lab=loaded.lab.file.spec,
        lab_source=loaded.lab.file.source,
        lab_plan=loaded.lab.rendered.plan,
        survey=survey,
        seed=seed,
        trials=trials,
        predicted_rto_s=loaded.lab.predicted_rto_s,
        notes=tuple(_notes(loaded)),
        overrides=loaded.overrides,
    )


# -- capabilities ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Wanted:
    who: str
    need: Need


def lab_needs(lab: LoadedLab) -> tuple[Need, ...]:
    """What a lab itself asks of its backend."""
    spec = lab.file.spec
    if not spec.image.apt:
        return ()
    return (Need(capability=PACKAGES_DEBIAN, why=f"to install {', '.join(spec.image.apt)}"),)


def check_lab(lab: LoadedLab, survey: Survey) -> None:
    """CapabilityMissing, naming all that a lab needs and this machine or backend lacks."""
    _raise_missing(_lab_lacks(lab, survey), survey)


def check_capabilities(loaded: Loaded, survey: Survey) -> None:
    """CapabilityMissing, naming all that the lab and the faults need and this machine or backend lacks."""
    wanted = [_Wanted(fault.NAME, need) for fault in loaded.faults for need in fault.needs()]
    _raise_missing([*_lab_lacks(loaded.lab, survey), *_lacks(wanted, survey)], survey)


def _lab_lacks(lab: LoadedLab, survey: Survey) -> list[str]:
    name = lab.file.spec.name
    missing = [f"{m.reason} (the lab {name} needs it)" for m in lab.rendered.missing]
    return missing + _lacks([_Wanted(f"the lab {name}", need) for need in lab_needs(lab)], survey)


def _lacks(wanted: Iterable[_Wanted], survey: Survey) -> list[str]:
    missing = [
        f"{w.need.capability}: {w.who} needs it {w.need.why}; here: {survey.reason(w.need.capability)}"
        for w in wanted
        if w.need.required and not survey.has(w.need.capability)
    ]
    return list(dict.fromkeys(missing))


def _raise_missing(missing: Sequence[str], survey: Survey) -> None:
    if missing:
        where = f"the {survey.backend} backend" + (f" ({survey.mode})" if survey.mode else "")
        lines = "\n".join(f"  - {line}" for line in missing)
        raise CapabilityMissing(f"{where} cannot do all of this here; nothing was started:\n{lines}\n  see: chaoskit doctor")


# -- conflicts -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Window:
    """When an action may be in force, in seconds after the baseline: the widest case."""

    begin_s: float
    end_s: float


def _windows(loaded: Loaded) -> list[_Window]:
    experiment = loaded.experiment
    recovery_s = float(experiment.recovery)
    windows: dict[str, _Window] = {}
    for name, action in zip(loaded.actions, experiment.method, strict=True):
        held_s = float(action.period) if action.period is not None else recovery_s
        if action.after is not None:
            earlier = windows[action.after]
            # The earlier one may be healed at once (a fault without `for` ends when its clients are back).
            index = loaded.actions.index(action.after)
            early = (
                earlier.begin_s if experiment.method[index].period is None else _healed_early(experiment.method[index], earlier)
            )
            windows[name] = _Window(early, earlier.end_s + float(action.phase) + held_s)
        else:
            begin = float(action.at or 0)
            windows[name] = _Window(begin, begin + float(action.phase) + held_s)
    return [windows[name] for name in loaded.actions]


def _healed_early(action: Action, window: _Window) -> float:
    return window.begin_s + float(action.period or 0)


def _claims(loaded: Loaded, index: int) -> set[str]:
    """What the fault holds for sure, whoever has which role; empty where that is decided at run time."""
    target = loaded.experiment.method[index].target
    if target.role is not None or target.count is not None:
        return set()
    return set(loaded.faults[index].claims(candidate_nodes(target, loaded.lab.file.spec)))


def _conflicts(loaded: Loaded) -> Iterable[Problem]:
    """Actions that would hold one thing at the same time, where that is certain beforehand."""
    windows = _windows(loaded)
    for later in range(len(windows)):
        for earlier in range(later):
            one, two = windows[earlier], windows[later]
            ordered = loaded.experiment.method[later].after is not None and _descends(loaded, later, earlier)
            if ordered or one.begin_s >= two.end_s or two.begin_s >= one.end_s:
                continue
            both = sorted(_claims(loaded, earlier) & _claims(loaded, later))
            if both:
                message = (
                    f"{loaded.actions[later]} and {loaded.actions[earlier]} may be in force together and would both hold "
                    f"{', '.join(both)}; separate them in time (at, for, after) or give them different targets"
                )
                yield _problem(loaded, later, message)


def _descends(loaded: Loaded, later: int, earlier: int) -> bool:
    """Whether `later` waits, perhaps over others, for `earlier` to be healed."""
    after = loaded.experiment.method[later].after
    while after is not None:
        index = loaded.actions.index(after)
        if index == earlier:
            return True
        after = loaded.experiment.method[index].after
    return False


def _problem(loaded: Loaded, index: int, message: str) -> Problem:
    if loaded.document is None:
        return Problem(message=message, file=loaded.source.path, path=f"method[{index}]")
    return loaded.document.problem(("method", index), message, value="")


# -- trials ----------------------------------------------------------------------------------------------------------------


def _trial(loaded: Loaded, survey: Survey, index: int, seed: int) -> TrialPlan:
    chance = random.Random(seed)
    actions = []
    for name, action, fault in zip(loaded.actions, loaded.experiment.method, loaded.faults, strict=True):
        phase_s = chance.uniform(0, float(action.phase)) if action.phase else 0.0
        actions.append(_planned(loaded, survey, name, action, fault, phase_s, seed))
    return TrialPlan(index=index, seed=seed, actions=tuple(actions))


def _planned(loaded: Loaded, survey: Survey, name: str, action: Action, fault: Fault, phase_s: float, seed: int) -> PlannedAction:
    inject, heal, notes = _preview(loaded, name, action, fault, seed)
    notes += [
        f"without {need.capability} ({need.why}): {survey.reason(need.capability)}"
        for need in fault.needs()
        if not need.required and not survey.has(need.capability)
    ]
    return PlannedAction(
        name=name,
        fault=action.inject,
        action=action,
        at_s=None if action.after is not None else float(action.at or 0) + phase_s,
        phase_s=phase_s,
        candidates=candidate_nodes(action.target, loaded.lab.file.spec),
        inject_preview=inject,
        heal_preview=heal,
        notes=tuple(notes),
    )


def _preview(
    loaded: Loaded, name: str, action: Action, fault: Fault, seed: int
) -> tuple[tuple[Step, ...], tuple[Step, ...], list[str]]:
    """(inject steps, heal steps, notes). The steps are examples where they depend on who holds a role at that instant."""
    lab = loaded.lab.rendered.plan
    candidates = candidate_nodes(action.target, loaded.lab.file.spec)
    scene = PreviewScene(lab, random.Random(seed), candidates)
    try:
        nodes = scene.resolve(action.target)
        facts = fault.prepare(scene, nodes, f"plan-{name}"[:40])
        steps = fault.inject(facts), fault.heal(facts)
    except StepFailed as error:
        return (), (), [f"its steps are known at run time: {error}"]
    notes = []
    if action.target.role is not None or action.target.count is not None:
        notes.append(f"the steps are those for {', '.join(nodes)}; the run takes whoever {_chosen_by(action.target)}")
    return (*steps, notes)


def _chosen_by(target: Selector) -> str:
    if target.role is not None:
        return f"holds the role {target.role} at that instant"
    return f"the trial's seed draws ({target.count} of the candidates)"


def _notes(loaded: Loaded) -> Iterable[str]:
    experiment = loaded.experiment
    if float(experiment.baseline) < SHORT_BASELINE_S:
        yield f"the clean baseline is {experiment.baseline}, shorter than 30s: the figures say so"
    if experiment.seed is not None:
        yield f"the experiment fixes its seed ({experiment.seed})"
