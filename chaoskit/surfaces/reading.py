"""`validate` and `plan`: what an experiment asks for, without starting anything."""

from __future__ import annotations

import secrets
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from chaoskit.engine import planning
from chaoskit.engine.loading import Loaded, load
from chaoskit.engine.registry import Registry
from chaoskit.engine.schedule import client_schedule
from chaoskit.engine.secrets import secret_values
from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.experiment import Action, Selector
from chaoskit.model.plan import Plan, PlannedAction
from chaoskit.model.units import Duration
from chaoskit.surfaces.elsewhere import away, given_words, places_of, say_err, sent, texts_of, variables_for
from chaoskit.surfaces.installed import Installed, pass_installed
from chaoskit.surfaces.options import BACKEND, EXPERIMENT, JSON, MAX_TARGETS, SEED, SET
from chaoskit.surfaces.terminal import say, say_json, say_table


def planned(loaded: Loaded, backend: str | None, seed: int | None, installed: Installed, max_targets: int | None = None) -> Plan:
    """The plan for an experiment here and now. CapabilityMissing says what to install, InputError which secret is not there."""
    secret_values(loaded.experiment, loaded.folder)  # said now, before anything starts; the values go nowhere
    if max_targets is not None:
        loaded = narrowed(loaded, max_targets)
    survey = installed.backend(backend or loaded.lab.file.spec.backend).survey(loaded.lab.file.spec)
    return planning.plan(loaded, survey, chosen_seed(loaded, seed))


def narrowed(loaded: Loaded, max_targets: int) -> Loaded:
    """The same with a blast radius of at most so many nodes."""
    radius = loaded.experiment.blast_radius.with_limits_of(BlastRadius(**{"max-targets": max_targets}))
    return replace(loaded, experiment=loaded.experiment.model_copy(update={"blast_radius": radius}))


def chosen_seed(loaded: Loaded, given: int | None) -> int:
    """The seed given, else the experiment's, else a new one."""
    if given is not None:
        return given
    return loaded.experiment.seed if loaded.experiment.seed is not None else secrets.randbelow(2**31)


@click.command()
@EXPERIMENT
@SET
@JSON
@pass_installed
def validate(installed: Installed, experiment: Path, overrides: tuple[str, ...], as_json: bool) -> None:
    """Check an experiment and its lab; start nothing.

    Every problem is named with file, line, column, the value, what is allowed and the nearest spelling. Exit 0: nothing is wrong;
    2: something is.
    """
    loaded = load(experiment, overrides, installed.registry)
    missing = [m.reason for m in loaded.lab.rendered.missing]
    if as_json:
        say_json(
            {
                "valid": True,
                "experiment": loaded.experiment.model_dump(mode="json", by_alias=True),
                "lab": {
                    "name": loaded.lab.file.spec.name,
                    "path": loaded.lab.file.source.path,
                    "nodes": list(loaded.lab.file.spec.node_names()),
                    "settings": loaded.lab.file.spec.settings,
                },
                "actions": list(loaded.actions),
                "predicted_rto_s": loaded.lab.predicted_rto_s,
                "missing_here": missing,
            }
        )
        return
    spec = loaded.lab.file.spec
    say(f"{experiment}: valid", "good")
    say(f"  {loaded.experiment.title}")
    say(f"  lab {spec.name}: {', '.join(spec.node_names())}")
    say(f"  clients: {', '.join(loaded.experiment.clients) or 'none'}")
    say(f"  method: {', '.join(loaded.actions)}")
    for reason in missing:
        say(f"  not on this machine: {reason}", "warn")


@click.command()
@EXPERIMENT
@BACKEND
@SEED
@SET
@MAX_TARGETS
@JSON
@pass_installed
def plan(
    installed: Installed,
    experiment: Path,
    backend: str | None,
    seed: int | None,
    overrides: tuple[str, ...],
    max_targets: int | None,
    as_json: bool,
) -> int:
    """Show what a run would do: timeline, steps, how each is undone, what is missing here. Starts nothing.

    Exit 0: it can run here; 2: the experiment is wrong; 3: this machine or backend lacks something, which is named.
    """
    loaded = load(experiment, overrides, installed.registry, backend=backend)
    with away(installed.backend(backend or loaded.lab.file.spec.backend)) as found:
        if found is not None:
            found.ready(say_err)
            variables = variables_for(texts_of(loaded.lab, experiment))
            return sent(found, given_words(), places=places_of(loaded), variables=variables).code
    made = planned(loaded, backend, seed, installed, max_targets)
    if as_json:
        say_json(made.model_dump_json(by_alias=True, indent=2))
    else:
        say_plan(made, installed.registry)
    return 0


def say_plan(made: Plan, registry: Registry) -> None:
    """A plan for people."""
    experiment = made.experiment
    say(experiment.title, "head")
    if experiment.description:
        say(experiment.description.strip())
    say()
    say_table((), [*_facts(made)])
    if experiment.clients:
        say()
        say_table(("client", "what", "rate", "deadline", "probes", "back after"), _client_rows(made))
    say()
    say("time from the end of the clean baseline", "head")
    _say_timeline(made)
    if experiment.objectives:
        say()
        say("objectives", "head")
        say_table((), [(f"  {name}", _limit_words(limit)) for name, limit in experiment.objectives.items()])
    _say_limits(made)
    for note in made.notes:
        say(f"note: {note}", "warn")


def _say_limits(made: Plan) -> None:
    """What ends the run early, and what is never broken."""
    when, radius = made.experiment.abort_when, made.blast_radius
    ends = [f"{name} is down for {limit.down_for.text}" for name, limit in when.clients.items() if limit.down_for is not None]
    ends += [
        f"success of {name} is {limit.success.text} over {limit.over}"
        for name, limit in when.clients.items()
        if limit.success is not None
    ]
    ends += [f"the file {file} is there" for file in when.file]
    ends += [f"not: {probe} {probe.yes} (every {probe.every})" for probe in when.probes]
    for what in ends:
        say(f"aborts, and heals, when {what}")
    if radius.max_targets is not None:
        say(f"at most {radius.max_targets} nodes are under fault at once")
    protected = radius.protected
    listed = [*protected.nodes, *(f"the group {g}" for g in protected.groups), *(f"whoever is {r}" for r in protected.roles)]
    listed += [f"port {port}" for port in protected.ports]
    if listed:
        say(f"never broken: {', '.join(listed)}")


def _facts(made: Plan) -> list[tuple[str, str]]:
    lab = made.lab_plan
    mode = f", {made.survey.mode}" if made.survey.mode else ""
    choice = made.experiment.lab
    variant = f", variant {choice.variant}" if choice.variant else ""
    nodes = ", ".join(f"{n.name} {n.interfaces[0].address}" if n.interfaces else n.name for n in lab.nodes)
    facts = [
        ("experiment", made.experiment_source.path),
        ("lab", f"{lab.name}{variant} on the {made.survey.backend} backend{mode}"),
        ("nodes", nodes),
    ]
    if made.lab.settings:
        facts.append(("settings", ", ".join(f"{k} {_limit_words(v)}" for k, v in made.lab.settings.items())))
    if made.predicted_rto_s is not None:
        low, high = made.predicted_rto_s
        facts.append(("predicted RTO", f"{Duration(low)} to {Duration(high)}, from these settings"))
    facts.append(("trials", f"{len(made.trials)}, seed {made.seed}"))
    first = made.trials[0]
    if first.phase_of_s:
        drawn = ", ".join(str(Duration(round(t.phase_s, 3))) for t in made.trials[:10])
        more = ", ..." if len(made.trials) > 10 else ""
        facts.append(
            ("injection phase", f"up to {Duration(first.phase_of_s)} later ({first.phase_rule}); by trial: {drawn}{more}")
        )
    return facts


def _client_rows(made: Plan) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for name, client in made.experiment.clients.items():
        schedule = client_schedule(client)
        where = client.endpoint or client.target or ""
        spacing = Duration(schedule.spacing_ns / 1e9)
        rows.append(
            (
                name,
                f"{client.type} {client.operation}, {client.client_class}, to {where}"
                + (f", from {', '.join(client.places)}" if client.places else ""),
                str(client.rate),
                str(client.deadline),
                f"{schedule.probes} x {Duration(schedule.interval_ns / 1e9)} (one each {spacing})",
                f"{Duration(schedule.window_ns / 1e9)} without failure",
            )
        )
    return rows


def _say_timeline(made: Plan) -> None:
    experiment = made.experiment
    ready = made.lab_plan.ready
    wanted = ", ".join(f"{count} {role}" for role, count in ready.roles.items())
    say(f"  {'before':>10}  build the lab{f', wait for {wanted}' if wanted else ''} (at most {ready.within})")
    steady = experiment.steady_state_hypothesis
    hold = [f"{n} {s.success.text} ok for {s.period}" for n, s in steady.clients.items()]
    hold += [f"{count} {role}" for role, count in steady.roles.items()]
    say(f"  {'before':>10}  wait for the steady state{': ' + ', '.join(hold) if hold else ''} (at most {steady.within})")
    say(f"  {'-' + str(experiment.baseline):>10}  clean baseline")
    first = made.trials[0]
    for planned_action in first.actions:
        at_s = None if planned_action.at_s is None else planned_action.at_s - first.phase_s  # said above, for each trial
        _say_action(planned_action.model_copy(update={"at_s": at_s}), made)
    say(f"  {'then':>10}  wait until every client is back (at most {experiment.recovery})")
    say(f"  {'':>10}  read the ledgers back, take the lab down")


def _say_action(planned_action: PlannedAction, made: Plan) -> None:
    action = planned_action.action
    when = start_words(planned_action)
    named = f" ({planned_action.name})" if planned_action.name != planned_action.fault else ""
    say(f"  {when:>10}  inject {planned_action.fault}{named} on {target_words(action.target, planned_action.candidates)}")
    pad = " " * 14
    if action.when is not None:
        within = action.within if action.within is not None else made.experiment.recovery
        say(f"{pad}when {action.when}; not within {within}: it is not injected, and the verdict is unknown", "dim")
    if action.delay and planned_action.at_s is None:
        say(f"{pad}{action.delay} later", "dim")
    if action.stagger is not None:
        say(f"{pad}one node after another, {action.stagger} apart, each an injection of its own", "dim")
    if action.phase:
        drawn = ", ".join(_drawn(trial.actions, planned_action.name) for trial in made.trials[:10])
        say(f"{pad}with a random extra wait of up to {action.phase}; by trial: {drawn}", "dim")
    for step in planned_action.inject_preview:
        say(f"{pad}- {step.words()}")
    say(f"  {_held(action):>10}  heal it{f', or as soon as {action.until}' if action.until is not None else ''}")
    for step in planned_action.heal_preview:
        say(f"{pad}- {step.words()}")
    for note in planned_action.notes:
        say(f"{pad}note: {note}", "warn")


def _drawn(actions: tuple[PlannedAction, ...], name: str) -> str:
    return next(str(Duration(round(a.phase_s, 3))) for a in actions if a.name == name)


def start_words(planned_action: PlannedAction) -> str:
    """When an action starts, or starts to wait."""
    action = planned_action.action
    if planned_action.at_s is not None:
        return f"+{Duration(round(planned_action.at_s, 3))}"
    if action.after is not None or action.during is not None:
        return f"after {action.after}" if action.after is not None else f"during {action.during}"
    return f"from +{action.at or Duration(0)}"


def _held(action: Action) -> str:
    if action.until is not None:
        return f"{action.period} later" if action.period is not None else "at last"
    return f"{action.period} later" if action.period is not None else "clients back"


def target_words(target: Selector, candidates: tuple[str, ...]) -> str:
    """Who may be hit, in words."""
    who = " or ".join(candidates) if len(candidates) < 5 else f"one of {len(candidates)} nodes"
    if target.role is not None:
        count = f"{target.count} of those who hold" if target.count is not None else "whoever holds"
        return f"{count} the role {target.role} ({who})"
    if target.of is not None or target.not_of is not None:
        word = "those hit by" if target.of is not None else "those not hit by"
        return f"{word} {target.of or target.not_of} (of {', '.join(candidates)})"
    if target.count is not None and target.count < len(candidates):
        return f"{target.count} of {', '.join(candidates)}"
    return ", ".join(candidates)


def _limit_words(limit: Any) -> str:
    if isinstance(limit, dict):
        return ", ".join(f"{k} {_limit_words(v)}" for k, v in limit.items())
    if isinstance(limit, (list, tuple)):
        return ", ".join(_limit_words(v) for v in limit)
    return str(limit).lower() if isinstance(limit, bool) else str(limit)
