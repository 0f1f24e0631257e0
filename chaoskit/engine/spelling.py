"""The nearest right spelling of a wrong word."""

from __future__ import annotations

import difflib
from typing import Any


def nearest(word: str, allowed: Any) -> str:
    """The allowed word most like `word`; empty where none comes near."""
    names = [str(a) for a in allowed]
    found = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not found:
        lowered = {name.lower().replace("_", "-"): name for name in names}
        found = [lowered[m] for m in difflib.get_close_matches(word.lower().replace("_", "-"), list(lowered), n=1, cutoff=0.6)]
    return found[0] if found else ""
