"""Printing: styled on a terminal, plain lines in a pipe, nothing but JSON on stdout with `--json`."""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
STYLES = {"good": "green", "bad": "red", "warn": "yellow", "head": "bold", "dim": "dim", "": ""}


def printable(text: str) -> str:
    """`text` without characters that would steer a terminal; they are shown as escapes."""
    return _CONTROL.sub(lambda m: repr(m.group(0))[1:-1], text)


def on_terminal() -> bool:
    """Whether stdout is one that can be styled (NO_COLOR takes colours away, TERM=dumb everything)."""
    return sys.stdout.isatty()


def _console() -> Console:
    return Console(highlight=False)


def say(text: str = "", style: str = "") -> None:
    """One line or paragraph. On a terminal it is wrapped to its width and styled; in a pipe it stays as it is."""
    text = printable(text)
    if not on_terminal():
        click.echo(text)
        return
    console = _console()
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip(" "))
        hanging = " " * min(indent + 2, console.width // 2)
        for part in textwrap.wrap(line, console.width, subsequent_indent=hanging, break_on_hyphens=False) or [""]:
            console.print(Text(part, style=STYLES[style]), overflow="fold")


def say_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    widths_fixed: int = 1,
    styles: Mapping[tuple[int, int], str] | None = None,
) -> None:
    """A table: drawn on a terminal (its last columns wrap), aligned columns in a pipe. Empty `columns`: no heading.

    `styles`: of single cells, by row and column; on a terminal only.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if on_terminal():
        table = Table(box=None, show_header=bool(columns), pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        count = len(columns) or (len(cells[0]) if cells else 0)
        for i in range(count):
            table.add_column(columns[i] if columns else "", no_wrap=i < widths_fixed, overflow="fold")
        for y, row in enumerate(cells):
            table.add_row(*[Text(cell, style=STYLES[(styles or {}).get((y, x), "")]) for x, cell in enumerate(row)])
        _console().print(table)
        return
    lines = ([[*columns]] if columns else []) + cells
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
    for line in lines:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def say_json(data: Any) -> None:
    """The machine's form; text that is JSON already goes out as it is."""
    click.echo(data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False, default=str))
