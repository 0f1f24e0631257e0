"""`history`, `baseline` and their errors, in a pipe, on narrow terminals and as JSON."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from chaoskit.surfaces.cli import cli
from tests.archive.folders import own, write_run
from tests.reporting.recorded_runs import Shape
from tests.surfaces.shell import on_terminal


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    write_run(tmp_path, "20260902-primary", day=1)
    write_run(tmp_path, "20260903-primary", Shape(trials=2, lost=3), day=2, tags=("patroni", "slow"))
    write_run(
        tmp_path,
        "20260904-web",
        Shape(recovers=False),
        day=3,
        title="Web\x1b[31m",
        file="experiments/haproxy/web.yaml",
        lab="haproxy",
    )
    own(write_run(tmp_path, "20260905-primary", day=4), alive=False)
    return tmp_path  # fmt: skip


def ask(reports: Path, *words: str) -> Result:
    return CliRunner().invoke(cli, [*words, "--reports", str(reports)])


def listed(reports: Path, *words: str) -> list[str]:
    answer = ask(reports, "history", *words, "--json")
    assert (answer.exit_code, answer.stderr) == (0, ""), answer.output
    return [run["name"] for run in json.loads(answer.stdout)["runs"]]


def test_a_line_a_run_in_a_pipe(reports: Path) -> None:
    answer = ask(reports, "history")
    assert (answer.exit_code, answer.stderr) == (0, "")
    head, *lines = answer.stdout.splitlines()
    assert head.split()[0] == "run"
    assert [line.split()[0] for line in lines] == ["20260905-primary", "20260904-web", "20260903-primary", "20260902-primary"]
    assert re.search(r"dead .* The primary loses power", lines[0])
    assert "more than 64.9" in lines[1]
    assert "\x1b" not in answer.stdout
    assert re.search(r"2026-09-03 12:00 +failed +patroni +namespace +2 +median 20.15 s \(.*\), 2 trials +3 ", lines[2])


def test_filters(reports: Path) -> None:
    assert listed(reports, "--experiment", "web") == ["20260904-web"]
    assert listed(reports, "--experiment", "primary-power-off", "--verdict", "passed") == ["20260902-primary"]
    assert listed(reports, "--experiment", "THE PRIMARY LOSES POWER", "--limit", "1") == ["20260905-primary"]
    assert listed(reports, "--experiment", "experiments/patroni/primary-power-off.yaml", "--tag", "slow") == ["20260903-primary"]
    assert listed(reports, "--verdict", "dead", "--verdict", "passed") == ["20260905-primary", "20260902-primary"]
    assert listed(reports, "--lab", "haproxy", "--backend", "namespace") == ["20260904-web"]
    assert listed(reports, "--since", "2026-09-03T00:00", "--until", "2026-09-04") == ["20260903-primary"]
    assert listed(reports, "--since", "2026-09-03T12:00+02:00", "--until", "2026-09-03T12:00:01") == ["20260903-primary"]
    assert listed(reports, "--since", "1s") == []
    data = json.loads(ask(reports, "history", "--limit", "2", "--json").stdout)
    assert (data["schema"], data["total"], len(data["runs"])) == ("chaoskit.history/1", 4, 2)
    assert "newest 2 of 4" in ask(reports, "history", "--limit", "2").stdout
    assert "none of the 4" in ask(reports, "history", "--since", "1s").stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("history", "--experiment", "primary-power-of-f"), "did you mean 'primary-power-off'"),
        (("history", "trend", "wbe"), "did you mean 'web'"),
        (("history", "trend", "experiments"), "names 2 experiments"),
        (("history", "trend", "web", "--figure", "rot"), "did you mean 'rto'"),
        (("history", "--lab", "haprxy"), "did you mean 'haproxy'"),
        (("history", "--backend", "namespce"), "did you mean 'namespace'"),
        (("history", "--tag", "solw"), "did you mean 'slow'"),
        (("history", "--since", "yesterday"), "2026-11-20"),
        (("history", "--since", "2026-02-30"), "no date"),
        (("history", "--limit", "0"), "--limit"),
        (("history", "--lab", "haproxy", "trend", "web"), "--lab is an option of the list"),
        (("history", "prune"), "--keep N"),
        (("history", "prune", "--older-than", "long"), "no time"),
        (("baseline", "set", "x", "20260902-primry"), "did you mean '20260902-primary'"),
        (("baseline", "set", "a b", "20260902-primary"), "letters, digits"),
        (("baseline", "set", "x", "20260902-primary", "--tolerance", "soon"), "a tolerance is"),
        (("baseline", "set", "x", "20260902-primary", "20260904-web"), "differs between"),
        (("baseline", "remove", "x"), "no baseline yet"),
        (("compare", "--baseline", "x", "20260902-primary"), "no baseline yet"),
    ],
)
def test_bad_input_is_2_with_what_is_right(reports: Path, words: tuple[str, ...], said: str) -> None:
    answer = ask(reports, *words)
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert said in answer.stderr
    assert "Traceback" not in answer.stderr
    as_json = ask(reports, *words, "--json")
    assert (as_json.exit_code, as_json.stderr) == (2, "")
    assert json.loads(as_json.stdout)["error"]["exit_code"] == 2


def test_a_folder_that_was_named_and_is_not_there_is_an_error_and_one_that_is_not_there_yet_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("CHAOSKIT_REPORTS", raising=False)
    for words in (("history",), ("history", "rebuild"), ("baseline", "list"), ("history", "prune", "--keep", "1")):
        answer = CliRunner().invoke(cli, words)
        assert (answer.exit_code, answer.stderr) == (0, ""), words
        assert answer.stdout.strip()
        assert json.loads(CliRunner().invoke(cli, [*words, "--json"]).stdout)
        assert ask(tmp_path / "nowhere", *words).exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("width", [40, 60, 100, 130, 180])
def test_a_terminal_of_any_width_shows_every_run(reports: Path, width: int) -> None:
    for words in (("history",), ("history", "trend", "primary-power-off"), ("baseline", "list")):
        shown = on_terminal(*words, "--reports", str(reports), width=width, NO_COLOR="1").replace("\r", "")
        lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown.split("\n")]
        assert max(len(line) for line in lines) <= width
    shown = re.sub(r"\s", "", on_terminal("history", "--reports", str(reports), width=width, NO_COLOR="1"))
    for name in ("20260905-primary", "20260904-web", "Theprimarylosespower", "never"):
        assert name in shown


def test_trend_in_words_and_as_json(reports: Path) -> None:
    answer = ask(reports, "history", "trend", "primary-power-off")
    assert answer.exit_code == 0
    assert re.search(r"^rto, s +\S{2}x$", answer.stdout, re.MULTILINE)
    assert "together: 3 trials of 2 runs that asked the same" in answer.stdout
    assert "predicted from the newest run's settings: 18.00 s to 24.00 s" in answer.stdout
    data = json.loads(ask(reports, "history", "trend", "primary-power-off", "--json").stdout)
    assert [t["figure"] for t in data["trends"]] == ["rto", "lost"]
    assert [p["run"] for p in data["trends"][0]["points"]] == ["20260902-primary", "20260903-primary", "20260905-primary"]
    assert all(p["low"] < p["point"] < p["high"] for p in data["trends"][0]["points"][:2])
    (only,) = json.loads(ask(reports, "history", "trend", "web", "--figure", "rto:app", "--json").stdout)["trends"]
    assert only["points"][0]["censored"] == 1
    assert "^ never recovered" in ask(reports, "history", "trend", "web").stdout


def test_a_terminal_without_unicode_gets_other_bars(reports: Path) -> None:
    shown = on_terminal("history", "trend", "primary-power-off", "--reports", str(reports), width=100, PYTHONIOENCODING="ascii")
    assert "\\u2588" not in shown
    assert "@" in shown


def test_reports_may_stand_before_the_subcommand(reports: Path) -> None:
    answer = CliRunner().invoke(cli, ["history", "--reports", str(reports), "trend", "web", "--json"])
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["trends"]


def test_rebuild_writes_index_and_page(reports: Path) -> None:
    (reports / "bad").mkdir()
    (reports / "bad" / "plan.json").write_text("{}")
    (reports / "bad" / "result.json").write_text("no")
    answer = ask(reports, "history", "rebuild")
    assert answer.exit_code == 0
    assert "5 runs read" in answer.stdout
    assert "bad: result.json cannot be read" in answer.stdout
    assert (reports / "index.html").is_file()
    first = (reports / "index.html").read_bytes()
    assert json.loads(ask(reports, "history", "rebuild", "--json").stdout)["total"] == 5
    assert (reports / "index.html").read_bytes() == first


def test_prune_says_first_and_then_does(reports: Path) -> None:
    ask(reports, "baseline", "set", "first", "20260902-primary")
    dry = ask(reports, "history", "prune", "--keep", "0", "--dry-run")
    assert dry.exit_code == 0
    assert "would remove 20260903-primary" in dry.stdout
    assert "1 kept: a baseline" in dry.stdout
    assert "chaoskit recover" in dry.stdout
    assert len(listed(reports)) == 4
    data = json.loads(ask(reports, "history", "prune", "--keep", "0", "--json").stdout)
    assert {r["run"] for r in data["removed"]} == {"20260903-primary", "20260904-web"}
    assert all(r["bytes"] > 0 for r in data["removed"])
    assert listed(reports) == ["20260905-primary", "20260902-primary"]
    assert "20260904-web" not in (reports / "index.html").read_text()
    assert sorted(p.name for p in reports.iterdir()) == [
        "20260902-primary", "20260905-primary", "baselines.json", "index.html", "index.sqlite",
    ]  # fmt: skip


def test_baselines(reports: Path) -> None:
    made = ask(reports, "baseline", "set", "first", "20260902-primary", "20260903-primary", "--tolerance", "2s")
    assert made.exit_code == 0, made.output
    assert "3 valid trials" in made.stdout
    assert "a verdict only against 5 or more" in made.stdout
    shown = ask(reports, "baseline", "list").stdout
    assert re.search(r"first .* 2s .*20260902-primary, 20260903-primary", shown)
    assert "[baseline first]" in ask(reports, "history").stdout
    again = ask(reports, "baseline", "set", "first", "20260902-primary")
    assert "before: 20260902-primary, 20260903-primary" in again.stdout
    assert json.loads(ask(reports, "baseline", "list", "--json").stdout)["baselines"]["first"]["gone"] == []
    compared = ask(reports, "compare", "--baseline", "first", "20260903-primary", "--json")
    assert compared.exit_code == 3, "1 v 2 trials give no verdict"
    assert json.loads(compared.stdout)["groups"][0]["label"] == "baseline first"
    assert "its runs stay" in ask(reports, "baseline", "remove", "first").stdout
    assert "no baseline yet" in ask(reports, "baseline", "list").stdout


def test_a_run_elsewhere_is_no_baseline_of_this_folder(reports: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = write_run(tmp_path_factory.mktemp("other"), "elsewhere")
    answer = ask(reports, "baseline", "set", "x", str(other))
    assert answer.exit_code == 2
    assert "lies elsewhere" in answer.stderr
