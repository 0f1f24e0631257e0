"""A real run, as an earlier or a later chaoskit would have written its plan."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from chaoskit.engine.recorded_plan import read_plan, unknown_fields
from chaoskit.model.errors import InputError
from chaoskit.surfaces.cli import cli

RECORDED = Path(__file__).parents[1] / "recorded" / "primary-power-off"


def altered(to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    data = json.loads((RECORDED / "plan.json").read_bytes())
    change(data)
    (to / "plan.json").write_text(json.dumps(data))
    return to


def test_a_plan_without_a_format_is_read_as_it_is() -> None:
    assert "format" not in json.loads((RECORDED / "plan.json").read_bytes())
    assert read_plan(RECORDED).format == 1
    assert unknown_fields(RECORDED) == ()


def test_fields_that_are_not_known_are_left_out_and_named(tmp_path: Path) -> None:
    def change(data: dict[str, Any]) -> None:
        data["weather"] = "rain"
        data["trials"][0]["mood"] = 3
        data["lab"]["networks"][next(iter(data["lab"]["networks"]))]["colour"] = "red"

    run = altered(tmp_path, change)
    assert read_plan(run) == read_plan(RECORDED)
    assert {place.rpartition(".")[2] for place in unknown_fields(run)} == {"weather", "mood", "colour"}


def test_fields_that_are_missing_get_their_defaults(tmp_path: Path) -> None:
    run = altered(tmp_path, lambda data: [data.pop(name) for name in ("notes", "overrides", "predicted_rto_s")])
    read = read_plan(run)
    assert (read.notes, read.overrides, read.predicted_rto_s) == ((), {}, None)


def test_a_newer_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    run = altered(tmp_path, lambda data: data.update(format=99, weather="rain", trials="otherwise"))
    with pytest.raises(InputError) as error:
        read_plan(run)
    (problem,) = error.value.problems
    assert "format 99" in problem.message
    assert problem.path == "format"


def test_what_is_damaged_is_still_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is damaged"):
        read_plan(altered(tmp_path, lambda data: data.update(seed="many", weather="rain")))


def test_measure_says_in_one_line_what_it_left_out(tmp_path: Path) -> None:
    run = Path(shutil.copytree(RECORDED, tmp_path / "run"))
    altered(run, lambda data: data.update(weather="rain"))
    done = CliRunner().invoke(cli, ["measure", str(run)])
    assert done.exit_code == 0, done.output
    assert done.stderr == "another version of chaoskit recorded this run; left out of its plan: weather\n"


@pytest.mark.parametrize(
    ("file", "words"),
    [("events.jsonl", ("measure",)), ("result.json", ("compare", RECORDED))],
)
def test_what_does_not_fit_is_named_by_its_place_in_one_line(tmp_path: Path, file: str, words: tuple[str | Path, ...]) -> None:
    run = tmp_path / "run"
    shutil.copytree(RECORDED, run)
    assert CliRunner().invoke(cli, ["report", str(run)]).exit_code in (0, 1, 3)
    first, newline, rest = (run / file).read_text().partition("\n")
    (run / file).write_text(first.replace("{", '{"weather": "mild", ', 1) + newline + rest)
    ended = CliRunner().invoke(cli, [words[0], str(run), *(str(word) for word in words[1:])])
    assert ended.exit_code in (2, 3)
    assert "weather: Extra inputs are not permitted" in ended.stderr
    assert "pydantic" not in ended.stderr
    assert len(ended.stderr.splitlines()) <= 2, ended.stderr
