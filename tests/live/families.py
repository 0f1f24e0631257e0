"""Methods for the relay lab, drawn from every registered fault that can run here: a few at once, over all families."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any

from chaoskit.backends.linux_host.survey import take_survey
from chaoskit.model.experiment import Action
from chaoskit.model.lab import LabSpec
from chaoskit.ports.fault import Fault

FAULTS: dict[str, type[Fault]] = {point.name: point.load() for point in entry_points(group="chaoskit.faults")}
MEMBERS = ("kv1", "kv2", "kv3")
AT_ONCE = 3
HOLD = "2s"
FITTED: dict[str, Any] = {"process": {"service": "relay"}, "service": "relay", "ports": [8000], "volume": "data"}
"""Parameters of the faults' own examples that name what this lab has not."""
CHANGED: dict[str, dict[str, Any]] = {name: {"volume": "disk"} for name in ("storage.errors", "storage.lying", "storage.slow")}
"""Fault -> parameters that its example lacks or that do not suit this lab."""
WITH_A_LAB_OF_ITS_OWN = {
    "network.dns_failure": "a name server",
    "network.router_failure": "a router",
    "node.drain": "a way to drain",
}
"""Fault -> what it needs that the relay lab has not; its own live test covers it."""


def runnable(has: Callable[[str], bool] | None = None) -> list[str]:
    """The registered faults that this lab can carry out with these capabilities (this user's, where left out), sorted."""
    if has is None:
        has = take_survey("namespace", LabSpec(name="relay", nodes={"kv": {"count": 3}})).has  # type: ignore[dict-item]
    found = [name for name in sorted(FAULTS) if name not in WITH_A_LAB_OF_ITS_OWN]
    return [name for name in found if all(has(need.capability) for need in fitted(name).needs() if need.required)]


def parameters(name: str) -> dict[str, Any]:
    given = dict(Action.model_validate(FAULTS[name].EXAMPLE).parameters)
    given |= {key: value for key, value in FITTED.items() if key in given}
    return {key: _at_home(value) for key, value in (given | CHANGED.get(name, {})).items()}


def fitted(name: str) -> Fault:
    return FAULTS[name].model_validate(parameters(name))


def _at_home(value: Any) -> Any:
    """Selectors of other labs' roles and nodes become the clients' node."""
    if isinstance(value, Mapping):
        if {"role", "group", "nodes", "node"} & set(value):
            return {"node": "app"}
        return {key: _at_home(inner) for key, inner in value.items()}
    return [_at_home(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def methods(seed: int, has: Callable[[str], bool] | None = None) -> Iterator[list[dict[str, Any]]]:
    """Without end: some faults at once, each on a member of its own; every fault comes before any comes again."""
    chance = random.Random(seed)
    names = runnable(has)
    deck: list[str] = []
    while True:
        held: set[str] = set()
        method: list[dict[str, Any]] = []
        passed_over: list[str] = []
        while len(method) < AT_ONCE:
            if not deck:
                deck = chance.sample(names, len(names))
            name = deck.pop()
            node = MEMBERS[len(method)]
            claims = set(fitted(name).claims((node,)))
            if claims & held:
                passed_over.append(name)
                continue
            held |= claims
            at = f"{300 + 100 * len(method)}ms"
            entry = {"inject": name, "name": f"f{len(method)}", "target": {"node": node}, "at": at, "for": HOLD}
            method.append(entry | ({"with": parameters(name)} if parameters(name) else {}))
        deck += passed_over
        yield method


def words(method: list[dict[str, Any]]) -> str:
    return ", ".join(f"{entry['inject']} on {entry['target']['node']}" for entry in method)
