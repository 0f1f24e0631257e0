"""Names that are not there, and the nearest right spelling of a wrong word."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from chaoskit.engine.document import Document, Keys
from chaoskit.model.errors import Problem


def nearest(word: str, allowed: Any) -> str:
    """The allowed word most like `word`; empty where none comes near."""
    names = [str(a) for a in allowed]
    found = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if not found:
        lowered = {name.lower().replace("_", "-"): name for name in names}
        found = [lowered[m] for m in difflib.get_close_matches(word.lower().replace("_", "-"), list(lowered), n=1, cutoff=0.6)]
    return found[0] if found else ""


def unknown(document: Document, keys: Keys, what: str, name: str, allowed: Iterable[str], *, of_key: bool = False) -> Problem:
    """A name that is not there, with those that are."""
    names = tuple(dict.fromkeys(allowed))
    message = f"there is no {what} {name!r}" if names else f"there is no {what} {name!r}, nor any other {what}"
    return document.problem(keys, message, value=name, allowed=names, nearest=nearest(name, names), of_key=of_key)
