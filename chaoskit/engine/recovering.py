"""Pay what a dead run still owes, and sweep what it left behind."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from chaoskit.engine.injecting import GONE_WITHIN_S, seen_within
from chaoskit.engine.run_directory import OWNER_FILE, EventLog, RunDirectory
from chaoskit.engine.store import read_events
from chaoskit.engine.undo import UndoJournal
from chaoskit.model.errors import ChaoskitError, LabGone, LabUnavailable, RecordingFailed, StepFailed
from chaoskit.model.record import Record
from chaoskit.model.undo import Debt
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Backend, DeadMan, Lab

KILLED = "chaoskit was killed; the run was recovered later"


class Recovered(Record):
    """What `recover` did for one run or lab."""

    subject: str
    """The run directory, or the lab's id where its run directory is not known."""
    healed: tuple[str, ...] = ()
    swept: tuple[str, ...] = ()
    still_broken: tuple[str, ...] = ()
    skipped: str = ""
    """Why nothing was done."""
    incomplete: str | None = None
    """Why the record of the run is incomplete; None where it was written to its end."""
    warnings: tuple[str, ...] = ()
    """What could not be written down about it; nothing of that is broken."""


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
    done = _Done()
    # first every heal, newest first, then every proof: a node that another fault still holds can prove nothing
    healed = [(debt, lab) for debt in debts if (lab := _healed(debt, backends, journal, done)) is not None]
    for debt, lab in healed:
        with done.writing():  # a full disk must not keep the next debt from being paid
            _prove(debt, lab, journal, clock, done)
    incomplete = None
    _remove_secrets(run)
    if died:
        try:
            incomplete = _ended(run, clock)
            run.release()
        except (RecordingFailed, OSError) as error:
            incomplete = KILLED
            done.warnings.append(str(error))
    return Recovered(
        subject=str(run.path),
        healed=tuple(done.healed),
        still_broken=tuple(done.broken),
        incomplete=incomplete,
        warnings=tuple(done.warnings),
    )


@dataclass
class _Done:
    healed: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Whatever cannot be written down is a warning: nothing of it is broken."""
        try:
            yield
        except RecordingFailed as error:
            self.warnings.append(str(error))


def _ended(run: RunDirectory, clock: Clock) -> str | None:
    """Write the record's last line, unless the run wrote it itself and was killed while it was being judged."""
    try:
        if any(event.kind == "run.ended" for event in read_events(run.path)):
            return None
    except ChaoskitError:
        return KILLED  # damaged: judging it says so
    EventLog(run, clock, lambda event: None).add("run.ended", incomplete=KILLED)
    return KILLED


def _remove_secrets(run: RunDirectory) -> None:
    """Files that only their owner may read carry secrets to a client; a run that ends removes them itself."""
    for file in run.spool.glob("*.json"):
        if not file.stat().st_mode & 0o077:
            file.unlink(missing_ok=True)


def _healed(debt: Debt, backends: Mapping[str, Backend], journal: UndoJournal, done: _Done) -> Lab | None:
    """Perform a debt's literal heal steps. Returns the lab to prove it in; None where that is decided already."""
    backend = backends.get(debt.backend)
    if backend is None:
        done.broken.append(f"{_what(debt)}: the backend {debt.backend!r} is not installed here")
        return None
    failed = []
    try:
        lab = backend.attach(debt.lab_id)
        for step in debt.heal:
            try:
                lab.perform(step)
            except LabGone:
                raise
            except StepFailed as error:
                failed.append(f"{step.kind}: {error}")
    except (LabUnavailable, LabGone) as error:
        # never there, or ended under our hands: a lab whose owner died ends by itself
        dead = any(left.lab_id == debt.lab_id and not left.owner_alive for left in backend.leftovers())
        _void(debt, "its lab is dead and will be swept" if dead else f"its lab is gone: {error}", journal, done)
        return None
    if failed:
        _dirty(debt, "; ".join(failed), journal, done)
        return None
    return lab


def _prove(debt: Debt, lab: Lab, journal: UndoJournal, clock: Clock, done: _Done) -> None:
    """Look whether the effect is gone, and pay or keep the debt."""
    try:
        gone, evidence = seen_within(lab, debt.checks, lambda c: c.healed, GONE_WITHIN_S, clock, nothing_is=True)
        if gone and isinstance(lab, DeadMan):
            lab.disarm(debt.debt_id)
    except LabGone as error:
        _void(debt, f"its lab is gone: {error}", journal, done)
        return
    except StepFailed as error:
        gone, evidence = False, [{"means": "the lab answers", "seen": str(error), "holds": False}]
    if gone:
        done.healed.append(_what(debt))
        journal.paid(debt.debt_id)
    else:
        _dirty(debt, "; ".join(f"{e['means']}: saw {e['seen']!r}" for e in evidence if not e["holds"]), journal, done)


def _what(debt: Debt) -> str:
    return f"{debt.fault} on {', '.join(debt.nodes)} in lab {debt.lab_id}"


def _void(debt: Debt, reason: str, journal: UndoJournal, done: _Done) -> None:
    done.healed.append(f"{_what(debt)}: the lab itself is gone")
    with done.writing():
        journal.void(debt.debt_id, reason)


def _dirty(debt: Debt, reason: str, journal: UndoJournal, done: _Done) -> None:
    done.broken.append(f"{_what(debt)}: {reason}")
    with done.writing():
        journal.dirty(debt.debt_id, reason)


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
