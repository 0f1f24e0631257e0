"""Renders a run directory as report.html, report.md and junit.xml: a pure function of what lies in it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from chaoskit.reporting.reader import recorded_view
from chaoskit.reporting.view import Section, View
from chaoskit.reporting.writing import write_whole

SECTION_GROUP = "chaoskit.sections"
FILE_NAMES = {"html": "report.html", "md": "report.md", "junit": "junit.xml"}


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
def _static(name: str) -> str:
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
            style=Markup(_static("report.css")),
            script=Markup(_static("report.js")),
            downtime=narrative.downtime_sentence(view),
        )
    )


def _markdown(view: View, parts: Sequence[Section]) -> str:
    bodies = [(section, body.strip()) for section in parts if (body := section.markdown(view)).strip()]
    title = f"# {text.markdown(view.result.experiment.title)}"
    return "\n\n".join([title, *(f"## {text.markdown(section.title)}\n\n{body}" for section, body in bodies)]) + "\n"


def render(run_dir: Path, formats: Sequence[str] = ("html", "md", "junit")) -> tuple[Path, ...]:
    """Write the report in each format into the run directory; the paths written, in the order asked.

    Pure: the same directory gives the same bytes. InputError for an unknown format, or where result.json is missing.
    """
    unknown = [f for f in formats if f not in FILE_NAMES]
    if unknown:
        raise InputError([Problem(message="unknown report format", value=unknown[0], allowed=tuple(FILE_NAMES))])
    view = recorded_view(Path(run_dir), template)
    parts = sections()
    written: list[Path] = []
    for name in formats:
        path = Path(run_dir) / FILE_NAMES[name]
        content = {"html": lambda: _html(view, parts), "md": lambda: _markdown(view, parts), "junit": lambda: junit_xml(view)}[
            name
        ]()
        write_whole(path, content)
        written.append(path)
    return tuple(written)
