"""What may be pruned, and what never is."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

import pytest

from chaoskit.archive import retention
from chaoskit.archive.index import opened
from chaoskit.archive.retention import fates, removable, remove, sweep
from tests.archive.folders import FIRST, owe, own, write_run
from tests.reporting.recorded_runs import Shape

DAY_S = 86400.0


def gone(
    reports: Path, *, keep: int | None = None, days: float | None = None, baselines: Collection[str] = (), named: bool = False
) -> set[str]:
    """On the tenth day."""
    with opened(reports) as index:
        decided = fates(
            index.runs(), keep=keep, older_than_s=None if days is None else days * DAY_S,
            now_s=FIRST.timestamp() + 10 * DAY_S, baselines=baselines, named=named,
        )  # fmt: skip
    assert all(fate.reason for fate in decided)
    return {fate.run for fate in decided if fate.removed}


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    for day in range(5):
        write_run(tmp_path, f"a{day}", day=day)
    for day in range(2):
        write_run(tmp_path, f"b{day}", day=day, title="Web", file="web.yaml")
    return tmp_path


def test_by_count_of_each_experiment_by_age_and_by_both(reports: Path) -> None:
    assert gone(reports, keep=2) == {"a0", "a1", "a2"}
    assert gone(reports, keep=0) == {"a0", "a1", "a2", "a3", "a4", "b0", "b1"}
    assert gone(reports, days=8.5) == {"a0", "a1", "b0", "b1"}
    assert gone(reports, keep=4, days=8.5) == {"a0"}
    assert gone(reports, keep=0, days=400) == set()


def test_what_never_goes(reports: Path) -> None:
    own(reports / "a1", alive=True)
    own(reports / "a2", alive=False)
    write_run(reports, "a3", Shape(dirty=("node.power_off on db1",)), day=3)
    write_run(reports, "sample", day=0, run_id="20260901-120000-x-1234")
    assert gone(reports, keep=0, baselines=("a0",)) == {"a4", "b0", "b1"}
    assert gone(reports, keep=0, baselines=("a0",), named=True) == {"a4", "b0", "b1", "sample"}


def test_the_directory_has_the_last_word(reports: Path) -> None:
    for name in ("a0", "a1", "a2"):
        assert removable(reports / name) == ""
    owe(reports / "a0")
    own(reports / "a1", alive=True)
    (reports / "a2" / "undo.jsonl").write_text("damaged\n{}\n")
    (reports / "link").symlink_to(reports / "a3")
    (reports / "notes").mkdir()
    for name, why in (("a0", "owes a heal"), ("a1", "owned"), ("a2", "unknown"), ("link", "a link"), ("notes", "no run")):
        assert why in removable(reports / name)
        assert why in remove(reports / name)
        assert (reports / name).exists()
    assert (reports / "a3" / "plan.json").exists()
    assert remove(reports / "a4") == ""
    assert not (reports / "a4").exists()


def test_a_removal_that_was_killed_half_way_is_finished_later(reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(path: Path) -> None:
        os.unlink(path / "plan.json")
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(retention.shutil, "rmtree", interrupted)
        assert "Permission denied" in remove(reports / "a0")
        assert len(list(sweep(reports))) == 1
    with opened(reports) as index:
        assert index.named("a0") is None
        assert index.count() == 6, "half a run is listed nowhere"
    assert list(sweep(reports)) == []
    assert [p.name for p in reports.iterdir() if p.name.startswith(".pruned")] == []
