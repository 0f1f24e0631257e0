"""A run as it is shown: every kind of event has words that survive whatever the event says."""

from __future__ import annotations

import io
from typing import Any

import pytest

from chaoskit.model.history import EVENT_KINDS, Event
from chaoskit.surfaces.showing import LiveProgress, PlainProgress, event_words

DATA: dict[str, dict[str, Any]] = {
    "lab.ready": {"took_s": 1.0, "roles": {"primary": ["db1"], "replica": []}},
    "recovery.timeout": {"clients": ["orders"], "roles": "role primary: 1 wanted, 0 (nobody)"},
    "role.changed": {"node": "db1", "role": "primary", "state": "yes"},
}


def event(kind: str, **data: Any) -> Event:
    return Event(t_ns=1, wall="2026-01-31T12:00:00.000Z", trial=0, kind=kind, source="engine", data=data)


@pytest.mark.parametrize("kind", sorted(EVENT_KINDS))
def test_every_event_can_be_shown(kind: str) -> None:
    event_words(event(kind))
    event_words(event(kind, **DATA.get(kind, {})))


def test_what_was_missing_is_named() -> None:
    assert event_words(event("recovery.timeout", **DATA["recovery.timeout"])) == (
        "not back in time: orders role primary: 1 wanted, 0 (nobody)"
    )
    assert event_words(event("lab.ready", **DATA["lab.ready"])) == "the lab is ready: primary db1, replica (nobody)"


class Closed(io.StringIO):
    """A terminal that went away."""

    def write(self, text: str, /) -> int:
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("kind", [PlainProgress, LiveProgress])
def test_a_terminal_that_went_away_does_not_stop_a_run(kind: type[PlainProgress], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", Closed())
    with kind() as progress:
        progress.message("nobody hears this")
        progress.event(event("lab.down"))
