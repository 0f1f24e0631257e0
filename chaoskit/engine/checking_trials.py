"""What an experiment promises of all its trials together: does the figure exist, does the limit fit it, do the trials suffice?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaoskit.engine.document import Document
from chaoskit.engine.order_statistics import trials_needed
from chaoskit.engine.spelling import unknown
from chaoskit.model.errors import Problem
from chaoskit.model.experiment import Experiment
from chaoskit.model.units import Bound, Duration

COUNTS = ("lost", "flaps")
TIMES = ("rto", "rpo_window")


def over_trials_problems(experiment: Experiment, document: Document, clients: Sequence[str]) -> Iterator[Problem]:
    """Every problem of `over-trials`."""
    allowed = (*TIMES, *COUNTS, *(f"rto:{client}" for client in clients))
    for i, asked in enumerate(experiment.over_trials):
        keys = ("over-trials", i)
        if asked.figure not in allowed:
            yield unknown(document, (*keys, "figure"), "figure", asked.figure, allowed)
            continue
        try:
            Bound.parse(asked.limit.text, None if asked.figure in COUNTS else Duration)
        except ValueError as error:
            yield document.problem((*keys, "limit"), str(error))


def over_trials_notes(experiment: Experiment) -> Iterator[str]:
    """What these trials cannot show whatever they are."""
    for asked in experiment.over_trials:
        needed = trials_needed(float(asked.quantile), float(asked.confidence))
        if experiment.repeat < needed:
            sure = f"{float(asked.confidence) * 100:g} % confidence"
            yield (
                f"{asked.figure} {asked.name} {asked.limit.text} with {sure} takes {needed} trials that all keep it; with "
                f"repeat: {experiment.repeat} it stays unknown"
            )
