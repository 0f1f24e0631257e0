"""When the actions of a method start, what they wait for, and what limits them: is all that is named there? Starts nothing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from chaoskit.engine.document import Document, Keys
from chaoskit.engine.spelling import nearest, unknown
from chaoskit.model.condition import ANYONE, ANYONE_ELSE, NOBODY, Condition, Probe
from chaoskit.model.errors import Problem
from chaoskit.model.experiment import AbortWhen, Action, Selector
from chaoskit.model.lab import LabSpec

STARTS = ("at", "after", "during")


def action_names(actions: Iterable[Action]) -> tuple[str, ...]:
    """The name of each action: its own, or its fault's; a second one of the same fault becomes `node.crash-2`."""
    taken: dict[str, int] = {}
    names = []
    for action in actions:
        name = action.name or action.inject
        taken[name] = taken.get(name, 0) + 1
        names.append(name if taken[name] == 1 or action.name else f"{name}-{taken[name]}")
    return tuple(names)


class OrderChecker:
    """References of a method in time."""

    def __init__(self, document: Document, lab: LabSpec | None, clients: Sequence[str], faults: Sequence[str]) -> None:
        """`clients` as written in the experiment; `faults`: what is installed. `lab` None: it could not be read."""
        self._document, self._lab, self._clients, self._faults = document, lab, clients, faults

    def order(self, actions: Sequence[tuple[int, Action]]) -> Iterator[Problem]:
        """`at`, `after`, `during`, `when`, repetitions, and names. Actions with their index in the file."""
        earlier: set[str] = set()
        for (i, action), name in zip(actions, action_names([a for _, a in actions]), strict=True):
            keys: Keys = ("method", i)
            if action.name is not None and action.name in earlier:
                yield self._document.problem((*keys, "name"), "an earlier action has this name")
            known = earlier | self._meant_names(i)
            yield from self._start(keys, action, known, earlier)
            yield from self._repetition(keys, action)
            yield from self._references((*keys, "target"), action.target, known, earlier)
            yield from self._parameters((*keys, "with"), action.parameters, known, earlier)
            for key, condition in (("when", action.when), ("until", action.until)):
                if condition is not None:
                    yield from self.condition((*keys, key), condition)
            earlier.add(name)

    def _start(self, keys: Keys, action: Action, known: set[str], earlier: set[str]) -> Iterator[Problem]:
        given = [key for key in STARTS if getattr(action, key) is not None]
        if len(given) > 1:
            message = f"give one of {' and '.join(given)}, not both"
            yield self._document.problem((*keys, given[1]), message, allowed=STARTS)
        for key in given:
            name = getattr(action, key)
            if key != "at" and len(given) == 1 and name not in known:
                yield unknown(self._document, (*keys, key), "earlier action", name, sorted(earlier))
        if action.within is not None and action.when is None:
            yield self._document.problem((*keys, "within"), "within: says how long to wait for `when`, which is not there")
        elif action.within is not None and float(action.within) <= 0:
            yield self._document.problem((*keys, "within"), "must be more than 0")

    def _repetition(self, keys: Keys, action: Action) -> Iterator[Problem]:
        for key in ("every", "stagger"):
            value = getattr(action, key)
            if value is not None and float(value) <= 0:
                yield self._document.problem((*keys, key), "must be more than 0")
        if action.every is not None and action.times == 1:
            yield self._document.problem((*keys, "every"), "every: belongs to a repetition; say how many (times: 3)")
        if action.times > 1 and action.every is None and action.when is None:
            message = "say how far apart the repetitions start (every: 30s), or what each waits for (when:)"
            yield self._document.problem((*keys, "times"), message)

    def _references(self, keys: Keys, selector: Selector, known: set[str], earlier: set[str]) -> Iterator[Problem]:
        for key in ("of", "not_of"):
            name = getattr(selector, key)
            if name is not None and name not in known:
                yield unknown(self._document, (*keys, key), "earlier action", name, sorted(earlier))

    def _parameters(self, keys: Keys, value: Any, known: set[str], earlier: set[str]) -> Iterator[Problem]:
        """Selectors in a fault's own parameters, as written."""
        if isinstance(value, dict):
            names = {key: value[key] for key in ("of", "not_of") if isinstance(value.get(key), str)}
            if names and set(value) <= set(Selector.model_fields):
                yield from self._references(keys, Selector(**names), known, earlier)
            for key, inner in value.items():
                yield from self._parameters((*keys, key), inner, known, earlier)
        elif isinstance(value, (list, tuple)):
            for i, inner in enumerate(value):
                yield from self._parameters((*keys, i), inner, known, earlier)

    def _meant_names(self, before: int) -> set[str]:
        """Names of earlier entries of the method as they were meant: left out as invalid, or with a misspelt fault."""
        written = self._document.data.get("method")
        entries = [e for e in written[:before] if isinstance(e, dict)] if isinstance(written, list) else []
        names = {str(e.get("name") or e.get("inject")) for e in entries}
        return names | {nearest(name, self._faults) for name in names}

    # -- conditions ----------------------------------------------------------------------------------------------------

    def condition(self, keys: Keys, condition: Condition) -> Iterator[Problem]:
        """Roles, nodes, clients and services that a condition names."""
        for key, parts in (("all", condition.all), ("any", condition.any)):
            for i, part in enumerate(parts or ()):
                yield from self.condition((*keys, key, i), part)
        if condition.client is not None and condition.client not in self._clients:
            yield unknown(self._document, (*keys, "client"), "client", condition.client, self._clients)
        if condition.probe is not None:
            yield from self.probe((*keys, "probe"), condition.probe)
        if self._lab is None:
            return
        nodes = self._lab.node_names()
        if condition.role is not None and condition.role not in self._lab.roles:
            yield unknown(self._document, (*keys, "role"), "role", condition.role, self._lab.roles)
        words = {"gained_by": (ANYONE_ELSE, ANYONE), "held_by": (NOBODY, ANYONE)}
        for key, special in words.items():
            who = getattr(condition, key)
            if who is not None and who not in (*special, *nodes):
                yield unknown(self._document, (*keys, key), "node", who, (*special, *nodes))
        if condition.log is not None:
            if condition.log.service not in self._lab.services:
                yield unknown(self._document, (*keys, "log", "service"), "service", condition.log.service, self._lab.services)
            if condition.log.node is not None and condition.log.node not in nodes:
                yield unknown(self._document, (*keys, "log", "node"), "node", condition.log.node, nodes)

    def probe(self, keys: Keys, probe: Probe) -> Iterator[Problem]:
        """The node that a probe runs in."""
        if probe.node is not None and self._lab is not None and probe.node not in self._lab.node_names():
            where = (*keys, "on") if self._document.lookup((*keys, "on"))[0] else (*keys, "node")
            yield unknown(self._document, where, "node", probe.node, self._lab.node_names())

    def abort_when(self, when: AbortWhen) -> Iterator[Problem]:
        """Clients and probes that end the run."""
        for name, limit in when.clients.items():
            keys: Keys = ("abort-when", "clients", name)
            if name not in self._clients:
                yield unknown(self._document, keys, "client", name, self._clients, of_key=True)
            if float(limit.over) <= 0:
                yield self._document.problem((*keys, "over"), "must be more than 0")
        for i, file in enumerate(when.file):
            if not file.strip() or "\0" in file:
                where = (
                    ("abort-when", "file", i) if self._document.lookup(("abort-when", "file", i))[0] else ("abort-when", "file")
                )
                yield self._document.problem(where, "names no file")
        for i, probe in enumerate(when.probes):
            yield from self.probe(("abort-when", "probes", i), probe)
