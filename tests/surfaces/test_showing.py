"""A run as it is shown: every kind of event has words that survive whatever the event says."""

from __future__ import annotations

import io
from typing import Any

import pytest

from chaoskit.model.history import EVENT_KINDS, Event
from chaoskit.surfaces.showing import LiveProgress, PlainProgress, event_words

SHOWN: dict[str, tuple[dict[str, Any], str]] = {
    "trial.started": ({"index": 1, "seed": 7}, "trial 2 begins (seed 7)"),
    "lab.creating": ({"lab_id": "shop-1"}, "building the lab shop-1"),
    "lab.joined": ({"lab_id": "shop-1"}, "using the lab shop-1, which is up already"),
    "lab.up": ({"took_s": 1.25}, "every service runs after 1.2 s"),
    "lab.ready": (
        {"took_s": 1.0, "roles": {"primary": ["db1"], "replica": []}},
        "the lab is ready: primary db1, replica (nobody)",
    ),
    "lab.reset": ({"took_s": 0.47}, "the lab is as it was before the first trial, after 0.5 s"),
    "baseline.started": ({}, "steady; the clean baseline begins"),
    "baseline.ended": ({}, "the baseline is over; the method begins"),
    "action.waiting": ({"action": "second", "what": "orders is down"}, "second waits until orders is down"),
    "action.triggered": ({"action": "second", "details": "orders: down"}, "second is triggered: orders: down"),
    "action.skipped": ({"action": "second", "reason": "too late"}, "second is NOT injected: too late"),
    "fault.injecting": ({"fault": "node.hang", "nodes": ["db1", "db2"]}, "injecting node.hang on db1, db2"),
    "fault.effect": ({"fault": "node.hang", "nodes": ["db1"], "verified": True}, "node.hang on db1: its effect was seen"),
    "fault.healing": ({"fault": "node.hang", "nodes": ["db1"]}, "healing node.hang on db1"),
    "fault.gone": ({"fault": "node.hang", "nodes": ["db1"], "verified": True}, "node.hang on db1 is gone"),
    "fault.heal_failed": ({"fault": "node.hang", "nodes": ["db1"], "error": "EIO"}, "HEALING FAILED: node.hang on db1: EIO"),
    "role.changed": ({"node": "db1", "role": "primary", "state": "yes"}, "db1 now holds the role primary"),
    "service.exited": ({"service": "web", "node": "n1", "code": 9}, "web on n1 ended with code 9"),
    "container.died": (
        {"node": "db1", "exit_code": 137, "by": "chaoskit"},
        "the container of db1 ended with exit code 137, by chaoskit",
    ),
    "container.oom": ({"node": "db1"}, "a process of db1 was killed for want of memory"),
    "container.started": (
        {"node": "db1", "by": "somebody", "then": "frozen again"},
        "the container of db1 was started by somebody: frozen again",
    ),
    "container.health": ({"node": "db1", "status": "unhealthy"}, "the container of db1 is unhealthy"),
    "engine.lost": ({"engine": "unix:///e", "why": "it ended"}, "the engine unix:///e does not answer: it ended"),
    "engine.back": ({"engine": "unix:///e"}, "the engine unix:///e answers again"),
    "clients.recovered": ({}, "every client is back"),
    "recovery.timeout": (
        {"clients": ["orders"], "roles": "role primary: 1 wanted, 0 (nobody)"},
        "not back in time: orders role primary: 1 wanted, 0 (nobody)",
    ),
    "ledgers.read": ({}, "the ledgers are read back"),
    "abort": ({"reason": "orders is down"}, "ABORTED: orders is down"),
    "problem": ({"message": "a stall"}, "problem: a stall"),
    "note": ({"text": "look here"}, "note: look here"),
    "run.decided": (
        {"reason": "rto is met", "carried_out": 3, "planned": 6},
        "decided after 3 of 6 trials: rto is met",
    ),
    "lab.down": ({"took_s": 1.0}, "the lab is gone"),
}
"""Kind -> its data, and what is read of it."""
SILENT = {
    "run.started", "client.started", "fault.preparing", "fault.injected", "fault.healed", "service.started",
    "observation.ended", "trial.ended", "run.ended", "address.announced", "address.owners", "log.mark",
    "watcher.observed",
}  # fmt: skip
"""Kinds that nobody needs to see while a run goes on."""


def event(kind: str, **data: Any) -> Event:
    return Event(t_ns=1, wall="2026-01-31T12:00:00.000Z", trial=0, kind=kind, source="engine", data=data)


def test_every_kind_is_shown_or_meant_to_be_silent() -> None:
    assert {*SHOWN, *SILENT} == set(EVENT_KINDS)
    assert not SILENT & set(SHOWN)


@pytest.mark.parametrize("kind", sorted(SHOWN))
def test_an_event_is_told_with_what_it_says(kind: str) -> None:
    data, words = SHOWN[kind]
    assert event_words(event(kind, **data)) == words


@pytest.mark.parametrize("kind", sorted(EVENT_KINDS))
def test_an_event_without_data_is_told_as_well(kind: str) -> None:
    told = event_words(event(kind))
    assert bool(told) == (kind in SHOWN and kind != "role.changed"), "only a role that is gained is told"


@pytest.mark.parametrize(
    ("kind", "words"), [("fault.effect", "NO effect was seen"), ("fault.gone", "is STILL THERE")], ids=["effect", "gone"]
)
def test_what_was_not_seen_is_told_loudly(kind: str, words: str) -> None:
    assert words in str(event_words(event(kind, fault="node.hang", nodes=["db1"], verified=False)))


class Closed(io.StringIO):
    """A terminal that went away."""

    tried = 0

    def write(self, text: str, /) -> int:
        self.tried += 1
        raise OSError(5, "Input/output error")

    def flush(self) -> None:
        raise OSError(5, "Input/output error")


@pytest.mark.parametrize("kind", [PlainProgress, LiveProgress])
def test_a_terminal_that_went_away_does_not_stop_a_run(kind: type[PlainProgress], monkeypatch: pytest.MonkeyPatch) -> None:
    closed = Closed()
    monkeypatch.setattr("sys.stderr", closed)
    with kind() as progress:
        progress.message("nobody hears this")
        progress.event(event("lab.down"))
    assert closed.tried > 0, "it was this terminal that was written to"
