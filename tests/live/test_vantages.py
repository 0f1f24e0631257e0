"""Two vantages in a real lab, one of them cut off from everybody: any-down has it, all-down has not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.live.shop import Place

pytestmark = pytest.mark.lab

SIDES = Path(__file__).parent / "labs" / "sides"
CUT_S = 1.5


def test_one_vantage_is_cut_off(place: Place) -> None:
    file = place.write(
        title="One side is cut off",
        lab=str(SIDES),
        clients={
            "visitors": {
                "type": "http", "operation": "get", "rate": "40/s", "deadline": "200ms", "slo": "100ms", "endpoint": "pages",
                "from": ["side1", "side2"],
            }
        },
        method=[{"inject": "network.isolate", "target": {"node": "side2"}, "at": "300ms", "for": f"{CUT_S}s"}],
        objectives={"rto": {"visitors": {"within": "500ms", "vantages": "all"}}, "flaps": 0},
        recovery="10s",
        **{"steady-state-hypothesis": None},
    )  # fmt: skip
    ended = place.chaoskit("run", file)
    assert ended.code == 0, ended
    (trial,) = place.result()["trials"]
    visitors = trial["clients"]["visitors"]
    seen = visitors["vantages"]
    assert visitors["user_rto"]["valid"], visitors["user_rto"]["reasons"]
    assert seen["any_down"]["user_rto"]["low"] <= CUT_S + 0.5
    assert seen["any_down"]["user_rto"]["high"] >= CUT_S - 0.3
    assert len(seen["any_down"]["outages"]) == 1
    assert seen["all_down"]["outages"] == []
    assert seen["all_down"]["rto"]["point"] is None
    assert seen["all_down"]["rto"]["high"] < 0.5
    assert {name: len(f["outages"]) for name, f in seen["each"].items()} == {"side1": 0, "side2": 1}
    assert seen["lost_time"]["low"] <= CUT_S / 2 + 0.2
    assert seen["lost_time"]["high"] >= CUT_S / 2 - 0.2
