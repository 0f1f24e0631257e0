"""report.md as a pull request shows it, and junit.xml as a CI job reads it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from markdown_it import MarkdownIt

from chaoskit.model.result import ObjectiveOutcome
from chaoskit.reporting.render import render
from tests.reporting.recorded_runs import Shape, result_of, write_run

MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False})


def headings(text: str) -> list[str]:
    tokens = MARKDOWN.parse(text)
    return [tokens[i + 1].content for i, t in enumerate(tokens) if t.type == "heading_open" and t.tag == "h2"]


def tables(text: str) -> list[list[list[str]]]:
    found: list[list[list[str]]] = []
    tokens = MARKDOWN.parse(text)
    for token, following in pairwise(tokens):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in ("th_open", "td_open"):
            found[-1][-1].append(following.content)
    return found


@pytest.mark.parametrize("variant", ["passed", "lost", "never", "unverified", "dirty", "three", "early"])
def test_markdown_is_well_formed(rendered: dict[str, Path], variant: str) -> None:
    text = (rendered[variant] / "report.md").read_text()
    assert text.startswith("# The primary loses power\n\n## Verdict\n")
    assert not [t for t in MARKDOWN.parse(text) if t.type in ("html_block", "html_inline")]
    for rows in tables(text):
        assert len(rows) > 1
        assert {len(r) for r in rows} == {len(rows[0])}


def test_markdown_has_the_same_parts_as_the_page(rendered: dict[str, Path]) -> None:
    found = headings((rendered["three"] / "report.md").read_text())
    assert found == [
        "Verdict",
        "Trials",
        "What was broken",
        "What happened when",
        "Where the time went",
        "What was lost",
        "Stale reads",
        "Stability and leadership",
        "How each client fared",
        "What the logs said",
        "How sure we are",
        "What stands out, and what to try next",
        "Events",
        "Where and how it was run",
        "How each figure is computed",
    ]


def test_markdown_says_the_answer_and_the_losses(rendered: dict[str, Path]) -> None:
    text = (rendered["lost"] / "report.md").read_text().replace("\u00a0", " ")
    assert "**Failed.** Users were down for 19.30 s (orders, 19.25 to 19.35 s); the pooled client app for 20.70 s." in text
    assert "| `orders` | `run-orders-800` |" in text
    assert "`run-orders-850`" not in text
    assert "Predicted RTO from the settings: 18.0 to 24.0 s" in text


def test_markdown_shouts_when_something_is_still_broken(rendered: dict[str, Path]) -> None:
    lines = (rendered["dirty"] / "report.md").read_text().splitlines()
    assert lines[4].startswith("> **SOMETHING IS STILL BROKEN.**")


def suite(run: Path) -> ET.Element:
    root = ET.parse(run / "junit.xml").getroot()
    assert root.tag == "testsuites"
    found = root.find("testsuite")
    assert found is not None
    cases = found.findall("testcase")
    assert int(found.attrib["tests"]) == len(cases)
    assert int(found.attrib["failures"]) == len(found.findall("testcase/failure"))
    assert int(found.attrib["errors"]) == len(found.findall("testcase/error"))
    return found


def properties(found: ET.Element) -> dict[str, str]:
    return {p.attrib["name"]: p.attrib["value"] for p in found.findall("properties/property")}


def test_a_passed_run_is_green_and_carries_its_figures(rendered: dict[str, Path]) -> None:
    found = suite(rendered["passed"])
    assert [c.attrib["name"] for c in found.findall("testcase")] == ["rto orders <= 30s", "rpo.writes 0", "split_brain none"]
    assert found.attrib["failures"] == found.attrib["errors"] == "0"
    said = properties(found)
    assert float(said["trial.1.orders.rto.point_s"]) == pytest.approx(19.3)
    assert float(said["trial.1.orders.rto.high_s"]) == pytest.approx(19.35)
    assert said["trial.1.rpo.lost.point"] == "0.0"
    assert said["trial.1.rpo.acknowledged"] == "1312"


def test_missed_is_a_failure_and_unknown_an_error(rendered: dict[str, Path]) -> None:
    failure = suite(rendered["lost"]).find("testcase[@name='rpo.writes 0']/failure")
    assert failure is not None
    assert failure.attrib["message"] == "wanted 0, got 60"
    error = suite(rendered["unverified"]).find("testcase[@name='rto orders <= 30s']/error")
    assert error is not None
    assert "the effect was not verified" in error.attrib["message"]
    assert properties(suite(rendered["unverified"]))["trial.1.orders.rto"].startswith("invalid: the effect of node.power_off")


def test_a_censored_rto_has_no_point(rendered: dict[str, Path]) -> None:
    said = properties(suite(rendered["never"]))
    assert said["trial.1.orders.rto.censored"] == "true"
    assert "trial.1.orders.rto.point_s" not in said


def test_each_trial_has_its_own_cases(rendered: dict[str, Path]) -> None:
    cases = suite(rendered["three"]).findall("testcase")
    assert len(cases) == 9
    assert len({(c.attrib["classname"], c.attrib["name"]) for c in cases}) == 9


def test_a_dirty_undo_is_a_failure_of_its_own(rendered: dict[str, Path]) -> None:
    failure = suite(rendered["dirty"]).find("testcase[@name='undo everything put back']/failure")
    assert failure is not None
    assert "table busy" in (failure.text or "")


def test_a_run_that_measured_nothing_is_never_green(rendered: dict[str, Path]) -> None:
    found = suite(rendered["early"])
    assert int(found.attrib["errors"]) == 1
    assert int(found.attrib["tests"]) == 1


def test_a_failed_verdict_that_no_objective_explains_still_fails(tmp_path: Path) -> None:
    result = result_of(Shape()).model_copy(update={"verdict": "failed", "reasons": ("the lab was lost",)})
    run = write_run(tmp_path / "run", Shape(), result)
    render(run, ("junit",))
    failure = suite(run).find("testcase[@name='verdict passed']/failure")
    assert failure is not None
    assert failure.text == "the lab was lost"


def test_objectives_of_the_run_are_not_counted_twice(tmp_path: Path) -> None:
    result = result_of(Shape())
    over_all = tuple(o.model_copy(update={"trial": 1}) for o in result.trials[0].objectives)
    extra = ObjectiveOutcome(name="availability", target=">= 99%", actual="81.6 %", met=False)
    run = write_run(tmp_path / "run", Shape(), result.model_copy(update={"objectives": (*over_all, extra), "verdict": "failed"}))
    render(run, ("junit",))
    assert len(suite(run).findall("testcase")) == 4
