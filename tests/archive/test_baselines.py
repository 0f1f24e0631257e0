"""Named baselines: kept, replaced, and never forgotten in silence."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from chaoskit.archive.baselines import baseline, baselines, remove_baseline, runs_of, set_baseline
from chaoskit.model.errors import InputError
from chaoskit.model.indexed import Baseline
from tests.archive.folders import write_run

MADE = Baseline(runs=("a",), set_at="2026-09-01T12:00:00Z", experiment="x", tolerance="2s")


def test_kept_replaced_and_removed(tmp_path: Path) -> None:
    assert baselines(tmp_path) == {}
    assert set_baseline(tmp_path, "nightly", MADE) is None
    other = MADE.model_copy(update={"runs": ("b",)})
    assert set_baseline(tmp_path, "nightly", other) == MADE
    set_baseline(tmp_path, "before", MADE)
    assert list(baselines(tmp_path)) == ["before", "nightly"]
    assert remove_baseline(tmp_path, "nightly") == other
    assert list(baselines(tmp_path)) == ["before"]
    assert [p.name for p in tmp_path.iterdir()] == ["baselines.json"]


def test_one_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="baseline set NAME RUN"):
        baseline(tmp_path, "nightly")
    set_baseline(tmp_path, "nightly", MADE)
    with pytest.raises(InputError, match="did you mean 'nightly'"):
        baseline(tmp_path, "nigthly")
    with pytest.raises(InputError, match="did you mean 'nightly'"):
        remove_baseline(tmp_path, "nigthly")


def test_a_run_that_is_gone_is_told(tmp_path: Path) -> None:
    set_baseline(tmp_path, "nightly", MADE)
    with pytest.raises(InputError, match="'nightly' is gone"):
        runs_of(tmp_path, "nightly")
    write_run(tmp_path, "a")
    assert runs_of(tmp_path, "nightly") == [tmp_path / "a"]


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "x" * 65, "é", "a/b"])
def test_names_that_would_need_quotes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        set_baseline(tmp_path, name, MADE)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"baselines": {"a": {}}}', '{"schema": "chaoskit.baselines/9"}'])
def test_a_damaged_file_is_an_error_and_not_overwritten(tmp_path: Path, text: str) -> None:
    (tmp_path / "baselines.json").write_text(text)
    with pytest.raises(InputError, match=r"baselines\.json"):
        set_baseline(tmp_path, "x", MADE)
    assert (tmp_path / "baselines.json").read_text() == text


def _set(reports: str, number: int) -> None:
    for more in range(5):
        set_baseline(Path(reports), f"b{number}-{more}", MADE)


def test_set_at_once_none_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=_set, args=(str(tmp_path), number)) for number in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert len(baselines(tmp_path)) == 20
