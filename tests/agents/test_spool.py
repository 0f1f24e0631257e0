import sqlite3
import time
from pathlib import Path

import pytest

from chaoskit.agents.spool import Spool
from chaoskit.model.errors import RecordingFailed


def clocks(path: Path) -> list[tuple[int, str, int, int]]:
    with sqlite3.connect(path) as database:
        return database.execute("SELECT * FROM clocks").fetchall()


def test_rows_are_there_for_another_process_while_it_still_writes(tmp_path: Path):
    failures: list[str] = []
    spool = Spool(tmp_path / "s.sqlite", failures.append)
    spool.put("clocks", (0, "orders", 1, 2))
    deadline = time.monotonic() + 5
    while not clocks(tmp_path / "s.sqlite") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert clocks(tmp_path / "s.sqlite") == [(0, "orders", 1, 2)]
    spool.put("clocks", (0, "orders", 3, 4))
    spool.close(5.0)
    assert len(clocks(tmp_path / "s.sqlite")) == 2
    assert failures == []


def test_a_row_that_does_not_fit_is_a_loud_failure_not_a_lost_row(tmp_path: Path):
    failures: list[str] = []
    spool = Spool(tmp_path / "s.sqlite", failures.append)
    spool.put("clocks", (0, "orders"))
    with pytest.raises(RecordingFailed, match=r"s\.sqlite"):
        spool.close(5.0)
    assert len(failures) == 1


def test_a_place_that_cannot_be_written_is_said_at_once(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordingFailed, match="cannot record"):
        Spool(tmp_path / "file" / "s.sqlite", lambda _: None)
