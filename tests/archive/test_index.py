"""The index says what the run directories say, whatever happened to it, to them, and at the same time."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from chaoskit.archive import index as index_module
from chaoskit.archive.index import INDEX_FILE, Wanted, opened
from chaoskit.model.errors import InputError
from chaoskit.model.indexed import IndexedRun
from tests.archive.folders import FIRST, owe, own, write_run
from tests.reporting.recorded_runs import Shape


def names(reports: Path, wanted: Wanted = Wanted()) -> list[str]:  # noqa: B008 - frozen
    with opened(reports) as index:
        return [run.name for run in index.runs(wanted)]


def one(reports: Path, name: str) -> IndexedRun:
    with opened(reports) as index:
        found = index.named(name)
    assert found is not None
    return found


def test_a_run_is_kept_with_its_figures(tmp_path: Path) -> None:
    write_run(tmp_path, "a", Shape(trials=2, lost=3), day=1)
    run = one(tmp_path, "a")
    assert (run.state, run.outcome, run.title, run.lab, run.backend) == (
        "judged", "failed", "The primary loses power", "patroni", "namespace",
    )  # fmt: skip
    assert [f.point for f in run.figures["rto"]] == [pytest.approx(19.3, abs=0.1), pytest.approx(21.0, abs=0.1)]
    assert [f.point for f in run.figures["lost"]] == [3, 3]
    assert all(f.low is not None and f.high is not None and f.low < f.high for f in run.figures["rto"])
    assert run.has_report
    assert run.started_s == FIRST.timestamp() + 86400


def test_the_newest_comes_first_and_filters_hold(tmp_path: Path) -> None:
    write_run(tmp_path, "a", day=1, tags=("patroni", "power"))
    write_run(tmp_path, "b", Shape(lost=2), day=3, lab="haproxy", backend="docker", title="Web", file="x/web.yaml", tags=("web",))
    write_run(tmp_path, "c", Shape(verified=False), day=2)
    assert names(tmp_path) == ["b", "c", "a"]
    assert names(tmp_path, Wanted(lab="haproxy")) == ["b"]
    assert names(tmp_path, Wanted(backend="namespace")) == ["c", "a"]
    assert names(tmp_path, Wanted(outcomes=("failed", "unknown"))) == ["b", "c"]
    assert names(tmp_path, Wanted(tags=("patroni", "power"))) == ["a"]
    assert names(tmp_path, Wanted(experiments=[("Web", "x/web.yaml")])) == ["b"]
    assert names(tmp_path, Wanted(experiments=[])) == []
    day_2 = FIRST.timestamp() + 2 * 86400
    assert names(tmp_path, Wanted(since_s=day_2)) == ["b", "c"]
    assert names(tmp_path, Wanted(until_s=day_2)) == ["a"]
    with opened(tmp_path) as index:
        assert [run.name for run in index.runs(limit=2)] == ["b", "c"]
        assert index.count(Wanted(lab="patroni")) == 2
        assert index.experiments()[0] == ("Web", "x/web.yaml")
        assert (index.labs(), index.backends(), index.tags()) == (
            ["haproxy", "patroni"], ["docker", "namespace"], ["patroni", "power", "web"],
        )  # fmt: skip


def test_only_what_changed_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    examined = index_module.examined
    monkeypatch.setattr(index_module, "examined", lambda path: read.append(path.name) or examined(path))
    for name in "abc":
        write_run(tmp_path, name)
    assert names(tmp_path) == ["c", "b", "a"]
    assert sorted(read) == ["a", "b", "c"]
    read.clear()
    names(tmp_path)
    assert read == []
    write_run(tmp_path, "b", Shape(lost=1))
    assert one(tmp_path, "b").outcome == "failed"
    assert read == ["b"]
    shutil.rmtree(tmp_path / "a")
    assert names(tmp_path) == ["c", "b"]
    assert read == ["b"]
    with opened(tmp_path, anew=True):
        assert read == ["b", *(p.name for p in os.scandir(tmp_path) if p.is_dir())]


def test_runs_without_a_verdict_are_shown_as_what_they_are(tmp_path: Path) -> None:
    own(write_run(tmp_path, "going", day=1), alive=True)
    (tmp_path / "going" / "result.json").unlink()
    own(write_run(tmp_path, "killed", day=2), alive=False)
    (tmp_path / "killed" / "result.json").unlink()
    owe(tmp_path / "killed")
    own(write_run(tmp_path, "killed-judging"), alive=False)
    write_run(tmp_path, "stopped", day=4)
    (tmp_path / "stopped" / "result.json").unlink()
    write_run(tmp_path, "damaged", day=5)
    (tmp_path / "damaged" / "result.json").write_text('{"schema": "chaoskit.result/1"')
    write_run(tmp_path, "strange", day=6)
    (tmp_path / "strange" / "plan.json").write_text("[]")
    with opened(tmp_path) as index:
        found = {run.name: run for run in index.runs()}
    assert {name: run.outcome for name, run in found.items()} == {
        "going": "running",
        "killed": "dead",
        "killed-judging": "dead",
        "stopped": "unjudged",
        "damaged": "unreadable",
        "strange": "unreadable",
    }
    assert found["killed"].title == "The primary loses power"
    assert found["killed"].owes == ("node.power_off on db1",)
    assert "chaoskit recover" in found["killed"].reason
    assert "chaoskit report stopped" in found["stopped"].reason
    assert "result.json" in found["damaged"].reason


def test_a_run_that_was_going_on_and_is_dead_now_is_noticed(tmp_path: Path) -> None:
    run = write_run(tmp_path, "a")
    own(run, alive=True)
    assert one(tmp_path, "a").outcome == "running"
    own(run, alive=False)
    assert one(tmp_path, "a").outcome == "dead"
    (run / "owner.json").unlink()
    assert one(tmp_path, "a").outcome == "passed"


def test_what_is_no_run_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "lab-logs" / "logs").mkdir(parents=True)
    (tmp_path / "README.md").write_text("x")
    write_run(tmp_path, ".hidden")
    (tmp_path / os.fsdecode(b"bad-\xff")).mkdir()
    (tmp_path / os.fsdecode(b"bad-\xff") / "plan.json").write_text("{}")
    assert names(tmp_path) == []


@pytest.mark.parametrize("spoil", ["missing", "garbage", "cut", "other version", "another's", "no tables", "wrong rows"])
def test_an_index_that_is_no_use_is_built_anew(tmp_path: Path, spoil: str) -> None:
    for number in range(40):
        write_run(tmp_path, f"run-{number:02}", day=number)
    expected = names(tmp_path)
    file = tmp_path / INDEX_FILE
    if spoil == "missing":
        file.unlink()
    elif spoil == "garbage":
        file.write_bytes(b"this is no database at all" * 1000)
    elif spoil == "cut":
        data = file.read_bytes()
        file.write_bytes(data[: len(data) // 2] + b"\xff" * (len(data) // 4))
    else:
        statement = {
            "other version": "PRAGMA user_version = 999",
            "another's": "PRAGMA application_id = 1",
            "no tables": "DROP TABLE tags",
            "wrong rows": "ALTER TABLE runs RENAME COLUMN fingerprint TO mark",
        }[spoil]
        with sqlite3.connect(file) as db:
            db.execute(statement)
        db.close()
    assert names(tmp_path) == expected
    assert names(tmp_path) == expected
    with sqlite3.connect(file) as db:
        assert db.execute("SELECT count(*) FROM runs").fetchone() == (40,)
    db.close()


def test_a_row_that_no_version_would_write_is_read_again(tmp_path: Path) -> None:
    write_run(tmp_path, "a")
    names(tmp_path)
    with sqlite3.connect(tmp_path / INDEX_FILE) as db:
        db.execute('UPDATE runs SET data = \'{"name": "a"}\'')
    db.close()
    assert one(tmp_path, "a").outcome == "passed"


def test_where_no_file_can_be_written_the_answers_are_the_same(tmp_path: Path) -> None:
    write_run(tmp_path, "a")
    (tmp_path / INDEX_FILE).mkdir()
    with opened(tmp_path) as index:
        assert [run.name for run in index.runs()] == ["a"]
        assert "was read anew" in index.note


def test_another_process_that_holds_the_index_is_waited_for_and_then_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_run(tmp_path, "a")
    names(tmp_path)
    monkeypatch.setattr(index_module, "LOCK_S", 0.05)
    holder = sqlite3.connect(tmp_path / INDEX_FILE, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    write_run(tmp_path, "b", day=1)
    with opened(tmp_path) as index:
        assert [run.name for run in index.runs()] == ["b", "a"]
        assert "locked" in index.note
    holder.close()
    with opened(tmp_path) as index:
        assert (len(index.runs()), index.note) == (2, "")


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"), opened(tmp_path / "nowhere"):
        pass
    assert not (tmp_path / "nowhere").exists()


def _work(reports: str, worker: int) -> None:
    from chaoskit.surfaces.indexing import indexed

    for number in range(6):
        indexed(write_run(Path(reports), f"w{worker}-{number}", day=worker), Path(reports))


def test_runs_that_end_at_once_are_all_there_in_index_and_page(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_work, args=(str(tmp_path), number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0] * 4
    everything = {f"w{worker}-{number}" for worker in range(4) for number in range(6)}
    with sqlite3.connect(tmp_path / INDEX_FILE) as db:
        assert {name for (name,) in db.execute("SELECT name FROM runs")} == everything, "no one has looked since they ended"
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    page = (tmp_path / "index.html").read_text()
    assert [name for name in everything if f">{name}<" not in page] == []
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["index.sqlite", "index.html"] or {
        p.name for p in tmp_path.iterdir() if p.is_file()
    } == {"index.sqlite", "index.html"}


def test_halves_of_characters_in_a_plan_that_nobody_checked(tmp_path: Path) -> None:
    run = write_run(tmp_path, "a")
    (run / "result.json").unlink()
    plan = json.loads((run / "plan.json").read_text())
    plan["experiment"]["title"] = "cut \ud800 here"
    (run / "plan.json").write_text(json.dumps(plan))
    assert one(tmp_path, "a").title == "cut ? here"
