"""The code blocks of a page that are marked as examples."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
_EXAMPLE = re.compile(r"<!-- example: (?P<name>\w+)(?: file=(?P<file>\S+))? -->\n```\w+\n(?P<text>.*?)```\n", re.DOTALL)


def examples(page: str, name: str) -> dict[str, str]:
    """File name (empty where the block names none) -> text, of the blocks of that name. AssertionError where there is none."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = {m["file"] or "": m["text"] for m in _EXAMPLE.finditer(text) if m["name"] == name}
    assert found, f"{page} has no example {name!r}"
    return found


def defined(page: str, name: str, folder: Path) -> dict[str, Any]:
    """What the Python of an example defines. It is run from a real file, since docstrings of fields are read from the source."""
    import importlib.util
    import sys

    file = folder / f"example_{name}.py"
    file.write_text(examples(page, name)[""], encoding="utf-8")
    spec = importlib.util.spec_from_file_location(f"example_{name}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return vars(module)
