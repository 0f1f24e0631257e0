"""Which run directories may go, and their removal."""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from chaoskit.archive.examining import owed
from chaoskit.engine.run_directory import OWNER_FILE
from chaoskit.model.indexed import IndexedRun
from chaoskit.model.record import Record

DOOMED_PREFIX = ".pruned-"


class Fate(Record):
    """What becomes of one run directory."""

    run: str
    started: str
    removed: bool
    """Or would be, in a dry run."""
    reason: str
    bytes: int = 0
    """What it takes on the disk; counted only where it goes."""


def fates(
    runs: Sequence[IndexedRun],
    *,
    keep: int | None,
    older_than_s: float | None,
    now_s: float,
    baselines: Collection[str],
    named: bool,
) -> list[Fate]:
    """Decide for all runs; pure. A run goes only where every limit that was given lets it go.

    `keep`: so many of the newest runs of each experiment stay; `older_than_s`: younger ones stay; `named`: also those whose name
    somebody chose.
    """
    newest: dict[tuple[str, str], int] = defaultdict(int)
    decided = []
    for run in sorted(runs, key=lambda r: (-r.started_s, r.name)):
        newest[run.title, run.path] += 1
        reason = _kept(run, newest[run.title, run.path], keep, older_than_s, now_s, baselines, named)
        decided.append(Fate(run=run.name, started=run.started, removed=not reason, reason=reason or _why(keep, older_than_s)))
    return decided


def _kept(
    run: IndexedRun,
    rank: int,
    keep: int | None,
    older_than_s: float | None,
    now_s: float,
    baselines: Collection[str],
    named: bool,
) -> str:
    """Why a run stays; empty where it may go."""
    if run.name in baselines:
        return "a baseline"
    if run.state == "running":
        return "it still goes on"
    if run.state == "dead":
        return "its chaoskit was killed; `chaoskit recover` comes first"
    if run.owes:
        return f"it still owes a heal: {'; '.join(run.owes)}"
    if keep is not None and rank <= keep:
        return f"among the newest {keep} of its experiment"
    if older_than_s is not None and now_s - run.started_s <= older_than_s:
        return "young enough"
    if run.is_named and not named:
        return "somebody chose its name (--out); --named prunes such runs as well"
    return ""


def _why(keep: int | None, older_than_s: float | None) -> str:
    parts = [f"not among the newest {keep} of its experiment"] if keep is not None else []
    parts += [f"older than {older_than_s / 86400:.10g} days"] if older_than_s is not None else []
    return " and ".join(parts)


def removable(path: Path) -> str:
    """Why a directory must not be removed, looked up at the last instant; empty where it may be."""
    if path.is_symlink():
        return "it is a link: what it points to is not ours to remove"
    if not (path / "plan.json").is_file():
        return "it is no run directory"
    if (path / OWNER_FILE).exists():
        return "it is owned: it still goes on, or was killed"
    debts = owed(path)
    return f"it still owes a heal: {'; '.join(debts)}" if debts else ""


def remove(path: Path) -> str:
    """Remove a run directory; why it could not be, or empty. It vanishes from every listing at once, and then from the disk."""
    reason = removable(path)
    if reason:
        return reason
    doomed = path.with_name(f"{DOOMED_PREFIX}{path.name}.{os.getpid()}")
    try:
        path.rename(doomed)
        shutil.rmtree(doomed)
    except OSError as error:
        return f"{error.filename or doomed}: {error.strerror}"
    return ""


def sweep(reports: Path) -> Iterable[str]:
    """Finish what an earlier pruning, killed half-way, began; what could not be removed is said."""
    for doomed in sorted(reports.glob(f"{DOOMED_PREFIX}*")):
        try:
            shutil.rmtree(doomed)
        except OSError as error:
            yield f"{error.filename or doomed}: {error.strerror}"


def size_bytes(path: Path) -> int:
    """What the files of a directory take; what vanishes meanwhile takes nothing."""
    total = 0
    for folder, _, files in os.walk(path):
        for name in files:
            try:
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512
            except OSError:
                continue
    return total
