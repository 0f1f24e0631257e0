"""One report over several runs (a sweep, a game day, a suite): their verdicts and figures side by side, from each result.json."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from xml.etree import ElementTree as ET

from markupsafe import Markup

from chaoskit.model.errors import InputError, Problem
from chaoskit.model.figures import Figure
from chaoskit.model.result import Result, TrialResult, Verdict
from chaoskit.reporting.charts.dots import DotRow, Dots, dots
from chaoskit.reporting.findings import Finding, findings
from chaoskit.reporting.narrative import words
from chaoskit.reporting.pdf import pdf_of
from chaoskit.reporting.reader import leader_of_run, recorded_result
from chaoskit.reporting.render import checked_formats, rendered, static, template
from chaoskit.reporting.text import code, count, markdown, seconds, table
from chaoskit.reporting.writing import write_whole

SCHEMA = "chaoskit.combined/1"
ORDER: tuple[Verdict, ...] = ("failed", "unknown", "passed")
MET = {True: "met", False: "missed", None: "unknown"}


@dataclass(frozen=True, slots=True)
class Entry:
    """One run."""

    result: Result
    href: str
    """Its own report, relative to this one; empty where it has none."""
    anchor: str
    worst: Figure | None
    """The RTO of the fresh client and trial that had it worst."""
    lost: str
    objectives: str
    found: tuple[Finding, ...]

    @property
    def rto(self) -> str:
        """Short: the reasons stand in the run's own report."""
        if self.worst is not None and self.worst.valid and self.worst.censored:
            return f"more than {seconds(self.worst.low)}"
        return words(self.worst).main

    @property
    def about(self) -> str:
        lab = self.result.lab
        variant = f" ({lab.variant})" if lab.variant else ""
        trials = len(self.result.trials)
        return f"{lab.name}{variant}, {lab.backend}, {trials} {'trial' if trials == 1 else 'trials'}"


def _rank(figure: Figure) -> float:
    if figure.censored:
        return float("inf")
    known = figure.point if figure.point is not None else figure.high
    return known if known is not None else -1.0


def _worst(trials: Sequence[TrialResult]) -> Figure | None:
    """An invalid figure outranks none: a run that cannot say is not better than one that can."""
    fresh = [c.rto for t in trials for c in t.clients.values() if c.measures_outages]
    every = fresh or [c.rto for t in trials for c in t.clients.values()]
    valid = [f for f in every if f.valid]
    return max(valid, key=_rank) if valid else next(iter(every), None)


def _lost(trials: Sequence[TrialResult]) -> str:
    ledgers = [t.rpo for t in trials if t.rpo is not None]
    if not ledgers:
        return "not measured"
    known = [r for r in ledgers if r.lost.valid and r.lost.point is not None]
    if len(known) < len(ledgers):
        return "unknown"
    return f"{count(sum(r.lost.point or 0 for r in known))} of {count(sum(r.acknowledged for r in known))}"


def _objectives(result: Result) -> str:
    """How many were met, and which were not."""
    outcomes = result.objectives or tuple(o for t in result.trials for o in t.objectives)
    if not outcomes:
        return "none stated"
    rest = [f"{' '.join(filter(None, (o.name, o.subject)))} {MET[o.met]}" for o in outcomes if o.met is not True]
    met = sum(o.met is True for o in outcomes)
    return f"{met} of {len(outcomes)} met" + (f": {', '.join(dict.fromkeys(rest))}" if rest else "")


def entries(runs: Sequence[Path], out: Path) -> tuple[Entry, ...]:
    """The runs in the order given, read. InputError for one that has no result."""
    made = []
    for number, run in enumerate(runs, start=1):
        result = recorded_result(run)
        page = run / "report.html"
        href = quote(os.path.relpath(page.resolve(), out.resolve().parent)) if page.is_file() else ""
        found = findings(result, leader_of_run(run, result))
        trials = result.trials
        made.append(Entry(result, href, f"run-{number}", _worst(trials), _lost(trials), _objectives(result), found))
    return tuple(made)


def _summary(made: Sequence[Entry]) -> str:
    counts = [(verdict, sum(e.result.verdict == verdict for e in made)) for verdict in ORDER]
    said = ", ".join(f"{n} {verdict}" for verdict, n in counts if n)
    return f"{len(made)} {'run' if len(made) == 1 else 'runs'}: {said}"


def _verdict(made: Sequence[Entry]) -> Verdict:
    """The worst of them: failed outranks unknown, which outranks passed."""
    found = {e.result.verdict for e in made}
    return next(v for v in ORDER if v in found)


def _chart(made: Sequence[Entry]) -> Dots | None:
    rows = [
        DotRow(e.result.experiment.title, e.worst, e.rto, about=e.about, href=f"#{e.anchor}") for e in made if e.worst is not None
    ]
    predicted = {e.result.predicted_rto_s for e in made}
    same = next(iter(predicted)) if len(predicted) == 1 else None
    return dots(rows, predicted=same)


def _undone(made: Sequence[Entry]) -> tuple[str, ...]:
    return tuple(f"{e.result.run_id}: {item}" for e in made for item in e.result.undo.dirty)


def _html(made: Sequence[Entry], title: str) -> str:
    follow_ups = [(e, f) for e in made if e.result.game_day for f in e.result.game_day.follow_ups]
    return str(
        template(
            "combined.html.j2",
            title=title,
            made=made,
            summary=_summary(made),
            verdict=_verdict(made),
            chart=_chart(made),
            undone=_undone(made),
            follow_ups=follow_ups,
            style=Markup(static("report.css")),
            script=Markup(static("report.js")),
        )
    )


def _markdown(made: Sequence[Entry], title: str) -> str:
    parts = [f"# {markdown(title)}", f"**{_summary(made)}.**"]
    if _undone(made):
        owed = "\n".join(f"- {code(item)}" for item in _undone(made))
        parts.append(f"> **SOMETHING IS STILL BROKEN.** Run `chaoskit recover`.\n\n{owed}")
    rows = [
        [
            f"[{markdown(e.result.experiment.title)}]({e.href})" if e.href else markdown(e.result.experiment.title),
            f"**{e.result.verdict}**" if e.result.verdict != "passed" else "passed",
            markdown(e.rto),
            markdown(e.lost),
            markdown(e.objectives),
            markdown("; ".join(f.title for f in e.found)),
            markdown(e.about),
        ]
        for e in made
    ]
    parts.append(table(["Run", "Verdict", "Worst RTO", "Lost writes", "Objectives", "Stands out", "Lab"], rows))
    return "\n\n".join(parts) + "\n"


def _json(made: Sequence[Entry], title: str) -> str:
    said: dict[str, Any] = {
        "schema": SCHEMA,
        "title": title,
        "verdict": _verdict(made),
        "summary": _summary(made),
        "runs": [
            {
                "run_id": e.result.run_id,
                "title": e.result.experiment.title,
                "experiment": e.result.experiment.path,
                "lab": e.result.lab.name,
                "verdict": e.result.verdict,
                "started": e.result.started,
                "trials": len(e.result.trials),
                "worst_rto": e.worst.model_dump(mode="json") if e.worst is not None else None,
                "lost": e.lost,
                "objectives": e.objectives,
                "findings": [f.key for f in e.found],
                "report": e.href,
            }
            for e in made
        ],
    }
    return json.dumps(said, indent=1, ensure_ascii=False) + "\n"


def _junit(runs: Sequence[Path]) -> str:
    """The suites of all runs in one document."""
    root = ET.Element("testsuites", {"name": "chaoskit"})
    for run in runs:
        root.extend(ET.fromstring(rendered(run, "junit")).findall("testsuite"))
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in root):.3f}")
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def render_combined(runs: Sequence[Path], out: Path, kind: str, title: str) -> Verdict:
    """Write one report over several runs; the worst verdict. InputError where one was not judged, or for an unknown format."""
    checked_formats((kind,))
    if not runs:
        raise InputError([Problem(message="a report over several runs needs runs")])
    made = entries(runs, out)
    make: dict[str, Callable[[], str | bytes]] = {
        "html": lambda: _html(made, title),
        "md": lambda: _markdown(made, title),
        "summary": lambda: _markdown(made, title),
        "json": lambda: _json(made, title),
        "junit": lambda: _junit(runs),
        "pdf": lambda: pdf_of(_html(made, title), static("report.css")),
    }
    write_whole(out, make[kind]())
    return _verdict(made)
