"""One report over several runs: the worst verdict first, each figure, links that lead to the runs' own reports."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from chaoskit.model.errors import InputError
from chaoskit.reporting.combined import render_combined
from chaoskit.reporting.render import render
from tests.reporting.pages import page
from tests.reporting.recorded_runs import DAY, Shape, write_run
from tests.reporting.test_hostile import PAYLOADS, poisoned_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("suite")
    shapes = {"a b": Shape(game_day=DAY), "lost": Shape(lost=60), "never": Shape(recovers=False), "blind": Shape(verified=False)}
    made = [write_run(root / name, shape) for name, shape in shapes.items()]
    for run in made:
        render(run)
    return made


def test_the_page_has_every_run_with_its_verdict_figures_and_link(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "combined.html"
    assert render_combined(runs, out, "html", "Thursday's <game> day") == "failed"
    parsed = page(out.read_text())
    text = " ".join(parsed.by_id("verdict").text.replace("\u00a0", " ").split())
    assert "4 runs: 2 failed, 1 unknown, 1 passed" in text
    assert "19.30 s" in text
    assert "more than 64.96 s" in text
    assert "60 of 1312" in text
    assert "2 of 3 met: rpo.writes missed" in text
    assert "Service never came back" in text
    links = [a for a in parsed.addresses() if a.endswith("report.html")]
    assert len(links) == 4
    assert all((out.parent / unquote(link)).resolve().is_file() for link in links)
    assert "shorten ttl" in parsed.by_id("follow-ups").text
    assert "Thursday's <game> day" in parsed.all("h1")[0].text
    assert len(parsed.with_class("dots-row")) == 5, "a row a run, and the axis"


def test_the_same_runs_give_the_same_bytes(runs: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "combined.html"
    render_combined(runs, out, "html", "x")
    first = out.read_bytes()
    render_combined(runs, out, "html", "x")
    assert out.read_bytes() == first


def test_markdown_json_and_junit_say_the_same(runs: list[Path], tmp_path: Path) -> None:
    render_combined(runs, tmp_path / "c.md", "md", "Suite")
    text = (tmp_path / "c.md").read_text()
    assert "**4 runs: 2 failed, 1 unknown, 1 passed.**" in text
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert len(rows) == 4
    render_combined(runs, tmp_path / "c.json", "json", "Suite")
    said = json.loads((tmp_path / "c.json").read_text())
    assert [r["verdict"] for r in said["runs"]] == ["passed", "failed", "failed", "unknown"]
    assert said["verdict"] == "failed"
    render_combined(runs, tmp_path / "c.xml", "junit", "Suite")
    root = ET.parse(tmp_path / "c.xml").getroot()
    assert len(root.findall("testsuite")) == 4
    assert int(root.get("tests", "0")) == len(list(root.iter("testcase")))


def test_a_run_that_was_not_judged_is_named(runs: list[Path], tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    with pytest.raises(InputError, match=r"raw/result\.json"):
        render_combined([*runs, tmp_path / "raw"], tmp_path / "c.html", "html", "x")
    assert not (tmp_path / "c.html").exists()


@pytest.mark.parametrize("name", list(PAYLOADS))
def test_hostile_text_stays_text(tmp_path: Path, name: str) -> None:
    run = poisoned_run(tmp_path / "a'<b>\"&run", PAYLOADS[name])
    render(run)
    out = tmp_path / "c.html"
    render_combined([run, run], out, "html", PAYLOADS[name])
    parsed = page(out.read_text())
    assert [s.attributes for s in parsed.all("script")] == [{}]
    assert [n for e in parsed.elements for n in e.attributes if n.startswith("on")] == []
    addresses = [a for a in parsed.addresses() if not a.startswith("#") and a != "data:,"]
    assert all(a.partition("#")[0].endswith("run/report.html") for a in addresses), addresses
    render_combined([run, run], tmp_path / "c.md", "md", PAYLOADS[name])
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse((tmp_path / "c.md").read_text())
    assert not [t for t in tokens if t.type in ("html_block", "html_inline")]
    inline = [child for t in tokens if t.type == "inline" for child in t.children or []]
    hrefs = {str(c.attrs["href"]) for c in inline if c.type == "link_open"}
    assert all(h.endswith("run/report.html") for h in hrefs)
    assert not [c for c in inline if c.type in ("html_inline", "image")]
