"""Ctrl-C and SIGTERM at work: healed, taken down, recorded as interrupted, exit 130."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from tests.live.shop import POWER_OFF, Place, Running, until

pytestmark = pytest.mark.lab

HANG = {"inject": "node.hang", "target": {"node": "kv3"}, "at": "300ms", "for": "600s"}
LONG = {"method": [POWER_OFF | {"at": "200ms", "for": "600s"}, HANG], "baseline": "600s"}
HELD = {"method": LONG["method"], "baseline": "1s"}


def interrupted(place: Place, run: Running, name: str, *, faults: int) -> None:
    ended = run.end()
    assert ended.code == 130, ended
    assert f"interrupted by {name}" in ended.out
    result = place.result()
    assert (result["verdict"], result["undo"]) == ("unknown", {"owed": faults, "paid": faults, "dirty": []})
    assert name in result["incomplete"]
    kinds = [json.loads(line)["kind"] for line in (place.run_directory() / "events.jsonl").read_text().splitlines()]
    assert kinds.count("fault.gone") >= faults
    assert kinds[-1] == "run.ended"
    assert (place.run_directory() / "report.html").exists()
    assert place.traces() == []


def holding(place: Place, **options: object) -> Running:
    run = place.start("run", place.write(**HELD), **options)
    run.says("node.hang on kv3: its effect was seen")
    return run


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_in_the_baseline(place: Place, number: signal.Signals) -> None:
    run = place.start("run", place.write(**LONG))
    run.says("the clean baseline begins")
    run.signal(number)
    interrupted(place, run, number.name, faults=0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_while_faults_hold(place: Place, number: signal.Signals) -> None:
    run = holding(place)
    run.signal(number)
    interrupted(place, run, number.name, faults=2)


def test_to_the_whole_group_as_a_terminal_sends_it(place: Place) -> None:
    """Nothing that healing needs may die of it."""
    run = holding(place, start_new_session=True)
    os.killpg(run.pid, signal.SIGINT)
    interrupted(place, run, "SIGINT", faults=2)


def test_again_and_again_while_it_heals(place: Place) -> None:
    run = holding(place, start_new_session=True)
    deadline = time.monotonic() + 60
    while run.process.poll() is None and "UNKNOWN" not in run._out.read_text() and time.monotonic() < deadline:
        if "the lab is gone" not in run.err():
            os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.05)
    interrupted(place, run, "SIGINT", faults=2)


def test_told_to_end_again_and_again_until_it_has(place: Place) -> None:
    """Also while it judges, says its verdict and tidies up: a time-out of CI that kills a run still gets the report."""
    run = holding(place)
    deadline = time.monotonic() + 60
    while run.process.poll() is None and time.monotonic() < deadline:
        run.signal(signal.SIGTERM)
        time.sleep(0.01)
    interrupted(place, run, "SIGTERM", faults=2)


def test_told_to_end_once_all_is_recorded(place: Place) -> None:
    """What was measured is whole, and is judged."""
    run = place.start("run", place.write(baseline="1s", recovery="2s", method=[POWER_OFF | {"at": "200ms", "for": "1s"}]))
    until(lambda: any('"run.ended"' in file.read_text() for d in place.runs() if (file := d / "events.jsonl").exists()), "", 60)
    while run.process.poll() is None:
        run.signal(signal.SIGTERM)
        time.sleep(0.01)
    ended = run.end()
    assert ended.code in (0, 1, 3), ended
    assert place.result()["incomplete"] is None
    assert ended.out.strip().startswith(("PASSED", "FAILED", "UNKNOWN"))
    assert (place.run_directory() / "report.html").exists()
    assert place.traces() == []


def test_while_the_lab_is_built(place: Place) -> None:
    for words in ("building the lab", "nodes are up"):
        run = place.start("run", place.write(**LONG))
        run.says(words)
        run.signal(signal.SIGTERM)
        ended = run.end()
        assert ended.code == 130, ended
        assert place.traces() == []


def test_a_run_under_nohup_outlives_its_terminal(place: Place) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    run = place.start("run", place.write(baseline="1s"), preexec_fn=ignore)
    run.says("the clean baseline begins")
    run.signal(signal.SIGHUP)
    ended = run.end()
    assert ended.code == 0, ended
