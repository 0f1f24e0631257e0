"""Tables, lists and headings of the generated pages, in Markdown as GitHub reads it."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ruamel.yaml import YAML


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items) + "\n"


def yaml_text(data: Any) -> str:
    stream, writer = io.StringIO(), YAML()
    writer.default_flow_style = None
    writer.dump(data, stream)
    return stream.getvalue().rstrip()


def default_cell(words: str) -> str:
    return words if words in ("required", "none") else f"`{words}`"


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def paragraphs(docstring: str) -> str:
    return "\n\n".join(" ".join(p.split()) for p in inspect.cleandoc(docstring).split("\n\n")) + "\n"


def summary(described: Any) -> str:
    text = inspect.getdoc(described) or ""
    return " ".join(text.split("\n\n")[0].split())


def anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
