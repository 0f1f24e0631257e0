"""The entries of a method, with repetitions and staggered nodes written out: each an injection with a heal of its own. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from chaoskit.model.experiment import Action, Selector
from chaoskit.model.lab import LabSpec
from chaoskit.model.units import Duration
from chaoskit.ports.candidates import candidate_nodes
from chaoskit.ports.fault import Fault


@dataclass(frozen=True)
class Injectable:
    """One injection of the method."""

    name: str
    entry: str
    """The name of its entry of the method; its own where that stands for this one alone."""
    index: int
    """The entry's place in the method."""
    action: Action
    """Without repetition; without stagger too, where its nodes are known before the run."""
    fault: Fault

    def is_of(self, name: str | None) -> bool:
        return name in (self.name, self.entry)


def expanded(names: Sequence[str], method: Sequence[Action], faults: Sequence[Fault], lab: LabSpec) -> tuple[Injectable, ...]:
    """Every injection, in the order of the method. The first of several keeps its entry's name, the others get a number.

    Later ones by the clock keep to the clock; where the entry waits for something, they count from the first one's injection.
    """
    taken = set(names)
    made: list[Injectable] = []
    for index, (entry, action, fault) in enumerate(zip(names, method, faults, strict=True)):
        nodes = known_nodes(action.target, lab, {}) if action.stagger is not None else None
        leading = entry
        """The first injection of the repetition before."""
        for repetition in range(action.times):
            for place in range(len(nodes) if nodes else 1):
                name = entry if (repetition, place) == (0, 0) else free_name(entry, taken)
                taken.add(name)
                changes: dict[str, object] = {"times": 1, "every": None}
                if nodes:
                    changes |= {"stagger": None, "target": Selector(node=nodes[place])}
                wait_s = place * float(action.stagger or 0)
                if repetition and action.every is not None:
                    changes |= _later(action, entry, repetition * float(action.every) + wait_s)
                elif place:
                    changes |= _later(action, leading, wait_s)
                elif repetition:
                    changes |= {"at": None, "after": None, "during": leading}
                    leading = name
                made.append(Injectable(name, entry, index, action.model_copy(update=changes), fault))
    return tuple(made)


def _later(action: Action, first: str, offset_s: float) -> dict[str, object]:
    """So much later than the first: by the clock where that is known, else counted from the first one's injection."""
    if is_by_clock(action):
        return {"at": Duration(float(action.at or 0) + offset_s)}
    return {"at": None, "after": None, "when": None, "within": None, "during": first, "delay": Duration(offset_s)}


def is_by_clock(action: Action) -> bool:
    """Whether its instant is known before the run."""
    return action.after is None and action.during is None and action.when is None


def free_name(entry: str, taken: Iterable[str]) -> str:
    """`x-2`, or the next number that nobody has."""
    number = 2
    while f"{entry}-{number}" in taken:
        number += 1
    return f"{entry}-{number}"


def known_nodes(target: Selector, lab: LabSpec, hit: Mapping[str, tuple[str, ...] | None]) -> tuple[str, ...] | None:
    """The nodes a target surely means, whoever has which role; None where that is decided at run time.

    `hit`: name -> the nodes of an earlier action, None where they are not known either.
    """
    if target.role is not None:
        return None
    found = candidate_nodes(target, lab)
    for name, inside in ((target.of, True), (target.not_of, False)):
        if name is None:
            continue
        nodes = hit.get(name)
        if nodes is None:
            return None
        found = tuple(n for n in found if (n in nodes) is inside)
    return found if target.count is None or target.count == len(found) else None


# -- when each may be in force ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """When an injection may begin and at the latest end, in seconds after the baseline."""

    begin_s: float
    latest_begin_s: float
    end_s: float
    earliest_end_s: float
    certain: bool
    """False where it waits for something that may happen at any time, or not at all."""


def windows(injectables: Sequence[Injectable], recovery_s: float) -> dict[str, Window]:
    """The widest case for each injection."""
    found: dict[str, Window] = {}
    for one in injectables:
        action = one.action
        bases = [found[other.name] for other in _waited_for(one, injectables) if other.name in found]
        begin = latest = float(action.at or 0)
        certain = all(base.certain for base in bases) and action.when is None
        if bases and action.after is not None:
            begin = max(base.earliest_end_s for base in bases)
            latest = max(base.end_s for base in bases)
        elif bases:
            begin = min(base.begin_s for base in bases)
            latest = min(base.latest_begin_s for base in bases)
        begin += float(action.delay)
        latest += float(action.delay) + float(action.phase)
        if action.when is not None:
            latest += float(action.within) if action.within is not None else recovery_s
        held_s = float(action.period) if action.period is not None else recovery_s
        surely_held_s = held_s if action.period is not None and action.until is None else 0.0
        found[one.name] = Window(begin, latest, latest + held_s, begin + surely_held_s, certain)
    return found


def _waited_for(one: Injectable, all_of_them: Sequence[Injectable]) -> Iterator[Injectable]:
    """As `PlannedAction.waits_for`."""
    named = one.action.after or one.action.during
    for other in all_of_them:
        meant = other.name == named if named == one.entry else other.is_of(named)
        if named is not None and meant and other is not one:
            yield other


def comes_after(later: Injectable, earlier: Injectable, all_of_them: Sequence[Injectable]) -> bool:
    """Whether `later` waits, perhaps over others, until `earlier` was healed."""
    for other in _waited_for(later, all_of_them):
        if other is earlier and later.action.after is not None:
            return True
        if other is not earlier and comes_after(other, earlier, all_of_them):
            return True
    return False
