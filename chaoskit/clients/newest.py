"""The newest token of another client's ledger, as the operation `newest` reads it: what tells a stale read.

What is recorded as the value is the token's number (its writer's counter), or NOTHING where the ledger is empty.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chaoskit.ports.client import ClientConfig

NOTHING = "-1"
ABOUT = "the newest write of another client's ledger (`ledger:`), which tells whether the answer is stale"
LATEST = 256
"""Writes that overtake each other lie side by side at a ledger's end: more than a writer has in flight."""


def ledger_prefix(config: ClientConfig, ledger: str) -> str:
    """What every token of that client's ledger begins with in this run and trial."""
    return f"{config.run_id}.{ledger}.{config.trial}."


def newest_number(tokens: Iterable[str], prefix: str) -> str:
    """The highest number among the tokens with that prefix."""
    numbers = [int(rest) for t in tokens if t.startswith(prefix) and (rest := t[len(prefix) :]).isdecimal()]
    return str(max(numbers)) if numbers else NOTHING


def number_said(said: Any, prefix: str) -> str:
    """The number in what a function or a command answered: a number, a token, or several tokens."""
    if said is None or said == "":
        return NOTHING
    if isinstance(said, int):
        return str(said)
    if isinstance(said, str):
        return said if said.isdecimal() else newest_number(said.split(), prefix)
    return newest_number(map(str, said), prefix)
