"""Whether the trials of several runs are one sample: what must be the same, and what raises doubt. Pure.

Runs that asked something else are no sample together; `comparing` refuses or names that. Here stands what makes n trials of
several runs say less than n trials of one, though they asked the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol


class PooledRun(Protocol):
    """What is known of one of the runs."""

    @property
    def run_id(self) -> str: ...
    @property
    def seed(self) -> int | None: ...
    @property
    def stopped(self) -> str | None: ...
    @property
    def incomplete(self) -> str | None: ...


def doubts(runs: Sequence[PooledRun], machines: Sequence[Mapping[str, str]]) -> tuple[str, ...]:
    """Why these runs' trials may be no one sample, in words; empty for a single run, or where nothing speaks against it.

    `machines`: what each ran on.
    """
    return tuple(_doubts(runs, machines)) if len(runs) > 1 else ()


def _doubts(runs: Sequence[PooledRun], machines: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for key in sorted({key for machine in machines for key in machine}):
        values = sorted({machine.get(key, "unknown") for machine in machines})
        if len(values) > 1:
            yield f"they ran on different ones: {key} is {', '.join(values[:4])}{' ...' if len(values) > 4 else ''}"
    stopped = [run.run_id for run in runs if run.stopped]
    if stopped:
        yield f"{_some(stopped)} stopped as soon as the question was decided: such trials lean towards what decided it"
    incomplete = [run.run_id for run in runs if run.incomplete]
    if incomplete:
        yield f"{_some(incomplete)} ended early: what ended a run may have chosen its trials"
    seeds = [run.seed for run in runs if run.seed is not None]
    if len(set(seeds)) < len(seeds):
        yield "some have the same seed: their random instants and targets are the same, and count once"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
