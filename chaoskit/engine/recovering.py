"""Pay what a dead run still owes, and sweep what it left behind."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from chaoskit.engine.injecting import GONE_WITHIN_S, seen_within
from chaoskit.engine.run_directory import OWNER_FILE, EventLog, RunDirectory
from chaoskit.engine.undo import UndoJournal
from chaoskit.model.errors import LabUnavailable, StepFailed
from chaoskit.model.record import Record
from chaoskit.model.undo import Debt
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Backend, Lab


class Recovered(Record):
    """What `recover` did for one run or lab."""

    subject: str
    """The run directory, or the lab's id where its run directory is not known."""
    healed: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    still_broken: tuple[str, ...] = ()
    skipped: str = ""
    """Why nothing was done."""


def dead_runs(places: Iterable[Path]) -> list[RunDirectory]:
    """Run directories, in `places` or one level below, whose chaoskit died, or which still owe something."""
    found: dict[Path, RunDirectory] = {}
    for place in places:
        for path in (place, *(sorted(p for p in place.iterdir() if p.is_dir()) if place.is_dir() else ())):
            run = RunDirectory(path)
            if (path / OWNER_FILE).exists() or run.undo_file.exists():
                found.setdefault(path.resolve(), run)
    return list(found.values())


def recover_run(run: RunDirectory, backends: Mapping[str, Backend], clock: Clock) -> Recovered | None:
    """Heal and sweep one run. None where it neither died nor owes anything."""
    died = (run.path / OWNER_FILE).exists()
    if died and run.owner_is_alive():
        return Recovered(subject=str(run.path), skipped="its chaoskit still runs")
    journal = UndoJournal(run.undo_file, clock)
    debts = journal.open_debts()
    if not died and not debts:
        return None
    healed: list[str] = []
    broken: list[str] = []
    for debt in debts:
        _pay(debt, backends, journal, clock, healed, broken)
    if died:
        events = EventLog(run, clock, lambda event: None)
        events.add("run.ended", incomplete="chaoskit was killed; the run was recovered later")
        events.close()
        run.release()
    return Recovered(subject=str(run.path), healed=tuple(healed), still_broken=tuple(broken))


def _pay(
    debt: Debt, backends: Mapping[str, Backend], journal: UndoJournal, clock: Clock, healed: list[str], broken: list[str]
) -> None:
    what = f"{debt.fault} on {', '.join(debt.nodes)} in lab {debt.lab_id}"
    backend = backends.get(debt.backend)
    if backend is None:
        broken.append(f"{what}: the backend {debt.backend!r} is not installed here")
        return
    try:
        lab = backend.attach(debt.lab_id)
    except LabUnavailable as error:
        if any(left.lab_id == debt.lab_id and not left.owner_alive for left in backend.leftovers()):
            journal.void(debt.debt_id, "its lab is dead and will be swept")
        else:
            journal.void(debt.debt_id, f"its lab is gone: {error}")
        healed.append(f"{what}: the lab itself is gone")
        return
    failure = _healed_in(lab, debt, clock)
    if failure:
        journal.dirty(debt.debt_id, failure)
        broken.append(f"{what}: {failure}")
    else:
        journal.paid(debt.debt_id)
        healed.append(what)


def _healed_in(lab: Lab, debt: Debt, clock: Clock) -> str:
    """Perform the literal heal steps and look whether the effect is gone. Returns what failed, or an empty text."""
    failed = []
    for step in debt.heal:
        try:
            lab.perform(step)
        except StepFailed as error:
            failed.append(f"{step.kind}: {error}")
    if failed:
        return "; ".join(failed)
    gone, evidence = seen_within(lab, debt.checks, lambda c: c.healed, GONE_WITHIN_S, clock, nothing_is=True)
    return "" if gone else "; ".join(f"{e['means']}: saw {e['seen']!r}" for e in evidence if not e["holds"])


def sweep_leftovers(backends: Mapping[str, Backend], run_ids: Sequence[str] | None = None) -> list[Recovered]:
    """Remove every lab whose owner is dead (`run_ids` narrows it down). Labs that stay up on purpose are left alone."""
    done = []
    for backend in backends.values():
        for left in backend.leftovers():
            if left.owner_alive or (run_ids is not None and left.run_id not in run_ids):
                continue
            remains = tuple(backend.sweep(left.lab_id))
            done.append(Recovered(subject=f"lab {left.lab_id}", swept=left.what, still_broken=remains))
    return done
