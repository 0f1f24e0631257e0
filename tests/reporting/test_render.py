"""From a run directory to files: pure, whole, offline, small, and clear about what is missing."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import time
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from markupsafe import Markup

from chaoskit.model.errors import InputError
from chaoskit.reporting.render import render, sections
from chaoskit.reporting.view import View
from tests.reporting.pages import Page, page
from tests.reporting.recorded_runs import Shape, result_of, write_run, write_samples

VARIANTS = ["passed", "lost", "never", "unverified", "dirty", "three", "early"]


def test_all_three_files_are_written_and_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    assert render(run) == (run / "report.html", run / "report.md", run / "junit.xml")
    assert render(run, ("md",)) == (run / "report.md",)
    assert not [p.name for p in run.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_run_gives_the_same_bytes_anywhere(rendered: dict[str, Path], tmp_path: Path, variant: str) -> None:
    source = rendered[variant]
    elsewhere = Path(shutil.copytree(source, tmp_path / "another name"))
    before = {name: (source / name).read_bytes() for name in ("report.html", "report.md", "junit.xml")}
    for name in before:
        (elsewhere / name).unlink()
    environment = dict(os.environ)
    os.environ["TZ"] = "Asia/Kathmandu"
    time.tzset()
    try:
        render(elsewhere)
    finally:
        os.environ.clear()
        os.environ.update(environment)
        time.tzset()
    assert {name: (elsewhere / name).read_bytes() for name in before} == before


@pytest.mark.parametrize("variant", VARIANTS)
def test_no_request_leaves_the_page(pages: dict[str, Page], variant: str) -> None:
    addresses = pages[variant].addresses()
    assert addresses
    assert [a for a in addresses if not a.startswith("#") and a != "data:,"] == []
    assert not [
        e for e in pages[variant].elements if e.tag in ("img", "iframe", "object", "embed", "video", "audio", "base", "form")
    ]
    assert [e.attributes for e in pages[variant].all("link")] == [{"rel": "icon", "href": "data:,"}]


@pytest.mark.parametrize("variant", VARIANTS)
def test_links_inside_the_page_lead_somewhere(pages: dict[str, Page], variant: str) -> None:
    ids = {e.attributes["id"] for e in pages[variant].elements if "id" in e.attributes}
    links = {e.attributes["href"][1:] for e in pages[variant].elements if e.attributes.get("href", "").startswith("#")}
    assert links - ids == set()


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_picture_has_its_words(pages: dict[str, Page], variant: str) -> None:
    parsed = pages[variant]
    silent = [
        e
        for e in parsed.all("svg")
        if "svg" not in e.parents
        and e.attributes.get("aria-hidden") != "true"
        and not e.attributes.get("aria-label")
        and not any(p.attributes.get("aria-hidden") == "true" for p in parsed.elements if e.text and p is e)
    ]
    hidden_parents = [e for e in parsed.elements if e.attributes.get("aria-hidden") == "true" and e.tag == "div"]
    assert len([e for e in silent]) <= sum(1 for _ in hidden_parents)
    assert all(e.attributes.get("role") == "img" for e in parsed.all("svg") if e.attributes.get("aria-label"))
    labelled = [e for e in parsed.elements if e.attributes.get("role") in ("region", "group", "img")]
    assert all(e.attributes.get("aria-label", "").strip() for e in labelled)


def test_without_result_json_the_error_says_what_to_do(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "result.json").unlink()
    with pytest.raises(InputError, match=r"result\.json.*measure and judge it first"):
        render(run)
    with pytest.raises(InputError, match="no such run directory"):
        render(tmp_path / "nowhere")
    assert not (run / "report.html").exists()


@pytest.mark.parametrize("content", ["", "{", "[]", '{"schema": "chaoskit.result/9"}'])
def test_a_result_that_is_none_is_an_input_error_with_its_place(tmp_path: Path, content: str) -> None:
    run = write_run(tmp_path / "run")
    (run / "result.json").write_text(content)
    with pytest.raises(InputError, match=r"result\.json.*not a result of schema"):
        render(run)


def test_an_unknown_format_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    with pytest.raises(InputError, match="docx"):
        render(run, ("html", "docx"))
    assert not (run / "report.html").exists()


@pytest.mark.parametrize(
    ("missing", "note"),
    [("samples.sqlite", "no samples.sqlite"), ("events.jsonl", "no events.jsonl"), ("plan.json", ""), ("logs", "")],
)
def test_what_is_missing_is_said_and_the_rest_is_shown(tmp_path: Path, missing: str, note: str) -> None:
    run = write_run(tmp_path / "run")
    shutil.rmtree(run / missing) if missing == "logs" else (run / missing).unlink()
    render(run)
    shown = (run / "report.html").read_text()
    assert note in shown
    assert note in (run / "report.md").read_text()
    assert "19.30" in page(shown).by_id("verdict").text


def test_damaged_files_are_named(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "samples.sqlite").write_bytes(b"this is no database, and it is long enough to look at" * 50)
    (run / "plan.json").write_text("{")
    with (run / "events.jsonl").open("a") as events:
        events.write('{"t_ns": 12, "wall"')
    render(run)
    said = page((run / "report.html").read_text()).by_id("evidence").text
    assert "samples.sqlite could not be read" in said
    assert "plan.json is not readable" in said
    assert "1 line(s) are no complete event" in said


def test_a_trial_that_was_never_measured_still_shows_its_evidence(tmp_path: Path) -> None:
    shape = Shape(trials=2, incomplete="aborted: orders was down for 120 s")
    whole = result_of(shape)
    run = write_run(tmp_path / "run", shape, whole.model_copy(update={"trials": whole.trials[:1], "verdict": "unknown"}))
    render(run)
    parsed = page((run / "report.html").read_text())
    assert "aborted: orders was down for 120 s" in parsed.by_id("verdict").text
    assert "orders" in parsed.by_id("timeline-2").text
    assert [e for e in parsed.by_id("timeline-2").text.splitlines() if "node.power_off on db1" in e]
    assert "not measured: aborted" in parsed.by_id("evidence").text


def test_no_samples_at_all_is_no_crash_and_no_zero(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(), result_of(Shape()).model_copy(update={"trials": (), "verdict": "unknown"}))
    (run / "samples.sqlite").unlink()
    write_samples(run / "samples.sqlite", Shape(clients={}))
    (run / "events.jsonl").write_text("")
    render(run)
    verdict = page((run / "report.html").read_text()).by_id("verdict").text
    assert "How long users were down is unknown" in verdict
    assert not re.search(r"\b0(\.0+)?\s*m?s\b", verdict)


def test_an_empty_database_is_read_as_no_samples(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    (run / "samples.sqlite").unlink()
    sqlite3.connect(run / "samples.sqlite").close()
    (run / "samples.sqlite").touch()
    render(run)
    assert (run / "report.html").stat().st_size > 10_000


def test_a_read_only_database_is_not_changed(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    before = (run / "samples.sqlite").read_bytes()
    render(run)
    assert (run / "samples.sqlite").read_bytes() == before
    assert sorted(p.name for p in run.iterdir()) == sorted(
        ["result.json", "plan.json", "events.jsonl", "samples.sqlite", "logs", "report.html", "report.md", "junit.xml"]
    )


def test_a_run_of_100_000_samples_stays_below_one_and_a_half_megabytes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", Shape(rate_factor=16, lost=13))
    render(run, ("html",))
    assert (run / "report.html").stat().st_size < 1_500_000


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("failing", [False, True])
def test_a_run_of_a_million_samples_stays_below_five_megabytes(tmp_path: Path, failing: bool) -> None:
    run = write_run(tmp_path / "run", Shape(rate_factor=160))
    if failing:  # the worst case: nothing answers, and no two failures look alike
        with sqlite3.connect(run / "samples.sqlite") as db:
            db.execute("UPDATE samples SET outcome = 'app_error', certainty = 'fail'")
            db.execute("UPDATE samples SET t_end = t_intended + 200000 + abs(random()) % 499000000")
            db.execute("UPDATE samples SET outcome = 'reset' WHERE seq % 3 = 0")
            (total,) = db.execute("SELECT count(*) FROM samples").fetchone()
        assert total > 1_000_000
    began = time.process_time()
    render(run, ("html",))
    if not failing:
        assert time.process_time() - began < 5, "by this process's own clock: other work on the machine does not count"
    assert (run / "report.html").stat().st_size < 5_000_000


def test_sections_come_from_the_entry_points_in_order() -> None:
    names = [s.name for s in sections()]
    assert names[0] == "verdict"
    assert {
        "timeline",
        "waterfall",
        "losses",
        "staleness",
        "clients",
        "stability",
        "evidence",
        "trials",
        "events",
        "logs",
        "setting",
        "rules",
    } <= set(names)
    assert [s.order for s in sections()] == sorted(s.order for s in sections())


def test_the_readout_of_the_script_counts_every_sample(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run")
    render(run, ("html",))
    scripts = page((run / "report.html").read_text()).all("script", type="application/json")
    assert len(scripts) == 1
    readout = json.loads(scripts[0].text)
    with sqlite3.connect(run / "samples.sqlite") as db:
        for client in readout["clients"]:
            (ok,) = db.execute("SELECT count(*) FROM samples WHERE client = ? AND outcome = 'ok'", (client["name"],)).fetchone()
            (bad,) = db.execute("SELECT count(*) FROM samples WHERE client = ? AND outcome != 'ok'", (client["name"],)).fetchone()
            assert (sum(client["ok"]), sum(client["down"])) == (ok, bad)


class Extra:
    """A section as another package would bring it."""

    name = "extra"
    title = "Extra <section>"
    order = 15

    def html(self, view: View) -> Markup:
        return Markup("<p>run {}</p>").format(view.result.run_id)

    def markdown(self, view: View) -> str:
        return f"run {view.result.run_id}"


def test_another_package_can_add_a_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Point:
        def load(self) -> type[Extra]:
            return Extra

    installed = [*entry_points(group="chaoskit.sections"), Point()]
    monkeypatch.setattr("chaoskit.reporting.render.entry_points", lambda group: installed)
    run = write_run(tmp_path / "run")
    render(run)
    parsed = page((run / "report.html").read_text())
    order = [e.attributes["id"] for e in parsed.all("section")]
    assert order.index("verdict") < order.index("extra") < order.index("timeline")
    assert "run 20261122-093000-k3x9" in parsed.by_id("extra").text
    assert "Extra <section>" in parsed.by_id("h-extra").text
    assert "## Extra \\<section\\>\n\nrun 2026" in (run / "report.md").read_text()


def luminance(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ink", ["ink", "muted", "faint", "link", "pass", "fail", "unknown", "fault"])
def test_text_has_contrast_in_both_themes(pages: dict[str, Page], theme: int, ink: str) -> None:
    css = pages["passed"].all("style")[0].text
    block = re.findall(r":root \{(.*?)\}", css, re.S)[theme]
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
    for ground in ("page", "panel"):
        light, dark = sorted((luminance(colors[ground]), luminance(colors[ink])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, f"{ink} on {ground}"
