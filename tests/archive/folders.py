"""Folders of run directories, quickly made: plan and result alone, from the shapes of the report's tests."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from chaoskit.model.result import ExperimentRef, LabRef, Result
from tests.reporting.recorded_runs import Shape, result_of

FIRST = datetime(2026, 9, 1, 12, tzinfo=UTC)
_MADE: dict[str, Result] = {}


def write_run(
    reports: Path,
    name: str,
    shape: Shape | None = None,
    *,
    day: float = 0,
    title: str = "The primary loses power",
    file: str = "experiments/patroni/primary-power-off.yaml",
    lab: str = "patroni",
    backend: str = "namespace",
    tags: tuple[str, ...] = ("patroni",),
    run_id: str | None = None,
    experiment: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
    report: bool = True,
    **result_changes: Any,
) -> Path:
    """A judged run that started `day` days after FIRST; `experiment` and `settings` change what was asked."""
    shape = shape or Shape()
    made = _MADE.setdefault(repr(shape), result_of(shape))
    started = (FIRST + timedelta(days=day)).isoformat()
    changes = {
        "run_id": name if run_id is None else run_id,
        "started": started,
        "ended": started,
        "seed": int(day * 1000) + 1,
        "experiment": ExperimentRef(title=title, path=file, sha256="ab" * 32, tags=tags),
        "lab": LabRef(name=lab, backend=backend, mode="root", settings=settings or {"ttl": "20s"}),
        "summary": {},
    }
    result = made.model_copy(update={**changes, **result_changes})
    plan = {
        "experiment": {"title": title, "tags": tags, "method": [{"inject": "node.power_off"}], **(experiment or {})},
        "experiment_source": {"path": file, "sha256": "ab" * 32},
        "lab": {"name": lab, "settings": settings or {"ttl": "20s"}},
        "lab_source": {"sha256": "cd" * 32},
        "survey": {"backend": backend, "mode": "root"},
    }
    path = reports / name
    path.mkdir(parents=True, exist_ok=True)
    (path / "plan.json").write_text(json.dumps(plan))
    (path / "result.json").write_text(result.model_dump_json(by_alias=True))
    if report:
        (path / "report.html").write_text("<!doctype html>")
    return path


def own(path: Path, *, alive: bool) -> None:
    """Mark a run as going on (owned by this process), or as killed."""
    from chaoskit.engine.run_directory import OWNER_FILE, RunDirectory, _life_of

    life = _life_of(os.getpid())
    RunDirectory(path).write_json(OWNER_FILE, {"pid": os.getpid(), **life, **({} if alive else {"start_ticks": 1})})


def owe(path: Path) -> None:
    """A journal with a debt that nobody paid."""
    from chaoskit.engine.undo import UndoJournal
    from chaoskit.model.undo import Debt
    from tests.simulated.clock import FakeClock

    where: dict[str, Any] = {"run_id": path.name, "trial": 0, "backend": "namespace", "lab_id": "lab-1"}
    debt = Debt(debt_id="d1", action="off", fault="node.power_off", nodes=("db1",), heal=(), checks=(), **where)
    UndoJournal(path / "undo.jsonl", FakeClock()).owe(debt)
