"""Compound methods in a real lab: the new leader is cut off when it is promoted, and a run that is told to abort heals first."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.live.shop import POWER_OFF, Place

pytestmark = pytest.mark.lab

FIRST = POWER_OFF | {"name": "first", "for": "20s", "until": {"client": "visitors", "is": "back"}}
SECOND = {
    "inject": "network.isolate", "name": "second", "target": {"role": "leader", "not_of": "first"}, "during": "first",
    "when": {"role": "leader", "gained_by": "anyone_else"}, "within": "15s", "for": "2s",
}  # fmt: skip
THIRD = {
    "inject": "process.kill", "name": "third", "target": {"group": "kv", "not_of": "first"}, "after": "second",
    "stagger": "500ms", "with": {"process": {"service": "relay"}}, "for": "1s",
}  # fmt: skip


def events(place: Place) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (place.run_directory() / "events.jsonl").read_text().splitlines()]


def test_the_new_leader_is_cut_off_when_it_is_promoted(place: Place) -> None:
    radius = {"max-targets": 3, "protected": {"nodes": ["app"]}}
    file = place.write(method=[FIRST, SECOND, THIRD], objectives={"rto": {"visitors": "<= 25s"}}, **{"blast-radius": radius})
    ended = place.chaoskit("run", file)
    assert ended.code in (0, 3), ended  # 3: a busy machine spoils figures, and nothing that is asked here
    (gate,) = [g for g in place.result()["trials"][0]["gates"] if g["name"] == "the fault's effect"]
    assert gate["met"], gate
    faults = {f["action"]: f for f in place.result()["trials"][0]["faults"]}
    assert list(faults) == ["first", "second", "third", "third-2"]
    assert all(f["verified"] and f["gone"] for f in faults.values()), faults
    (old,), (new,) = faults["first"]["target"], faults["second"]["target"]
    assert new != old
    assert f"{new} gained the role leader (held before by {old})" in faults["second"]["trigger"]
    assert "visitors has succeeded" in faults["first"]["healed_because"]
    led = [e["data"] for e in events(place) if e["kind"] == "role.changed" and e["data"]["role"] == "leader"]
    promoted = next(data for data in led if data["state"] == "yes" and data["node"] == new)
    injected = next(e for e in events(place) if e["kind"] == "fault.injected" and e["data"]["action"] == "second")
    after_s = (injected["data"]["began_ns"] - promoted["between_ns"][1]) / 1e9
    assert 0 <= after_s < 1.0, "cut off as soon as the watcher saw it lead"
    assert {*faults["third"]["target"], *faults["third-2"]["target"]} == {"kv1", "kv2", "kv3"} - {old}
    assert faults["third-2"]["injected_s"] - faults["third"]["injected_s"] >= 0.5
    assert place.result()["undo"] == {"owed": 4, "paid": 4, "dirty": []}
    assert place.traces() == []


def test_a_run_that_is_told_to_abort_heals_and_ends_with_a_verdict(place: Place) -> None:
    run = place.start("run", place.write(method=[POWER_OFF | {"for": "60s"}]))
    run.says("node.power_off on kv1: its effect was seen")
    run.signal(signal.SIGUSR1)
    ended = run.end()
    assert ended.code in (1, 3), ended
    result = place.result()
    assert result["verdict"] == {1: "failed", 3: "unknown"}[ended.code]
    assert "asked to abort by SIGUSR1" in result["incomplete"]
    assert [f["gone"] for f in result["trials"][0]["faults"]] == [True]
    assert result["undo"] == {"owed": 1, "paid": 1, "dirty": []}
