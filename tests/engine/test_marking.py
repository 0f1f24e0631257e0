"""Log lines that mark a phase become events, each between two looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from chaoskit.engine.marking import MOST_EVENTS, LogMarks
from chaoskit.engine.run_directory import EventLog, RunDirectory
from chaoskit.engine.store import read_events
from chaoskit.model.condition import LogLine
from tests.simulated.clock import FakeClock


class Bench:
    """A run directory with one log, and marks that follow it."""

    def __init__(self, place: Path) -> None:
        self.clock = FakeClock()
        self.run = RunDirectory.create(place / "run")
        self.events = EventLog(self.run, self.clock, lambda event: None)
        self.log = self.run.logs / "0" / "db2" / "patroni.log"
        self.log.parent.mkdir(parents=True)
        self.log.write_text("lock is gone: long ago\n")
        lines = {"detected": (LogLine(service="patroni", says="lock is gone"),), "elected": (LogLine(service="etcd", says="x"),)}
        self.marks = LogMarks(lines, self.run.logs / "0", self.clock, self.events)  # type: ignore[arg-type]

    def says(self, text: str, after_s: float = 0.02) -> None:
        with self.log.open("a") as file:
            file.write(text)
        self.clock.sleep(after_s)
        self.marks.poll()

    def told(self) -> list[dict[str, Any]]:
        self.run.release()
        return [e.data for e in read_events(self.run.path) if e.kind == "log.mark"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_line_lies_between_the_look_before_it_and_the_one_that_found_it(bench: Bench) -> None:
    bench.says("nothing\n")
    before = bench.clock.monotonic_ns()
    bench.says("2026 INFO: lock is gone\n", after_s=0.5)
    (data,) = bench.told()
    assert data["between_ns"] == [before, bench.clock.monotonic_ns()]
    assert (data["mark"], data["node"], data["service"], data["line"]) == (
        "detected",
        "db2",
        "patroni",
        "2026 INFO: lock is gone",
    )


def test_what_was_logged_before_and_half_a_line_do_not_count(bench: Bench) -> None:
    bench.says("lock is ")
    bench.says("gone")
    assert bench.events.failure is None
    assert bench.told() == []


def test_who_says_the_same_again_and_again_is_told_once_a_second_and_not_for_ever(bench: Bench) -> None:
    for _ in range(10):
        bench.says("lock is gone\n", after_s=0.1)
    bench.clock.sleep(2)
    for _ in range(MOST_EVENTS + 50):
        bench.says("lock is gone\n", after_s=1.5)
    assert len(bench.told()) == MOST_EVENTS
