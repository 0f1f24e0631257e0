"""Notes from a second terminal: during a run and afterwards, on the time line, safe beside the run's own writing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result as CommandResult

from chaoskit.engine.run_directory import RunDirectory
from chaoskit.model.result import Result
from tests.pipeline.simulation import CommandLine

DAY = {
    "purpose": "Is the pager right?",
    "participants": [{"name": "Ada", "role": "on call"}],
    "notes": [{"text": "the graph is flat", "by": "Ada", "at": "4s"}],
    "decisions": [{"text": "stop at two minutes", "by": "Ada"}],
    "follow-ups": [{"action": "shorten ttl", "owner": "Grace", "re-test": "2026-12-10"}],
}


@pytest.fixture
def clocked(command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    monkeypatch.setattr("chaoskit.surfaces.noting.SystemClock", lambda: command.simulation.clock)
    return command


def only_run(command: CommandLine) -> Path:
    (only,) = (path for path in (command.folder / "reports").iterdir() if path.is_dir())
    return only


def at(command: CommandLine, second: float, *words: str) -> list[CommandResult]:
    """Calls `note` once, so many seconds after the run's baseline ended; what it answered is in the list afterwards."""
    said: list[CommandResult] = []
    busy = [False]

    def step(now_ns: int) -> None:
        events = next((command.folder / "reports").glob("*/events.jsonl"), None)
        if said or busy[0] or events is None:
            return
        zero = next((json.loads(x)["t_ns"] for x in events.read_text().splitlines() if "baseline.ended" in x), None)
        if zero is not None and now_ns >= zero + second * 1e9:
            busy[0] = True
            said.append(command("note", *words))

    command.simulation.clock.on_step.append(step)
    return said


def events(run: Path, kind: str = "note") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    return [e for e in found if e["kind"] == kind]


def test_a_note_during_a_run_lands_on_its_time_line(clocked: CommandLine) -> None:
    said = at(clocked, 5, "writes are <b>refused</b>", "--by", "Ada")
    assert clocked("run", clocked.experiment(**{"game-day": DAY})).exit_code == 0
    assert [s.exit_code for s in said] == [0], said[0].output
    run = only_run(clocked)
    (event,) = events(run)
    (zero,) = events(run, "baseline.ended")
    assert (event["trial"], event["source"]) == (0, "person")
    assert event["data"] == {"text": "writes are <b>refused</b>", "author": "Ada", "about": "note"}
    assert event["t_ns"] - zero["t_ns"] == pytest.approx(5e9, abs=5e7)
    page = (run / "report.html").read_text()
    assert 'title="+5.' in page
    assert "Ada: writes are &lt;b&gt;refused&lt;/b&gt;" in page
    assert 'title="+4.000\u00a0s Ada: the graph is flat"' in page, "a note of the experiment file is on the time line too"
    day = Result.model_validate_json((run / "result.json").read_bytes()).game_day
    assert day is not None
    assert [n.text for n in day.notes] == ["the graph is flat", "writes are <b>refused</b>"]
    assert (day.follow_ups[0].owner, str(day.follow_ups[0].retest)) == ("Grace", "2026-12-10")
    assert '"re-test": "2026-12-10"' in (run / "result.json").read_text()


def test_a_run_with_notes_has_the_same_figures(clocked: CommandLine, tmp_path: Path) -> None:
    at(clocked, 5, "seen")
    assert clocked("run", clocked.experiment()).exit_code == 0
    run = only_run(clocked)
    before = Result.model_validate_json((run / "result.json").read_bytes())
    lines = [x for x in (run / "events.jsonl").read_text().splitlines() if '"kind":"note"' not in x]
    (run / "events.jsonl").write_text("".join(x + "\n" for x in lines))
    assert clocked("report", run).exit_code == 0
    after = Result.model_validate_json((run / "result.json").read_bytes())
    assert before.game_day is not None
    assert after == before.model_copy(update={"game_day": None})


def test_without_a_run_that_goes_on_it_is_an_error_that_says_what_to_do(clocked: CommandLine) -> None:
    assert clocked("run", clocked.experiment()).exit_code == 0
    said = clocked("note", "too late")
    assert said.exit_code == 2
    assert "no run is going on here; --run RUN adds a note to a run that is over" in said.stderr
    assert not events(only_run(clocked))


def test_afterwards_a_run_is_named_and_its_report_is_written_again(clocked: CommandLine) -> None:
    assert clocked("run", clocked.experiment()).exit_code == 0
    run = only_run(clocked)
    ended = Result.model_validate_json((run / "result.json").read_bytes()).ended
    clocked.simulation.clock.sleep(3600)
    words = ("note", "order more disks", "--run", run.name, "--follow-up", "--owner", "Grace", "--re-test", "2026-12-24")
    said = clocked(*words)
    assert said.exit_code == 0, said.output
    assert "report.html" in said.stdout
    assert clocked("note", "we keep ttl", "--run", run, "--decision", "--by", "Ada", "--at", "3s").exit_code == 0
    result = Result.model_validate_json((run / "result.json").read_bytes())
    assert result.ended == ended, "a note does not make the run longer"
    assert result.game_day is not None
    assert [f.action for f in result.game_day.follow_ups] == ["order more disks"]
    assert "2026-12-24" in (run / "report.html").read_text()
    decided = events(run)[-1]
    assert decided["trial"] == 0
    assert decided["t_ns"] == events(run, "baseline.ended")[0]["t_ns"] + 3_000_000_000
    assert "order more disks" in (run / "report.md").read_text()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("x", "--at", "noon"), "a time is one after the end of the baseline, such as 12s"),
        (("x", "--at", "2001-01-01T00:00:00Z"), "that is before the run began"),
        (("x", "--at", "2999-01-01T00:00:00"), "that is not over yet"),
        (("x", "--at", "2s", "--trial", "7"), "this trial has no end of a baseline"),
        (("x", "--owner", "Ada"), "say --follow-up as well"),
        (("x", "--follow-up", "--re-test", "soon"), "2026-03-31|%Y-%m-%d"),
        ((" ",), "a note needs words"),
    ],
)
def test_a_note_that_cannot_be_placed_is_refused_and_nothing_is_written(
    clocked: CommandLine, words: tuple[str, ...], said: str
) -> None:
    assert clocked("run", clocked.experiment()).exit_code == 0
    run = only_run(clocked)
    before = (run / "events.jsonl").read_bytes()
    refused = clocked("note", *words, "--run", run)
    assert refused.exit_code == 2
    assert any(part in refused.stderr for part in said.split("|")), refused.stderr
    assert (run / "events.jsonl").read_bytes() == before


def test_an_instant_lies_where_the_wall_clock_says(clocked: CommandLine) -> None:
    assert clocked("run", clocked.experiment()).exit_code == 0
    run = only_run(clocked)
    (injected,) = events(run, "fault.injected")
    said = clocked("note", "now", "--run", run, "--at", injected["wall"])
    assert said.exit_code == 0, said.output
    assert events(run)[0]["t_ns"] == pytest.approx(injected["t_ns"], abs=2000)
    assert events(run)[0]["trial"] == 0


def test_several_runs_that_go_on_are_named(clocked: CommandLine) -> None:
    assert clocked("run", clocked.experiment()).exit_code == 0
    run = only_run(clocked)
    for name in ("a", "b"):
        RunDirectory.create(run.parent / name)
    said = clocked("note", "which?")
    assert said.exit_code == 2
    assert "several runs go on" in said.stderr
    assert "a, b" in said.stderr
