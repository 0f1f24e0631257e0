"""One run directory -> its record for the index. Reads only; whatever is wrong with a run is said, never raised."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from chaoskit.engine.comparing import MACHINE_FACTS, asked
from chaoskit.engine.judging import RESULT_FILE, series
from chaoskit.engine.recorded_plan import PLAN_FILE
from chaoskit.engine.run_directory import OWNER_FILE, RunDirectory
from chaoskit.engine.undo import journal_lines, open_debts
from chaoskit.model.indexed import IndexedRun, RunState, TrialFigure
from chaoskit.model.result import Result

UNDO_FILE = "undo.jsonl"
REPORT_FILE = "report.html"
_WATCHED = (PLAN_FILE, RESULT_FILE, OWNER_FILE, UNDO_FILE, REPORT_FILE)


def run_directories(reports: Path) -> Iterator[tuple[str, str]]:
    """(name, fingerprint) of every run directory in a folder: what has a plan or an owner. Hidden ones are none, nor are those
    whose name nobody could print or type."""
    with os.scandir(reports) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name.isprintable():
                found = fingerprint(entry.path)
                if found:
                    yield entry.name, found


def fingerprint(path: str) -> str:
    """Changes whenever anything changes that the index keeps of a run; empty where this is no run directory."""
    seen = {name: _stamp(f"{path}/{name}") for name in _WATCHED}
    if not seen[PLAN_FILE] and not seen[OWNER_FILE]:
        return ""
    alive = RunDirectory(Path(path)).owner_is_alive() if seen[OWNER_FILE] else False
    return f"{' '.join(seen[name] or '-' for name in _WATCHED)} {'alive' if alive else ''}"


def _stamp(path: str) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return ""
    return f"{found.st_ino}.{found.st_size}.{found.st_mtime_ns}"


def examined(path: Path) -> IndexedRun:
    """What the index keeps of a run directory."""
    owned = (path / OWNER_FILE).exists()
    try:
        result = Result.model_validate_json((path / RESULT_FILE).read_bytes())
        plan = json.loads((path / PLAN_FILE).read_bytes())
        if not isinstance(plan, dict):
            raise ValueError(f"{PLAN_FILE} is not what a run writes")
    except FileNotFoundError as error:
        if Path(error.filename or "").name == PLAN_FILE and not owned:
            return _without_result(path, "unreadable", f"it has no {PLAN_FILE}")
        return _without_result(path, *_state_without_result(path, owned))
    except (OSError, ValueError) as error:
        state, reason = _state_without_result(path, owned) if owned else ("unreadable", _why(error))
        return _without_result(path, state, reason)
    judged = _of_result(path, result, plan)
    if owned:
        state, reason = _state_without_result(path, owned)
        return judged.model_copy(update={"state": state, "reason": reason})
    return judged


def _state_without_result(path: Path, owned: bool) -> tuple[RunState, str]:
    if not owned:
        return "unjudged", f"it was not judged: `chaoskit report {path.name}` does that"
    if RunDirectory(path).owner_is_alive():
        return "running", "it still goes on"
    return "dead", "its chaoskit was killed: `chaoskit recover` puts back what it owes and judges it"


def _why(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return (
            f"{RESULT_FILE} cannot be read: {where}: {first['msg']}" if where else f"{RESULT_FILE} cannot be read: {first['msg']}"
        )
    if isinstance(error, OSError):
        return f"{Path(error.filename or RESULT_FILE).name} cannot be read: {error.strerror}"
    return f"its files cannot be read: {error}"


def _of_result(path: Path, result: Result, plan: dict[str, Any]) -> IndexedRun:
    figures = {
        name: tuple(
            TrialFigure(
                trial=index, point=f.point, low=f.low, high=f.high, unit=f.unit,
                censored=f.censored, valid=f.valid, reasons=f.reasons, text=f.text,
            )
            for index, f in found
        )
        for name, found in series(result.trials).items()
    }  # fmt: skip
    return IndexedRun(
        name=path.name,
        state="judged",
        run_id=result.run_id,
        title=result.experiment.title,
        path=result.experiment.path,
        sha256=result.experiment.sha256,
        question=question(plan),
        lab=result.lab.name,
        variant=result.lab.variant or "",
        backend=result.lab.backend,
        mode=result.lab.mode,
        verdict=result.verdict,
        reasons=result.reasons,
        tags=result.experiment.tags,
        started=result.started,
        ended=result.ended,
        started_s=_seconds(result.started, path),
        seed=result.seed,
        trials=len(result.trials),
        figures=figures,
        predicted_rto_s=result.predicted_rto_s,
        incomplete=result.incomplete,
        stopped=result.stopped,
        owes=result.undo.dirty,
        machine={key: str(result.environment[key]) for key in MACHINE_FACTS if key in result.environment},
        has_report=(path / REPORT_FILE).exists(),
    )


def question(plan: dict[str, Any]) -> str:
    """Digest of everything that was asked of every trial."""
    return hashlib.sha256(json.dumps(sorted(asked(plan).items())).encode()).hexdigest()


def _without_result(path: Path, state: RunState, reason: str) -> IndexedRun:
    """What plan and events say of a run that has no result."""
    try:
        plan = json.loads((path / PLAN_FILE).read_bytes())
    except (OSError, ValueError):
        plan = {}
    experiment, source = _part(plan, "experiment"), _part(plan, "experiment_source")
    started = _first_instant(path)
    seed = _part({"plan": plan}, "plan").get("seed")
    return IndexedRun(
        name=path.name,
        state=state,
        reason=reason,
        title=_text(experiment, "title"),
        path=_text(source, "path"),
        sha256=_text(source, "sha256"),
        lab=_text(_part(plan, "lab"), "name"),
        variant=_text(_part(experiment, "lab"), "variant"),
        backend=_text(_part(plan, "survey"), "backend"),
        mode=_text(_part(plan, "survey"), "mode"),
        tags=tuple(_text({"tag": tag}, "tag") for tag in experiment.get("tags") or ()),
        started=started,
        started_s=_seconds(started, path),
        seed=seed if isinstance(seed, int) else None,
        owes=owed(path),
        has_report=(path / REPORT_FILE).exists(),
    )


def owed(path: Path) -> tuple[str, ...]:
    """What a run's journal still owes, from the journal itself; a journal that cannot be read may owe anything."""
    try:
        return tuple(f"{debt.fault} on {', '.join(debt.nodes)}" for debt in open_debts(journal_lines(path / UNDO_FILE)))
    except (OSError, ValueError) as error:
        return (f"unknown: {UNDO_FILE} cannot be read ({type(error).__name__})",)


def _part(data: Any, key: str) -> dict[str, Any]:
    found = data.get(key) if isinstance(data, dict) else None
    return found if isinstance(found, dict) else {}


def _text(data: dict[str, Any], key: str) -> str:
    """A plan that nobody has checked may hold halves of characters, which no database takes."""
    return str(data.get(key) or "").encode("utf-8", "replace").decode()


def _first_instant(path: Path) -> str:
    """The instant of the first event; empty where there is none."""
    try:
        with (path / "events.jsonl").open("rb") as file:
            return _text(_part({"first": json.loads(file.readline(1 << 20))}, "first"), "wall")
    except (OSError, ValueError):
        return ""


def _seconds(instant: str, path: Path) -> float:
    """Since 1970; by the directory's own time where the instant is none."""
    try:
        moment = datetime.fromisoformat(instant)
    except ValueError:
        try:
            return path.stat().st_mtime
        except OSError:
            return 0.0
    return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp()
