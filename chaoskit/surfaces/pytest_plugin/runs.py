"""Carrying out experiments for tests: with the options of the test run, in turn, and told with the test that asked."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import pytest

from chaoskit.model.errors import CapabilityMissing, ChaoskitError
from chaoskit.model.plan import Plan
from chaoskit.reporting.junit import figure_properties
from chaoskit.surfaces.conducting import Request
from chaoskit.surfaces.python.amounts import Amount
from chaoskit.surfaces.python.experiment import Options, plan_request, run_request
from chaoskit.surfaces.python.outcome import RunResult

RESULTS = pytest.StashKey[list[RunResult]]()
"""Of an item: what was carried out for it."""
KEPT_LABS = pytest.StashKey[list[str]]()
"""Of the test run: labs that were left up and not told yet."""
LOOK_S = 0.05


class UnknownVerdict(ChaoskitError):
    """An experiment whose verdict is unknown: no pass, and no failure of what it tests."""


def options_of(config: pytest.Config, **changes: Any) -> Options:
    """How experiments are carried out here: the command line, then what a mark or call says, then the configuration file."""
    given = {key: value for key, value in changes.items() if value is not None}
    chosen = {
        "backend": config.getini("chaos_backend") or None,
        "reports": config.rootpath / (config.getoption("chaos_reports") or config.getini("chaos_reports")),
        "keep_lab": config.getoption("chaos_keep_lab"),
        **given,
        **{key: value for key in ("backend", "repeat", "seed") if (value := config.getoption(f"chaos_{key}")) is not None},
    }
    return replace(Options(), **chosen)


def overrides_of(changes: Mapping[str, object]) -> tuple[str, ...]:
    """`{"rate": "20/s"}` as `--set` has it."""
    return tuple(f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in changes.items())


def found_file(path: str | Path, item: pytest.Item | pytest.Collector) -> Path:
    """A path from a test: beside its file, else below the root. One that is in neither place is told by whoever reads it."""
    beside, below = item.path.parent / path, item.config.rootpath / path
    found = below if below.exists() and not beside.exists() else beside
    relative = os.path.relpath(found)
    return found if relative.startswith("..") else Path(relative)


# -- one run -----------------------------------------------------------------------------------------------------------------


def carried_out(item: pytest.Item, request: Request, say: Callable[[str], None]) -> RunResult:
    """Carry it out, and tell it with the test. Skips the test in a dry run and where it cannot run here."""
    with guarded(item, request, say):
        result = run_request(request, say)
    told(item, result)
    return result


@contextmanager
def guarded(item: pytest.Item, request: Request, say: Callable[[str], None]) -> Iterator[None]:
    """Around a run: a dry run only plans; what cannot run here is skipped (`--chaos-strict`: an error); runs take turns."""
    config = item.config
    try:
        if config.getoption("chaos_dry_run"):
            _skip_planned(item, plan_request(request, say))
        with turn(request.reports, int(config.getini("chaos_at_once"))):
            yield
    except CapabilityMissing as error:
        if config.getoption("chaos_strict"):
            raise
        skip(f"cannot run here: {' '.join(str(error).split())}")


def skip(reason: str) -> NoReturn:
    """Skip the test, and tell where the test stands instead of this place."""
    raise pytest.skip.Exception(reason, _use_item_location=True)


def _skip_planned(item: pytest.Item, plan: Plan) -> None:
    steps = [f"{a.name}: {s.words()}" for a in plan.trials[0].actions for s in a.inject_preview]
    item.add_report_section("setup", "chaos plan", "\n".join(steps))
    skip(f"dry run: planned {plan.experiment.title!r} with {len(steps)} steps, started nothing")


@contextmanager
def turn(reports: Path, at_once: int) -> Iterator[None]:
    """Experiments that run at the same time on one machine make each other late, and late is unknown. So they take turns.

    Over all processes that keep their reports in this place; the kernel drops a lock with its holder. 0: nobody waits.
    """
    if at_once <= 0:
        yield
        return
    reports.mkdir(parents=True, exist_ok=True)
    files = [(reports / f".turn-{number}").open("w") for number in range(at_once)]
    try:
        while not any(_locked(file.fileno()) for file in files):
            time.sleep(LOOK_S)
        yield
    finally:
        for file in files:
            file.close()


def _locked(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


# -- telling -----------------------------------------------------------------------------------------------------------------


def forget(item: pytest.Item) -> None:
    """A test that is run again tells only its last attempt."""
    item.stash[RESULTS] = []
    item.user_properties[:] = [(name, value) for name, value in item.user_properties if not name.startswith("chaos.")]


def told(item: pytest.Item, result: RunResult) -> None:
    """Properties for junit.xml and the summary."""
    results = item.stash.setdefault(RESULTS, [])
    results.append(result)
    prefix = "chaos" if len(results) == 1 else f"chaos.{len(results)}"
    found: list[tuple[str, object]] = [
        (f"{prefix}.title", result.result.experiment.title),
        (f"{prefix}.verdict", result.verdict),
        (f"{prefix}.run_id", result.result.run_id),
        (f"{prefix}.trials", str(len(result.trials))),
        (f"{prefix}.report", shown_path(result.report or result.directory)),
    ]
    for name, amount in figures_of(result).items():
        found += [(f"{prefix}.{name}", str(amount)), *figure_properties(f"{prefix}.{name}", amount.figure)]
    if result.kept_lab is not None:
        found.append(("chaos.kept_lab", result.kept_lab))
    item.user_properties.extend(dict(found).items())


def figures_of(result: RunResult) -> dict[str, Amount]:
    """What every summary says: RTO, of each client and the worst, and lost writes."""
    found = {"rto": result.rto, **{f"{name}.rto": client.rto for name, client in result.clients.items()}}
    if any(trial.figures.rpo is not None for trial in result.trials):
        found |= {"rpo.lost": result.rpo.lost, "rpo.window": result.rpo.window}
    return found


def shown_path(path: Path) -> str:
    """From here, where it lies below."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def note_kept_labs(item: pytest.Item) -> None:
    """Labs of fixtures that stay up are told with the next test that reports."""
    for lab_id in item.config.stash.setdefault(KEPT_LABS, []):
        item.user_properties.append(("chaos.kept_lab", lab_id))
    item.config.stash[KEPT_LABS].clear()


# -- judging -----------------------------------------------------------------------------------------------------------------


def refuse_unknown(result: RunResult) -> None:
    """UnknownVerdict where objectives were stated and it is not known whether they were met."""
    if result.verdict == "unknown":
        raise UnknownVerdict("\n".join(result.lines()))


def refuse_failed(result: RunResult) -> None:
    """Fail the test where an objective was missed."""
    if result.verdict == "failed":
        pytest.fail("\n".join(result.lines()), pytrace=False)
