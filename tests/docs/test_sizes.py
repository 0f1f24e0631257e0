"""The limits that CONTRIBUTING.md names, so that a file is split while that is still easy."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from chaoskit import __file__ as package

ROOT = Path(package).parent
LINES_A_FILE = 400
LINES_A_FUNCTION = 60
"""Of its body: neither signature nor docstring counts."""
SAYING_NOTHING = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"})


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Name -> lines of the body."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            yield node.name, body[-1].end_lineno - body[0].lineno + 1 if body else 0  # type: ignore[operator]


def test_files_are_short() -> None:
    long = {str(p.relative_to(ROOT)): n for p in ROOT.rglob("*.py") if (n := len(p.read_text().splitlines())) > LINES_A_FILE}
    assert not long, f"over {LINES_A_FILE} lines; move what belongs together into a module of its own, as model/check.py: {long}"


def test_functions_are_short() -> None:
    long = {
        f"{path.relative_to(ROOT)}: {name}": lines
        for path in ROOT.rglob("*.py")
        for name, lines in functions(ast.parse(path.read_text()))
        if lines > LINES_A_FUNCTION
    }
    assert not long, f"over {LINES_A_FUNCTION} lines; give a part of it its own name: {long}"


def test_a_long_function_is_seen() -> None:
    text = 'def short():\n    """Says."""\n    return 1\n\n\ndef long():\n' + "    pass\n" * 61
    assert dict(functions(ast.parse(text))) == {"short": 1, "long": 61}


def test_names_of_modules_say_what_is_in_them() -> None:
    poor = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*") if p.stem in SAYING_NOTHING]
    assert not poor, f"name it after what it does, as ports/candidates.py: {poor}"
