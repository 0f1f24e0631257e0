"""The objective of stale reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from chaoskit.measures.limits import ceiling, checked_clients, missing, outcome
from chaoskit.model.figures import Figure, StaleReadFigures
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures
from chaoskit.model.units import Bound, Duration

NO_READER = "no client reads the newest write of a ledger: give one of them `operation: newest` and `ledger:`"

_FIGURES: Mapping[str, Callable[[StaleReadFigures], Figure]] = {
    "reads": lambda s: s.stale,
    "writes": lambda s: s.behind_writes,
    "behind": lambda s: s.behind,
}


class StaleReadsObjective:
    """How many reads may be stale, or how far behind the worst may be, in writes or in time; a bare number is reads."""

    name = "stale_reads"
    example = "0"

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""
        if isinstance(limit, Mapping) and not limit:
            raise ValueError(f"no limit is given; write {self.example}, or any of {', '.join(_FIGURES)}")
        if _names_clients(limit):
            checked_clients([str(name) for name in limit], clients)
            for value in limit.values():
                _bounds(value)
            return
        _bounds(limit)

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """One outcome for each limit and each client that reads a ledger, or each that is named."""
        chosen = dict(limit) if _names_clients(limit) else {name: limit for name in trial.stale_reads}
        made = []
        for client, given in chosen.items():
            figures = trial.stale_reads.get(client)
            for key, bound in _bounds(given).items():
                name = self.name if key == "reads" else f"{self.name}.{key}"
                if figures is None:
                    why = f"the client {client!r} reads no ledger, or nothing was recorded of it"
                    made.append(missing(name, bound.text, why, trial, client))
                else:
                    made.append(outcome(name, bound, _FIGURES[key](figures), trial, client))
        return tuple(made) or (missing(self.name, str(limit), NO_READER, trial),)


def _names_clients(limit: Any) -> bool:
    return isinstance(limit, Mapping) and bool(limit) and not set(limit) & set(_FIGURES)


def _bounds(limit: Any) -> dict[str, Bound]:
    given = limit if isinstance(limit, Mapping) else {"reads": limit}
    bounds = {}
    for key, value in given.items():
        if key not in _FIGURES:
            raise ValueError(f"{key!r} is not known here; use any of {', '.join(_FIGURES)}")
        bounds[key] = ceiling(0 if value == "none" and key != "behind" else value, Duration if key == "behind" else None)
    return bounds
