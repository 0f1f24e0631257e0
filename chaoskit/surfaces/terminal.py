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
LONG_WORD = 24
"""Longer words may be broken in a table: paths, mostly."""
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

    A terminal that is too narrow for it gets the rows one below the other instead. `styles`: of single cells, by row and column;
    on a terminal only.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if on_terminal() and not _fits([*([columns] if columns else []), *cells], widths_fixed, _console().width):
        for y, row in enumerate(cells):
            _say_stacked(columns, row, widths_fixed, {x: (styles or {}).get((y, x), "") for x in range(len(row))})
    elif on_terminal():
        table = Table(box=None, show_header=bool(columns), pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
        count = len(columns) or (len(cells[0]) if cells else 0)
        for i in range(count):
            table.add_column(columns[i] if columns else "", no_wrap=i < widths_fixed, overflow="fold")
        for y, row in enumerate(cells):
            table.add_row(*[Text(cell, style=STYLES[(styles or {}).get((y, x), "")]) for x, cell in enumerate(row)])
        _console().print(table)
    else:
        lines = ([[*columns]] if columns else []) + cells
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))] if lines else []
        for line in lines:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _fits(lines: Sequence[Sequence[str]], widths_fixed: int, width: int) -> bool:
    """Whether a table can be drawn without tearing words apart; only very long ones may be."""
    if not lines:
        return True
    columns = range(len(lines[0]))
    parts = [[part for line in lines for part in (line[i].split("\n") if i < widths_fixed else line[i].split())] for i in columns]
    least = [max(map(len, found), default=0) if i < widths_fixed else _least(found) for i, found in enumerate(parts)]
    return sum(least) + 2 * len(least) <= width


def _least(words: Sequence[str]) -> int:
    return min(max(map(len, words), default=0), LONG_WORD)


def _say_stacked(columns: Sequence[str], row: Sequence[str], widths_fixed: int, styles: Mapping[int, str]) -> None:
    """A row as lines of its own: what would have stood first, then each other cell with its heading."""
    head = max(1, widths_fixed)
    first = next((x for x in range(head) if styles[x]), 0)
    say("  ".join(cell for cell in row[:head] if cell) or "-", styles[first] or ("head" if columns else ""))
    for x, cell in enumerate(row[head:], start=head):
        if cell:
            indent = " " * (len(row[0]) - len(row[0].lstrip()) + 2)
            say(f"{indent}{f'{columns[x].strip()}: ' if columns else ''}{cell}", styles[x])


def say_json(data: Any) -> None:
    """The machine's form; text that is JSON already goes out as it is."""
    click.echo(data if isinstance(data, str) else json.dumps(data, indent=2, ensure_ascii=False, default=str))
