"""What people brought and noted: in its section, with the place on the time line, and nothing where there is none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from chaoskit.model.game_day import GameDay, with_recorded
from chaoskit.model.history import Event
from chaoskit.reporting.render import render
from tests.reporting.pages import page
from tests.reporting.recorded_runs import DAY, Shape, write_run


def test_the_section_says_who_what_when_and_what_follows(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(game_day=DAY))
    render(run)
    said = " ".join(page((run / "report.html").read_text()).by_id("game-day").text.split())
    for words in (
        "Does the pager go off before customers call?",
        "Ada on call",
        "+12.500 s the dashboard is still green Grace",
        "– we stop after two minutes Ada",
        "+12.000 s we keep ttl",
        "shorten ttl Ada 2026-12-10",
        "a bigger disk nobody yet no day yet",
    ):
        assert words in said.replace("\u00a0", " ")
    text = (run / "report.md").read_text()
    assert "| shorten ttl | Ada | 2026-12-10 |" in text
    assert "Took part: Ada (on call), Grace." in text


def test_of_several_trials_a_note_says_which(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(trials=2, game_day=DAY))
    render(run)
    assert "+12.500\u00a0s, trial 1" in page((run / "report.html").read_text()).by_id("game-day").text


def test_a_run_without_people_has_no_such_section(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    render(run)
    assert "game-day" not in {e.attributes.get("id") for e in page((run / "report.html").read_text()).all("section")}


def event(**data: str) -> Event:
    return Event(t_ns=1, wall="2026-11-22T09:30:00+00:00", trial=None, kind="note", source="person", data=data)


def test_what_was_recorded_follows_what_was_written() -> None:
    said = [event(text="seen"), event(text="done", about="decision"), event(text="fix", about="follow-up", retest="2026-13-41")]
    day = with_recorded(DAY, said)
    assert day is not None
    assert [n.text for n in day.notes] == ["the dashboard is still green", "seen"]
    assert [d.text for d in day.decisions][-1] == "done"
    assert (day.follow_ups[-1].action, day.follow_ups[-1].retest) == ("fix", None)
    assert with_recorded(None, [event(about="decision")]) is None
    assert with_recorded(GameDay(), []) is None


@pytest.mark.parametrize("at", ["noon", "12", "1 parsec", ""])
def test_a_time_that_is_none_is_refused(at: str) -> None:
    with pytest.raises(ValidationError, match="a time is a duration after the end of the baseline"):
        GameDay.model_validate({"notes": [{"text": "x", "at": at}]})


def test_json_has_the_words_of_the_file() -> None:
    said = json.loads(DAY.model_dump_json(by_alias=True))
    assert said["follow-ups"][0]["re-test"] == "2026-12-10"
    assert GameDay.model_validate(said) == DAY
