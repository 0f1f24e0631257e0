"""How many examples a property is tried with: a fifth in `make check`, all in `make test`, which asks for depth."""

from __future__ import annotations

import os

DEEP = os.environ.get("CHAOSKIT_TEST_DEPTH") == "deep"


def examples(deep: int) -> int:
    """The number for `settings(max_examples=...)`, where `deep` is what `make test` tries."""
    return deep if DEEP else max(10, deep // 5)
