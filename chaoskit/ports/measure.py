"""What a measure and a report section look like from outside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from chaoskit.model.experiment import ClientSpec
from chaoskit.model.recorded import TrialRecord
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures


class Measure(Protocol):
    """A part of `TrialMeasures`, computed from a recorded trial. Pure: no clock, no files, no chance."""

    name: str

    def measure(self, trial: TrialRecord) -> Mapping[str, Any]:
        """Fields of TrialMeasures that this measure owns, such as {"rpo": LedgerFigures(...)}."""


class Objective(Protocol):
    """One key of `objectives:`. It belongs to a measure."""

    name: str
    example: str
    # One that not every client can be judged by also has a method unfit(client: ClientSpec) -> str: why not, or empty.

    def check(self, limit: Any, clients: Sequence[str]) -> None:
        """ValueError with what is allowed, where the limit is not one."""

    def judge(self, limit: Any, trial: TrialMeasures) -> Sequence[ObjectiveOutcome]:
        """Met, missed, or unknown (None) with the reason. Pure."""


def unfit_clients(objective: Objective, limit: Any, clients: Mapping[str, ClientSpec]) -> Iterator[tuple[str, str]]:
    """(client, why) for each client that a limit names and that the objective cannot be judged by."""
    unfit = getattr(objective, "unfit", None)
    if unfit is None or not isinstance(limit, Mapping):
        return
    for name in limit:
        why = unfit(clients[name]) if name in clients else ""
        if why:
            yield str(name), why
