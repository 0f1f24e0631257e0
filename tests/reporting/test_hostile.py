"""Text from outside stays text, in every field of every file of a run, in all three reports."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from chaoskit.model.result import Result
from chaoskit.reporting.findings import findings
from chaoskit.reporting.render import render
from tests.reporting.pages import Page, page
from tests.reporting.recorded_runs import DAY, LOG, Shape, result_of, write_run

PAYLOADS = {
    "markup": "</title></style></script></pre><script>alert(1)</script><img src=x onerror=alert(2)><!-- ",
    "attribute": '" onmouseover="alert(1)" x=\'"><svg onload=alert(2)>\' style=background:url(http://evil.example/)',
    "template": "{{ 7 * 7 }}{% raw %}${7*7}#{7*7} </text><a xlink:href='javascript:alert(1)'>",
    "markdown": "a|b\n\n# heading\n\n[x](javascript:alert(1)) ![i](http://evil.example/i.png) <b>bold</b> `code``` @everyone ***",
    "control": "\x00\x07\x1b[31mred\x1b[0m \u202eesrever ]]> & &amp; &#60;script&#62; \u2028\x85 end",
}
KEPT = {"schema", "verdict", "state", "started", "ended", "unit", "client_class", "class", "at", "re-test"}
"""Closed vocabularies and instants: what is written there was checked when the file was read."""


def poisoned(value: Any, payload: str, key: str = "") -> Any:
    """The same data with the payload in every text and every free name."""
    if isinstance(value, dict):
        free = key in (
            "clients",
            "errors",
            "environment",
            "settings",
            "divergence",
            "unread",
            "by_node",
            "stale_reads",
            "summary",
            "count",
            "cpu",
        )
        return {f"{name}{payload}" if free else name: poisoned(inner, payload, name) for name, inner in value.items()}
    if isinstance(value, list):
        return [poisoned(item, payload, key) for item in value]
    if isinstance(value, str) and key not in KEPT:
        return f"{value}{payload}"
    return value


def poisoned_run(directory: Path, payload: str) -> Path:
    shape = Shape(trials=2, lost=3, dirty=("cut",), incomplete="stopped", game_day=DAY)
    result = Result.model_validate(poisoned(json.loads(result_of(shape).model_dump_json(by_alias=True)), payload))
    run = write_run(directory, shape, result)
    lines = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    for event in lines:
        event["data"] = poisoned(event["data"], payload) | {f"more{payload}": payload}
        event["source"] += payload
        event["wall"] += payload
    lines += [{**lines[-1], "kind": payload, "t_ns": lines[-1]["t_ns"] + n} for n in range(2)]
    lines.append({**lines[-1], "kind": "note", "data": {"text": payload, "author": payload}})
    for about in ("decision", "follow-up", payload):
        said = {"text": payload, "author": payload, "about": about, "owner": payload, "retest": payload}
        lines.append({**lines[-1], "kind": "note", "data": said})
    lines.append({**lines[-1], "kind": "problem", "data": {"message": payload}})
    (run / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in lines))
    plan = json.loads((run / "plan.json").read_text())
    free = {f"{name}{payload}": subnet for name, subnet in plan["lab_plan"]["networks"].items()}
    lab = poisoned(plan["lab_plan"], payload) | {"networks": free}
    (run / "plan.json").write_text(
        json.dumps(plan | {"lab_plan": lab, "lab": poisoned({"nodes": {"x": {"services": ["s"]}}}, payload)})
    )
    with sqlite3.connect(run / "samples.sqlite") as db:
        for column in ("client", "class", "operation", "target", "error", "node"):
            db.execute(f"UPDATE samples SET {column} = ifnull({column}, '') || ?", (payload.replace("\x00", ""),))
        db.execute("UPDATE samples SET outcome = ? WHERE seq % 7 = 0", (payload,))
    for log in run.rglob("*.log"):
        log.write_text(LOG.replace("received promote request", payload))
    odd = run / "logs" / "1" / "db1" / "a'<b>\"&|`x`.log"
    odd.write_text(payload)
    return run


@pytest.fixture(scope="module", params=list(PAYLOADS))
def hostile(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = poisoned_run(tmp_path_factory.mktemp("hostile") / request.param, PAYLOADS[request.param])
    render(run)
    return run


@pytest.fixture(scope="module")
def parsed(hostile: Path) -> Page:
    return page((hostile / "report.html").read_text(encoding="utf-8"))


def test_the_payload_reached_the_page(hostile: Path, parsed: Page) -> None:
    marker = {
        "markup": "alert(1)",
        "attribute": "onmouseover",
        "template": "7 * 7",
        "markdown": "everyone",
        "control": "\\x1b[31mred",
    }
    for section in (
        "verdict",
        "timeline",
        "losses",
        "staleness",
        "clients",
        "evidence",
        "events",
        "logs",
        "setting",
        "waterfall",
        "trials",
        "rules",
        "game-day",
        "topology",
        "findings",
    ):
        assert marker[hostile.name] in parsed.by_id(section).text, section


def test_no_element_or_attribute_comes_from_outside(parsed: Page) -> None:
    scripts = parsed.all("script")
    assert [s.attributes for s in scripts if s.attributes != {"type": "application/json", "data-readout": ""}] == [{}]
    known = {
        "html",
        "head",
        "meta",
        "title",
        "link",
        "style",
        "body",
        "a",
        "svg",
        "defs",
        "pattern",
        "rect",
        "path",
        "circle",
        "line",
        "text",
        "use",
        "div",
        "nav",
        "ol",
        "ul",
        "li",
        "main",
        "header",
        "section",
        "p",
        "span",
        "b",
        "i",
        "small",
        "h1",
        "h2",
        "h3",
        "h4",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "details",
        "summary",
        "dl",
        "dt",
        "dd",
        "code",
        "pre",
        "strong",
        "button",
        "script",
        "time",
        "br",
    }
    assert {e.tag for e in parsed.elements} - known == set()
    names = {name for e in parsed.elements for name in e.attributes}
    assert [name for name in names if name.startswith("on")] == []
    assert [a for a in parsed.addresses() if not a.startswith("#") and a != "data:,"] == []
    styles = {re.sub(r"\d[\d.]*", "0", e.attributes["style"]) for e in parsed.elements if "style" in e.attributes}
    assert styles <= {"--x:0%", "--x:0%;--row:0", "height:0px"}


def test_classes_are_ours(parsed: Page) -> None:
    classes = {c for e in parsed.elements for c in e.attributes.get("class", "").split()}
    assert [c for c in classes if not re.fullmatch(r"[a-z][a-z0-9_-]*", c)] == []


def test_json_in_the_page_is_json(parsed: Page) -> None:
    for script in parsed.all("script", type="application/json"):
        assert json.loads(script.text)["clients"]


def test_nothing_unprintable_is_left(hostile: Path) -> None:
    for name in ("report.html", "report.md", "junit.xml"):
        text = (hostile / name).read_bytes().decode("utf-8")
        assert re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text) is None, name


def test_templates_are_not_evaluated(hostile: Path) -> None:
    if hostile.name == "template":
        assert "{{ 7 * 7 }}" in (hostile / "report.html").read_text()


def test_markdown_stays_inert(hostile: Path) -> None:
    text = (hostile / "report.md").read_text(encoding="utf-8")
    tokens = MarkdownIt("gfm-like", {"html": True, "linkify": False}).parse(text)
    assert not [t for t in tokens if t.type in ("html_block", "html_inline")]
    inline = [child for t in tokens if t.type == "inline" for child in t.children or []]
    assert not [c for c in inline if c.type in ("html_inline", "link_open", "image", "em_open", "s_open")]
    ours = {
        "Failed",
        "Unknown",
        "Passed",
        "missed",
        "unknown",
        "no",
        "not verified",
        "not verified as gone",
        "SOMETHING IS STILL BROKEN.",
    }
    ours |= {
        end
        for f in findings(Result.model_validate_json((hostile / "result.json").read_bytes()))
        for end in (f.title, f"{f.title}:")
    }
    bold = [inline[i + 1].content for i, c in enumerate(inline) if c.type == "strong_open"]
    assert {b.rstrip(".") for b in bold} <= {o.rstrip(".") for o in ours} | {"The run ended early:", "Defect:"}
    titles = [t.tag for t in tokens if t.type == "heading_open"]
    assert titles.count("h1") == 1
    assert not [c for c in inline if c.type == "text" and "@everyone" in c.content], "it would be a mention"


def test_markdown_tables_keep_their_columns(hostile: Path) -> None:
    columns: list[list[int]] = []
    for token in MarkdownIt("gfm-like", {"linkify": False}).parse((hostile / "report.md").read_text(encoding="utf-8")):
        if token.type == "table_open":
            columns.append([])
        elif token.type == "tr_open":
            columns[-1].append(0)
        elif token.type in ("td_open", "th_open"):
            columns[-1][-1] += 1
    assert len(columns) > 8
    assert all(len(set(rows)) == 1 for rows in columns)


def test_junit_is_xml_with_the_text_in_it(hostile: Path) -> None:
    suite = ET.parse(hostile / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert {child.tag for child in suite.iter()} <= {
        "testsuite",
        "properties",
        "property",
        "testcase",
        "failure",
        "error",
        "system-out",
    }
    assert len(suite.findall("testcase")) >= 6
