"""What a plan refuses: actions that would fight over one thing, or that would break more than may be broken. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaoskit.engine.blast_radius import Hit, Surroundings, excess, hit_of, protected_nodes
from chaoskit.engine.expanding import Injectable, comes_after, known_nodes, windows
from chaoskit.engine.loading import Loaded
from chaoskit.engine.previewing import preview
from chaoskit.model.blast_radius import BlastRadius
from chaoskit.model.errors import Problem
from chaoskit.ports.candidates import candidate_nodes


def refusals(loaded: Loaded, injectables: Sequence[Injectable]) -> Iterator[Problem]:
    """Everything that is certain beforehand. What a role or a draw decides is refused by the run."""
    nodes = _surely_hit(loaded, injectables)
    yield from _conflicts(loaded, injectables, nodes)
    yield from _excesses(loaded, injectables, nodes)


Nodes = dict[str, tuple[str, ...] | None]


def _surely_hit(loaded: Loaded, injectables: Sequence[Injectable]) -> Nodes:
    """Injection -> its nodes, None where they are decided at run time. The name of an entry means those of all its injections."""
    found: Nodes = {}
    for one in injectables:
        nodes = found[one.name] = known_nodes(one.action.target, loaded.lab.file.spec, found)
        if one.name != one.entry:
            before = found[one.entry]
            found[one.entry] = None if before is None or nodes is None else tuple(dict.fromkeys((*before, *nodes)))
    return found


def _overlapping(loaded: Loaded, injectables: Sequence[Injectable]) -> Iterator[tuple[Injectable, tuple[Injectable, ...]]]:
    """Each injection, with the earlier ones that may be in force together with it. What may happen at any time is left out."""
    window = windows(injectables, float(loaded.experiment.recovery))
    for place, later in enumerate(injectables):
        mine = window[later.name]
        together = []
        for earlier in injectables[:place]:
            other = window[earlier.name]
            apart = mine.begin_s >= other.end_s or other.begin_s >= mine.end_s
            ordered = comes_after(later, earlier, injectables) or comes_after(earlier, later, injectables)
            if not apart and not ordered and mine.certain and other.certain:
                together.append(earlier)
        yield later, tuple(together)


def _conflicts(loaded: Loaded, injectables: Sequence[Injectable], nodes: Nodes) -> Iterator[Problem]:
    """Actions that would hold one thing at the same time."""

    def claims(one: Injectable) -> set[str]:
        known = known_nodes(one.action.target, loaded.lab.file.spec, nodes)
        return set(one.fault.claims(known)) if known is not None else set()

    for later, together in _overlapping(loaded, injectables):
        for earlier in together:
            both = sorted(claims(later) & claims(earlier))
            if both:
                message = (
                    f"{later.name} and {earlier.name} may be in force together and would both hold "
                    f"{', '.join(both)}; separate them in time (at, for, after, every) or give them different targets"
                )
                yield _problem(loaded, later.index, message)


def _excesses(loaded: Loaded, injectables: Sequence[Injectable], nodes: Nodes) -> Iterator[Problem]:
    """Injections that would break more than may be broken."""
    radius = loaded.experiment.blast_radius.with_limits_of(loaded.lab.file.spec.blast_radius)
    around = Surroundings.of(loaded.lab.rendered.plan)
    hits: dict[str, Hit] = {}
    known_hits = {name: known for name, known in nodes.items() if known is not None}
    for one, together in _overlapping(loaded, injectables):
        known = known_nodes(one.action.target, loaded.lab.file.spec, nodes)
        if known is None:
            why = _excess_of_undecided(loaded, one, radius, around)
        else:
            steps = preview(loaded, one, 0, known_hits)[0]
            hits[one.name] = hit_of(one.name, known, steps)
            others = [hits[other.name] for other in together if other.name in hits]
            why = excess(radius, hits[one.name], others, around, lambda role: ())
        if why:
            yield _problem(loaded, one.index, f"{why} (blast-radius)")


def _excess_of_undecided(loaded: Loaded, one: Injectable, radius: BlastRadius, around: Surroundings) -> str:
    """What is certain of a target that a role or a draw decides."""
    target = one.action.target
    if target.role in radius.protected.roles:
        return f"{one.name} targets the role {target.role}, which is protected"
    if radius.max_targets is not None and (target.count or 1) > radius.max_targets:
        return f"{one.name} takes {target.count} nodes, and max-targets is {radius.max_targets}"
    if target.role is None and target.of is None and target.not_of is None:
        protected, _ = protected_nodes(radius, around, lambda role: ())
        for node in candidate_nodes(target, loaded.lab.file.spec):
            if node in protected:
                return f"{one.name} may draw {node}, which {protected[node]}; narrow its target"
    return ""


def _problem(loaded: Loaded, index: int, message: str) -> Problem:
    if loaded.document is None:
        return Problem(message=message, file=loaded.source.path, path=f"method[{index}]")
    return loaded.document.problem(("method", index), message, value="")
