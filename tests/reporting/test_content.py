"""What the HTML report says, variant by variant: the answer first, nothing unmeasured shown as a number."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from chaoskit.model.figures import Figure
from chaoskit.reporting.narrative import words
from chaoskit.reporting.render import render
from tests.reporting.pages import Page, page
from tests.reporting.recorded_runs import Shape, result_of, write_run


def said(parsed: Page, section: str) -> str:
    return " ".join(parsed.by_id(section).text.split())


def test_the_answer_stands_first(pages: dict[str, Page]) -> None:
    headline = [e.text.replace("\u00a0", " ") for e in pages["lost"].with_class("headline")]
    assert headline[0] == "Users were down for 19.30 s (orders, 19.25 to 19.35 s); the pooled client app for 20.70 s."
    assert headline[1] == "60 of 1312 acknowledged writes were lost, a window of 620 ms."
    assert "Failed Of 3 objectives, 1 missed, 2 met." in said(pages["lost"], "verdict")


def test_objectives_show_target_actual_and_outcome(pages: dict[str, Page]) -> None:
    rows = [" ".join(r.text.split()) for r in pages["lost"].all("tr") if "table" in r.parents and "missed" in r.text]
    assert any(r.startswith("rpo.writes 0 60") and r.endswith("missed") for r in rows)


def test_the_measured_rto_stands_beside_the_predicted_one(pages: dict[str, Page]) -> None:
    text = said(pages["passed"], "verdict").replace("\u00a0", " ")
    assert "predicted 18.0 to 24.0 s" in text
    assert "objective <= 30s" in text
    assert pages["passed"].with_class("band-predicted")
    labels = [e.attributes.get("aria-label") for e in pages["passed"].all("svg", role="img")]
    assert "orders: 19.30 s (19.25 s to 19.35 s)" in labels


def test_a_cluster_that_never_recovers_is_censored_not_a_number(pages: dict[str, Page]) -> None:
    text = said(pages["never"], "verdict").replace("\u00a0", " ")
    assert "Users were still down when observation ended, after more than 64.96 s (orders)." in text
    assert pages["never"].with_class("open")
    assert "not recovered" in said(pages["never"], "timeline")


def test_an_effect_that_was_not_verified_makes_the_figure_unknown_with_its_reason(pages: dict[str, Page]) -> None:
    text = said(pages["unverified"], "verdict")
    assert "Unknown" in text
    assert "How long users were down is unknown: the effect of node.power_off on db1 was not verified." in text
    assert pages["unverified"].with_class("unproved")
    assert "effect not verified" in said(pages["unverified"], "evidence")
    assert "seen" not in [e.text for e in pages["unverified"].with_class("figure-invalid")]


def test_a_dirty_undo_is_the_first_and_loudest_thing(pages: dict[str, Page]) -> None:
    parsed = pages["dirty"]
    alarm = parsed.all("div", role="alert")
    assert len(alarm) == 1
    assert "Something is still broken." in alarm[0].text
    assert "table busy" in alarm[0].text
    assert "chaoskit recover" in alarm[0].text
    assert parsed.elements.index(alarm[0]) < parsed.elements.index(parsed.all("h1")[0])
    assert not pages["passed"].all("div", role="alert")


def test_three_trials_have_a_dot_each_and_the_worst_is_open(pages: dict[str, Page]) -> None:
    parsed = pages["three"]
    assert len([e for e in parsed.with_class("dot") if "section" in e.parents]) >= 9
    openings = {e.attributes["id"]: "open" in e.attributes for e in parsed.with_class("trial")}
    assert openings == {"timeline-1": False, "timeline-2": False, "timeline-3": True}
    assert "At worst, users were down for 30.90 s (orders, trial 3" in said(parsed, "verdict").replace("\u00a0", " ")
    assert "no 95 % interval of the median" in said(parsed, "trials")


def test_a_run_that_ended_early_renders(pages: dict[str, Page]) -> None:
    text = said(pages["early"], "verdict")
    assert "The run ended early: interrupted during the baseline." in text
    assert "No objective was judged." in text


def test_every_failed_attempt_has_a_mark(rendered: dict[str, Path], pages: dict[str, Page]) -> None:
    with sqlite3.connect(rendered["passed"] / "samples.sqlite") as db:
        counts = dict(db.execute("SELECT outcome, count(*) FROM samples WHERE client = 'orders' GROUP BY outcome"))
    lane = next(e for e in pages["passed"].all("svg", role="img") if e.attributes["aria-label"].startswith("orders: latency"))
    label = lane.attributes["aria-label"]
    assert f"{counts['timeout']} timeout" in label
    inside = pages["passed"].elements[pages["passed"].elements.index(lane) :]
    timeouts = next(e for e in inside if "m-timeout" in e.attributes.get("class", "").split())
    assert timeouts.attributes["d"].count("M") == counts["timeout"]


def test_lost_writes_are_listed_up_to_fifty(pages: dict[str, Page]) -> None:
    text = said(pages["lost"], "losses")
    assert "On db1 when it came back" in text
    assert "the old leader: read 210" in text
    assert "Nodes that could not be read" in text
    assert "Writes by which nodes differ from the final read" in text
    assert "the first 50 of 60" in text
    assert "run-orders-800" in text
    assert "run-orders-849" in text
    assert "run-orders-850" not in text
    assert "db1 by 60" in text
    assert pages["lost"].with_class("lost")


def test_stale_reads_are_listed_with_how_old_the_copy_was(pages: dict[str, Page]) -> None:
    text = said(pages["lost"], "staleness")
    assert "of the ledger of orders" in text
    assert "answered by db3" in text
    assert "#0" in text
    assert "90 ms to 110 ms" in text
    assert "nobody had sent yet" in text


def test_the_waterfall_says_what_was_not_measured(pages: dict[str, Page]) -> None:
    text = said(pages["passed"], "waterfall").replace("\u00a0", " ")
    assert "detected" in text
    assert "capacity restored not measured not measured replicas were not watched" in text


def test_evidence_gates_rules_and_environment_are_there(pages: dict[str, Page]) -> None:
    parsed = pages["passed"]
    evidence = said(parsed, "evidence")
    assert "db1 does not answer app silent or unreachable silent yes" in evidence
    assert "clean baseline >= 99.9 % over >= 30 s 100 % of 600 over 30 s yes" in evidence
    assert "(s_K + s_R)/2 - (s_L + s_F)/2" in said(parsed, "rules")
    setting = said(parsed, "setting")
    assert "kernel 6.18.0" in setting
    assert "seed 41" in setting
    assert "cpu.count 2" in setting


def test_logs_show_the_lines_around_the_fault(pages: dict[str, Page]) -> None:
    text = said(pages["passed"], "logs")
    assert "received promote request" in text
    assert "around the fault" in text
    assert "checkpoint starting" not in text


@pytest.mark.parametrize(
    ("figure", "state", "main", "detail"),
    [
        (None, "missing", "not measured", ""),
        (Figure(), "missing", "not measured", ""),
        (Figure(reasons=("no replica was watched",)), "missing", "not measured", "no replica was watched"),
        (Figure(low=0, high=0.005, text="none seen, or shorter than 5 ms"), "none", "none seen, or shorter than 5 ms", ""),
        (Figure(low=60, censored=True), "censored", "more than 60.00 s", "not over at the end"),
        (Figure(valid=False, reasons=("late",)), "invalid", "unknown", "late"),
        (Figure(valid=False), "invalid", "unknown", "no reason was recorded"),
        (Figure(point=3, valid=False, reasons=("late",), text="invalid: 3.0 s"), "invalid", "invalid", "late (seen: 3.0 s)"),
        (Figure(valid=False, reasons=("no fault",), text="unknown: no fault"), "invalid", "unknown", "no fault"),
        (Figure(point=19.3, low=19.2, high=19.4), "measured", "19.30 s (19.20 to 19.40)", ""),
        (Figure(point=0.9987, unit="share"), "measured", "99.87 %", ""),
        (Figure(point=0, low=0, high=0, unit="writes"), "measured", "0 writes", ""),
    ],
)
def test_a_figure_never_hides_what_it_is(figure: Figure | None, state: str, main: str, detail: str) -> None:
    told = words(figure)
    assert (told.state, told.main.replace("\u00a0", " "), told.detail) == (state, main, detail)


def test_no_outage_is_said_with_its_resolution(tmp_path: Path) -> None:
    result = result_of(Shape())
    none = Figure(low=0.0, high=0.05, n=900, text="none seen, or shorter than 50 ms")
    trial = result.trials[0]
    clients = {name: c.model_copy(update={"rto": none, "outages": ()}) for name, c in trial.clients.items()}
    run = write_run(
        tmp_path / "run", Shape(), result.model_copy(update={"trials": (trial.model_copy(update={"clients": clients}),)})
    )
    render(run, ("html",))
    assert "Users saw no outage (none seen, or shorter than 50 ms; orders)." in said(
        page((run / "report.html").read_text()), "verdict"
    )
