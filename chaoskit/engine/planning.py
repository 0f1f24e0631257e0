"""Loaded experiment + what the backend can do here -> plan: everything decided before anything starts. Pure but for the survey.

The same file, overrides, survey and seed give the same plan.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from chaoskit.engine.checking import FRESH_DEADLINE_LIMIT_S
from chaoskit.engine.checking_trials import over_trials_notes
from chaoskit.engine.expanding import Injectable, expanded, is_by_clock
from chaoskit.engine.lab_needs import Wanted, lab_lacks, lacks, raise_missing
from chaoskit.engine.loading import Loaded
from chaoskit.engine.phasing import PhaseRule, phase_rule
from chaoskit.engine.previewing import preview
from chaoskit.engine.refusing import refusals
from chaoskit.model.capability import Need, Survey
from chaoskit.model.errors import InputError
from chaoskit.model.plan import Plan, PlannedAction, TrialPlan
from chaoskit.ports.candidates import candidate_nodes
from chaoskit.ports.client import missing_drivers

SHORT_BASELINE_S = 30.0


def plan(loaded: Loaded, survey: Survey, seed: int) -> Plan:
    """Everything that will happen. CapabilityMissing names all that is missing; InputError names actions that would fight."""
    check_capabilities(loaded, survey)
    injectables = expanded(loaded.actions, loaded.experiment.method, loaded.faults, loaded.lab.file.spec)
    problems = list(refusals(loaded, injectables))
    if problems:
        raise InputError(problems)
    trial_seeds, rule = random.Random(seed), phase_rule(loaded)
    trials = tuple(
        _trial(loaded, survey, injectables, index, trial_seeds.getrandbits(32), rule) for index in range(loaded.experiment.repeat)
    )
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


def check_capabilities(loaded: Loaded, survey: Survey) -> None:
    """CapabilityMissing, naming all that the lab, the faults and the clients need and this machine or backend lacks."""
    wanted = [Wanted(fault.NAME, need) for fault in loaded.faults for need in fault.needs()]
    raise_missing([*lab_lacks(loaded.lab, survey), *lacks(wanted, survey), *_clients_lack(loaded)], survey)


def _clients_lack(loaded: Loaded) -> list[str]:
    """Drivers are extras: better missed now than in a probe that was to measure."""
    lacking: dict[str, list[str]] = {}
    for name, kind in loaded.client_types.items():
        for what in missing_drivers(kind):
            lacking.setdefault(what, []).append(name)
    return [f"{what} ({_clients_need(names)})" for what, names in lacking.items()]


def _clients_need(names: Sequence[str]) -> str:
    return f"the client {names[0]} needs it" if len(names) == 1 else f"the clients {', '.join(names)} need it"


# -- trials ----------------------------------------------------------------------------------------------------------------


def _trial(
    loaded: Loaded, survey: Survey, injectables: Sequence[Injectable], index: int, seed: int, rule: PhaseRule
) -> TrialPlan:
    chance, moved_s = random.Random(seed), rule.drawn_s(seed)
    actions: list[PlannedAction] = []
    hit: dict[str, tuple[str, ...]] = {}
    for one in injectables:
        phase_s = chance.uniform(0, float(one.action.phase)) if one.action.phase else 0.0
        inject, heal, notes, nodes = preview(loaded, one, seed, hit)
        for name in {one.name, one.entry}:
            hit[name] = tuple(dict.fromkeys((*hit.get(name, ()), *nodes)))
        notes += _ways(one.fault.needs(), survey)
        actions.append(
            PlannedAction(
                name=one.name,
                fault=one.action.inject,
                action=one.action,
                entry=one.entry,
                at_s=float(one.action.at or 0) + float(one.action.delay) + phase_s + moved_s if is_by_clock(one.action) else None,
                phase_s=phase_s,
                candidates=candidate_nodes(one.action.target, loaded.lab.file.spec),
                inject_preview=inject,
                heal_preview=heal,
                notes=tuple(notes),
            )
        )
    return TrialPlan(index=index, seed=seed, actions=tuple(actions), phase_s=moved_s, phase_of_s=rule.of_s, phase_rule=rule.why)


def _ways(needs: Iterable[Need], survey: Survey) -> list[str]:
    """What is missing and can be done without, and in which way the rest is done here."""
    notes = []
    for need in needs:
        present, reason = survey.has(need.capability), survey.reason(need.capability)
        if not need.required and not present:
            notes.append(f"without {need.capability} ({need.why}): {reason}")
        elif present and reason:
            notes.append(f"{need.capability}: {reason}")
    return notes


def _notes(loaded: Loaded) -> Iterable[str]:
    experiment = loaded.experiment
    if float(experiment.baseline) < SHORT_BASELINE_S:
        yield f"the clean baseline is {experiment.baseline}, shorter than 30s: the figures say so"
    for name, client in experiment.clients.items():
        if float(client.deadline) >= FRESH_DEADLINE_LIMIT_S:  # refused where it would hide an outage that is measured
            yield (
                f"the client {name} waits up to {client.deadline} for an answer: shorter outages are slow answers to it; its "
                "RTO is what users of such a client feel, not how long the service was down"
            )
    if experiment.seed is not None:
        yield f"the experiment fixes its seed ({experiment.seed})"
    yield from over_trials_notes(experiment)
