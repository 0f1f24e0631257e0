"""`history prune`: old run directories go, by age and count."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import click

from chaoskit.archive.baselines import baselines
from chaoskit.archive.index import opened
from chaoskit.archive.retention import Fate, fates, removable, remove, size_bytes, sweep
from chaoskit.model.errors import InputError, Problem
from chaoskit.reporting.index_page import INDEX_PAGE
from chaoskit.surfaces.asking import age_s, folder_there
from chaoskit.surfaces.indexing import indexed
from chaoskit.surfaces.options import JSON, REPORTS
from chaoskit.surfaces.terminal import say, say_json


@click.command()
@click.option("--keep", type=click.IntRange(0), default=None, metavar="N", help="The newest N runs of each experiment stay.")
@click.option("--older-than", metavar="AGE", default=None, help="Younger runs stay: 90d, 12h, 2w.")
@click.option("--named", is_flag=True, help="Also runs whose directory somebody named (--out).")
@click.option("--dry-run", is_flag=True, help="Say what would go; remove nothing.")
@REPORTS
@JSON
def prune(keep: int | None, older_than: str | None, named: bool, dry_run: bool, reports: Path, as_json: bool) -> int:
    """Remove old run directories, by age and count; with both, a run must be beyond both to go.

    Never removed: baselines, runs that still go on or were killed and not recovered, runs that still owe a heal, links, and
    whatever is no run directory. Exit 0: done; 3: some could not be removed, which is said.
    """
    if keep is None and older_than is None:
        message = "say what may go: --keep N, --older-than AGE or both; --dry-run shows it first"
        raise InputError([Problem(message=message)])
    age = None if older_than is None else age_s(older_than, "--older-than")
    if not folder_there(reports):
        say_json({"schema": "chaoskit.pruned/1", "removed": [], "failed": []}) if as_json else say("there is nothing to prune")
        return 0
    protected = {run for baseline in baselines(reports).values() for run in baseline.runs}
    with opened(reports) as index:
        decided = fates(
            index.runs(), keep=keep, older_than_s=age, now_s=time.time(), baselines=protected, named=named
        )  # fmt: skip
    decided = [_looked_at(fate, reports) for fate in decided]
    failed = {} if dry_run else _remove(decided, reports)
    if as_json:
        _say_json(decided, failed, dry_run)
    else:
        _say(decided, failed, dry_run)
    return 3 if failed else 0


def _looked_at(fate: Fate, reports: Path) -> Fate:
    """What the directory itself says, beyond the index."""
    if not fate.removed:
        return fate
    reason = removable(reports / fate.run)
    if reason:
        return fate.model_copy(update={"removed": False, "reason": reason})
    return fate.model_copy(update={"bytes": size_bytes(reports / fate.run)})


def _remove(decided: list[Fate], reports: Path) -> dict[str, str]:
    """What could not be removed -> why."""
    unswept = list(sweep(reports))
    failed = {"what an earlier pruning left": "; ".join(unswept)} if unswept else {}
    for fate in decided:
        if fate.removed:
            why = remove(reports / fate.run)
            if why:
                failed[fate.run] = why
    if any(fate.removed and fate.run not in failed for fate in decided):
        indexed(reports / INDEX_PAGE, reports)
    return failed


def _say_json(decided: list[Fate], failed: dict[str, str], dry_run: bool) -> None:
    say_json(
        {
            "schema": "chaoskit.pruned/1",
            "dry_run": dry_run,
            "removed": [f.model_dump(mode="json") for f in decided if f.removed and f.run not in failed],
            "kept": [f.model_dump(mode="json", exclude={"bytes"}) for f in decided if not f.removed],
            "failed": [{"run": run, "reason": why} for run, why in failed.items()],
        }
    )


def _say(decided: list[Fate], failed: dict[str, str], dry_run: bool) -> None:
    gone = [f for f in decided if f.removed and f.run not in failed]
    for fate in gone:
        say(f"{'would remove' if dry_run else 'removed'} {fate.run} ({fate.started[:10] or 'no date'}): {fate.reason}")
    for run, why in failed.items():
        say(f"NOT removed {run}: {why}", "bad")
    total = sum(f.bytes for f in gone)
    count = f"{len(gone)} of {len(decided)} runs"
    say(f"{count} {'would go' if dry_run else 'are gone'}, {total / 1e6:.1f} MB", "good" if gone else "")
    for reason, n in Counter(f.reason for f in decided if not f.removed).most_common():
        say(f"  {n} kept: {reason}", "dim")
