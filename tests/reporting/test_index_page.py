"""The index page: one offline file, the same bytes for the same runs, and no text from outside becomes markup."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chaoskit.archive.index import opened
from chaoskit.surfaces.indexing import indexed, write_page
from tests.archive.folders import owe, own, write_run
from tests.reporting.pages import Page, page
from tests.reporting.recorded_runs import Shape
from tests.reporting.test_hostile import PAYLOADS

STATIC = Path(__file__).parents[2] / "chaoskit" / "reporting" / "static"


def folder(reports: Path) -> Path:
    for day in range(5):
        write_run(reports, f"a{day}", Shape(trials=1 + day % 2, outage_s=19 + day), day=day, settings={"ttl": f"{day // 3}s"})
    write_run(reports, "lost", Shape(lost=7), day=5)
    write_run(reports, "never", Shape(recovers=False), day=6)
    write_run(reports, "unverified", Shape(verified=False), day=7, report=False)
    own(write_run(reports, "dead", day=8), alive=False)
    owe(write_run(reports, "owes", Shape(dirty=("node.power_off on db1",)), day=9))
    write_run(reports, "web #1?", day=2.5, title="Web", file="web.yaml", lab="haproxy")
    return reports


def written(reports: Path) -> Page:
    with opened(reports) as index:
        return page(write_page(index, reports).read_text(encoding="utf-8"))


def test_every_run_is_there_the_newest_first_with_a_link_to_its_report(tmp_path: Path) -> None:
    made = written(folder(tmp_path))
    heads = [e for e in made.all("th", scope="row") if "data-sort" in e.attributes]
    names = [e.text.split()[-1] if "web" not in e.text else "web" for e in heads]
    assert names == ["owes", "dead", "unverified", "never", "lost", "a4", "a3", "web", "a2", "a1", "a0"]
    links = [a.attributes["href"] for a in made.all("a") if a.attributes.get("href", "").endswith("report.html")]
    assert "./a0/report.html" in links
    assert "./web%20%231%3F/report.html" in links
    assert "./unverified/report.html" not in links, "it has none"
    for link in links:
        from urllib.parse import unquote

        assert (tmp_path / unquote(link)).is_file()
    assert "something is still broken" in made.by_id("runs").text
    assert "11 recorded runs" in made.all("h1")[0].text


def test_verdicts_have_a_colour_a_shape_and_a_word(tmp_path: Path) -> None:
    made = written(folder(tmp_path))
    shapes = {name: {e.tag for e in made.with_class(f"ix-{name}")} for name in ("passed", "failed", "unknown")}
    assert shapes == {"passed": {"circle"}, "failed": {"path"}, "unknown": {"path"}}
    drawn = {name: {e.attributes["d"] for e in made.with_class(f"ix-{name}")} for name in ("failed", "unknown")}
    assert not drawn["failed"] & drawn["unknown"]
    for row in [e for e in made.all("td") if e.attributes.get("data-label") == "Verdict"]:
        assert re.search("passed|failed|unknown|dead", row.text)


def test_pictures_have_bounds_marks_and_words(tmp_path: Path) -> None:
    made = written(folder(tmp_path))
    pictures = made.all("div", role="img")
    assert [p.attributes["aria-label"].split()[0] for p in pictures] == ["rto", "lost", "rto", "lost"]
    label = pictures[0].attributes["aria-label"]
    assert "over 10 runs" in label
    assert "1 with trials that never recovered" in label
    assert "2 without a valid figure" in label
    assert len(made.with_class("ix-open")) == 1 + 1, "one run, and the key"
    assert len(made.with_class("ix-change")) >= 2
    bars = [e for e in made.with_class("ix-bar") if "y" in e.attributes and float(e.attributes["height"]) > 3]
    assert bars, "several trials cover more than one"
    for e in made.elements:
        for name in ("x", "y", "height", "width"):
            if e.tag == "rect" and name in e.attributes:
                assert float(e.attributes[name].rstrip("%")) >= (-6 if name == "x" else 0)


def test_nothing_is_loaded_and_nothing_runs_that_is_not_ours(tmp_path: Path) -> None:
    made = written(folder(tmp_path))
    assert [a for a in made.addresses() if not a.startswith(("#", "./")) and a != "data:,"] == []
    assert len(made.all("script")) == 1
    assert not [name for e in made.elements for name in e.attributes if name.startswith("on")]


def test_the_same_runs_give_the_same_bytes(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "one"), folder(tmp_path / "other")
    written(one)
    first = (one / "index.html").read_bytes()
    indexed(one / "a0", one)
    assert (one / "index.html").read_bytes() == first
    with opened(other, anew=True) as index:
        write_page(index, other)
    assert (other / "index.html").read_bytes() == first


def test_what_the_page_uses_is_in_the_styles() -> None:
    styles = (STATIC / "report.css").read_text() + (STATIC / "index.css").read_text()
    missing = set(re.findall(r"var\((--[\w-]+)\)", (STATIC / "index.css").read_text())) - set(re.findall(r"(--[\w-]+):", styles))
    assert missing == set()
    template = (STATIC.parent / "templates" / "index.html.j2").read_text()
    used = {name for names in re.findall(r'class="([^"{]+)"', template) for name in names.split()}
    ours = {name for name in used if not re.search(rf"\.{name}\b", styles)}
    assert ours == set(), "no rule says what these look like"


@pytest.mark.parametrize("kind", list(PAYLOADS))
def test_text_from_outside_stays_text(tmp_path: Path, kind: str) -> None:
    payload = PAYLOADS[kind]
    write_run(
        tmp_path, "hostile", title=payload, file=payload, lab=payload, backend=payload, tags=(payload,),
        reasons=(payload,), incomplete=payload, started=payload,
    )  # fmt: skip
    bad = write_run(tmp_path, "bad", title=payload, file=payload)
    (bad / "result.json").write_text("{" + payload)
    if kind in ("markup", "attribute"):
        write_run(tmp_path, payload.replace("/", "\u2215")[:60].strip(), day=1)
    made = written(tmp_path)
    clean = written(folder(tmp_path / "clean"))
    assert {e.tag for e in made.elements} <= {e.tag for e in clean.elements}
    assert {n for e in made.elements for n in e.attributes} <= {n for e in clean.elements for n in e.attributes} | {"y"}
    assert {c for e in made.elements for c in e.attributes.get("class", "").split()} <= {
        c for e in clean.elements for c in e.attributes.get("class", "").split()
    }
    assert [a for a in made.addresses() if not a.startswith(("#", "./")) and a != "data:,"] == []
    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text) is None
    marker = {
        "markup": "alert(1)",
        "attribute": "onmouseover",
        "template": "7 * 7",
        "markdown": "everyone",
        "control": "x1b[31mred",
    }
    assert marker[kind] in made.by_id("runs").text


def test_an_empty_folder_says_so(tmp_path: Path) -> None:
    made = written(tmp_path)
    assert "There is no run in this folder yet" in made.all("header")[0].text
    assert not made.all("table")


def test_many_runs_keep_the_page_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chaoskit.surfaces.indexing.PAGE_RUNS", 3)
    made = written(folder(tmp_path))
    assert "The newest 3 of 11" in made.by_id("runs").text


def test_the_script_is_no_markup() -> None:
    assert "</script" not in (STATIC / "index.js").read_text()
