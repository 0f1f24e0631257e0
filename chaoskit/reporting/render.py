"""Renders a run directory as HTML, Markdown, JUnit, PDF and JSON: a pure function of what lies in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from chaoskit.model.errors import InputError, Problem
from chaoskit.reporting import narrative, text
from chaoskit.reporting.charts import lanes
from chaoskit.reporting.junit import junit_xml
from chaoskit.reporting.machine import report_json
from chaoskit.reporting.pdf import pdf_of
from chaoskit.reporting.reader import recorded_view
from chaoskit.reporting.view import Section, View
from chaoskit.reporting.writing import write_whole

SECTION_GROUP = "chaoskit.sections"
FILE_NAMES = {
    "html": "report.html",
    "md": "report.md",
    "summary": "summary.md",
    "junit": "junit.xml",
    "pdf": "report.pdf",
    "json": "report.json",
}
EVERY_RUN = ("html", "md", "junit")
"""What each run writes."""
SUMMARY_SECTIONS = ("verdict", "trials", "waterfall", "findings", "game-day")
"""What a pull request or a job's summary has room for."""


def _printable(value: Any) -> Any:
    """Every text that a template prints loses what could hide or reorder other text; markup of ours stays as it is."""
    return text.clean(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("chaoskit.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=False,
        finalize=_printable,
    )
    for name in ("seconds", "instant", "percent", "count", "number", "span", "wall_clock", "one_line"):
        environment.filters[name] = getattr(text, name)
    environment.globals.update(
        words=narrative.words,
        mark=lanes.mark,
        px={
            "strip": lanes.STRIP_PX,
            "latency": lanes.LATENCY_PX,
            "errors": lanes.ERROR_PX,
            "ledger": lanes.LEDGER_PX,
        },
    )
    return environment


def template(name: str, /, **values: Any) -> Markup:
    """One of the report's own templates, rendered with autoescape on."""
    return Markup(_environment().get_template(name).render(**values))


@cache
def static(name: str) -> str:
    return files("chaoskit.reporting").joinpath("static", name).read_text(encoding="utf-8")


def sections() -> tuple[Section, ...]:
    """Every registered section, in order. A section that cannot be imported is an error: the package is broken."""
    found: Iterable[Section] = (point.load()() for point in entry_points(group=SECTION_GROUP))
    return tuple(sorted(found, key=lambda section: (section.order, section.name)))


def _html(view: View, parts: Sequence[Section]) -> str:
    shown = [(section, body) for section in parts if (body := section.html(view))]
    return str(
        template(
            "report.html.j2",
            view=view,
            sections=shown,
            style=Markup(static("report.css")),
            script=Markup(static("report.js")),
            downtime=narrative.downtime_sentence(view),
        )
    )


def _markdown(view: View, parts: Sequence[Section]) -> str:
    bodies = [(section, body.strip()) for section in parts if (body := section.markdown(view)).strip()]
    title = f"# {text.markdown(view.result.experiment.title)}"
    return "\n\n".join([title, *(f"## {text.markdown(section.title)}\n\n{body}" for section, body in bodies)]) + "\n"


def checked_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """Each once. InputError for one that there is not."""
    unknown = [f for f in formats if f not in FILE_NAMES]
    if unknown:
        raise InputError([Problem(message="unknown report format", value=unknown[0], allowed=tuple(FILE_NAMES))])
    return tuple(dict.fromkeys(formats))


def _contents(run_dir: Path, formats: Sequence[str]) -> dict[str, bytes]:
    """Format -> the report in it. Everything is made before anything is written."""
    view = recorded_view(run_dir, template)
    parts = sections()
    make: dict[str, Callable[[], str | bytes]] = {
        "html": lambda: _html(view, parts),
        "md": lambda: _markdown(view, parts),
        "summary": lambda: _markdown(view, [s for s in parts if s.name in SUMMARY_SECTIONS]),
        "junit": lambda: junit_xml(view),
        "pdf": lambda: pdf_of(_html(view, parts), static("report.css")),
        "json": lambda: report_json(view),
    }
    made = {name: make[name]() for name in formats}
    return {name: content.encode() if isinstance(content, str) else content for name, content in made.items()}


def rendered(run_dir: Path, kind: str) -> bytes:
    """The report of a run in one format, written nowhere."""
    return _contents(Path(run_dir), checked_formats((kind,)))[kind]


def render(run_dir: Path, formats: Sequence[str] = EVERY_RUN) -> tuple[Path, ...]:
    """Write the report in each format into the run directory; the paths written, in the order asked.

    Pure: the same directory gives the same bytes. InputError for an unknown format, or where result.json is missing;
    CapabilityMissing where a PDF is asked for and what makes it is not here.
    """
    written: list[Path] = []
    for name, content in _contents(Path(run_dir), checked_formats(formats)).items():
        path = Path(run_dir) / FILE_NAMES[name]
        write_whole(path, content)
        written.append(path)
    return tuple(written)
