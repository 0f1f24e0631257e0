"""A container of PostgreSQL loses power: with fsync=off acknowledged writes are lost, and named; with fsync=on none."""

from __future__ import annotations

import importlib.util
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.model.capability import VOLUME_LOSE_UNSYNCED
from chaoskit.model.lab import LabSpec, NodeGroup
from tests.live.shop import Place

DURABLE = Path(__file__).parent / "labs" / "durable"

pytestmark = [
    pytest.mark.docker,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(importlib.util.find_spec("psycopg") is None, reason="missing: psycopg; pip install 'chaoskit[postgres]'"),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]
SYNCED = {
    "command": ["sh", "-c", "sync -f /pg && touch /tmp/synced"],
    "verify": ["test", "-e", "/tmp/synced"],
    "undo": ["rm", "-f", "/tmp/synced"],
}
WRITES = {"type": "postgres", "class": "fresh", "rate": "20/s", "deadline": "450ms", "endpoint": "write", "operation": "append"}


def acknowledged(place: Place) -> set[str]:
    with sqlite3.connect(f"file:{place.run_directory() / 'samples.sqlite'}?mode=ro", uri=True) as database:
        asked = "SELECT token FROM samples WHERE client = 'orders' AND certainty = 'ok'"
        return {token for (token,) in database.execute(asked)}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setenv("CHAOSKIT_STATE", str(made.state))
    survey = DockerBackend().survey(LabSpec(name="scratch", nodes={"n": NodeGroup()}))
    if not survey.has(VOLUME_LOSE_UNSYNCED):
        pytest.skip(survey.reason(VOLUME_LOSE_UNSYNCED))
    return made


@pytest.mark.parametrize("fsync", ["off", "on"])
def test_what_power_loss_takes_from_a_container(place: Place, fsync: str) -> None:
    method: list[dict[str, Any]] = [
        # the ledger itself, and what was written so far, shall be there afterwards; what follows is on nobody's disk yet
        {"inject": "run", "target": {"node": "db"}, "at": "0s", "for": "200ms", "with": SYNCED},
        {"inject": "node.power_off", "target": {"node": "db"}, "at": "2s", "for": "2s"},
    ]
    file = place.write(
        title="Power is cut from a container of PostgreSQL",
        lab={"path": str(DURABLE), "settings": {"fsync": fsync}},
        clients={"orders": WRITES},
        **{"steady-state-hypothesis": {"clients": {"orders": {"success": ">= 90%", "for": "1s"}}}},
        method=method,
        objectives={"rpo": {"writes": 0, "duplicates": 0, "phantoms": 0}},
    )
    ended = place.start("run", file, "--backend", "docker").end(within_s=300)  # the first one builds the image
    assert ended.code == (1 if fsync == "off" else 0), ended
    (trial,) = place.result()["trials"]
    ledger = trial["rpo"]
    assert ledger["defects"] == [], ledger
    lost = {write["token"] for write in ledger["lost_writes"]}
    assert ledger["lost"]["point"] == len(lost)
    assert lost <= acknowledged(place)
    assert len(acknowledged(place)) > 60
    assert (len(lost) > 10) == (fsync == "off"), len(lost)
    assert (len(lost) == 0) == (fsync == "on"), len(lost)
    assert (ledger["phantom"], ledger["duplicated"]) == (0, 0)
    assert place.traces() == []
