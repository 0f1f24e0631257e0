"""What is said at the end of a test run that carried out experiments: on the terminal, and in Markdown for a CI job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chaoskit.reporting.text import code, table
from chaoskit.reporting.text import markdown as escaped

MARKS = {"passed": "✅", "failed": "❌", "unknown": "❔"}


@dataclass(frozen=True)
class Row:
    """One experiment of one test."""

    test: str
    title: str
    verdict: str
    rto: str
    lost: str
    report: str


def rows_of(test: str, properties: Iterable[tuple[str, object]]) -> list[Row]:
    """The experiments that a test's properties tell."""
    said = {name: str(value) for name, value in properties}
    prefixes = ["chaos", *(f"chaos.{n}" for n in range(2, 1 + sum(name.endswith(".verdict") for name in said)))]
    return [
        Row(
            test=test,
            title=said.get(f"{p}.title", ""),
            verdict=said[f"{p}.verdict"],
            rto=said.get(f"{p}.rto", "not measured"),
            lost=said.get(f"{p}.rpo.lost", "not asked"),
            report=said.get(f"{p}.report", ""),
        )
        for p in prefixes
        if f"{p}.verdict" in said
    ]


def write_summary(terminal: Any, config: pytest.Config, reports: Sequence[Any]) -> None:
    """The last report of each test: one that was repeated tells its last attempt."""
    latest = {report.nodeid: report for report in reports}
    rows = [row for test, report in latest.items() for row in rows_of(test, report.user_properties)]
    kept = dict.fromkeys(str(v) for r in reports for name, v in r.user_properties if name == "chaos.kept_lab")
    terminal.section("chaos experiments")
    for row in rows:
        colour = {"passed": {"green": True}, "failed": {"red": True}}.get(row.verdict, {"yellow": True})
        terminal.write_line(f"{row.verdict:8}{row.title}: rto {row.rto}; lost {row.lost}", **colour)
        terminal.write_line(f"        {row.test}; report: {row.report}")
    for lab_id in kept:
        terminal.write_line(f"The lab {lab_id} stays up: chaoskit lab status {lab_id} · chaoskit lab down {lab_id}")
    place = config.getoption("chaos_summary")
    if place:
        file = Path(place)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a", encoding="utf-8") as out:
            out.write(markdown(rows))


def markdown(rows: Sequence[Row]) -> str:
    """A table, as GitHub and GitLab show it. Text from outside cannot become markup."""
    counts = ", ".join(f"{count} {verdict}" for verdict in MARKS if (count := sum(row.verdict == verdict for row in rows)))
    cells = [
        (f"{MARKS.get(row.verdict, '')} {row.verdict}", *map(escaped, (row.title, row.rto, row.lost)), code(row.report))
        for row in rows
    ]
    return f"## Chaos experiments: {counts}\n\n{table(('', 'Experiment', 'RTO', 'Lost writes', 'Report'), cells)}\n\n"
