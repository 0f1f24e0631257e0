"""The labs keepalived and haproxy for real, on shortened copies of shipped experiments: does their consequence appear?"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.live.shop import Place

ROOT = Path(__file__).parents[2]
ENDS_WITHIN_S = 240.0
"""A run takes half a minute; the first of a lab also installs its packages."""

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(os.geteuid() != 0 or shutil.which("apt-get") is None, reason="needs root and apt-get for its packages"),
]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache of package images for these tests."""
    return tmp_path_factory.mktemp("images")


def shortened(place: Place, images: Path, name: str, hold: str) -> dict[str, Any]:
    """The one trial of a shipped experiment with a short baseline and a shorter fault."""
    place.state.mkdir(exist_ok=True)
    (place.state / "images").symlink_to(images)
    written = YAML(typ="safe").load((ROOT / "experiments" / name).read_text(encoding="utf-8"))
    lab = written["lab"] if isinstance(written["lab"], dict) else {"path": written["lab"]}
    written["lab"] = {**lab, "path": str((ROOT / "experiments" / name).parent / lab["path"])}
    written["baseline"] = "3s"
    written["method"][0] |= {"for": hold, "phase": "0s"}
    written["recovery"] = "12s"
    file = place.root / "experiment.yaml"
    file.write_text(json.dumps(written), encoding="utf-8")
    ended = place.start("run", file).end(ENDS_WITHIN_S)
    assert "Traceback" not in ended.err, ended
    assert ended.code in (0, 1), ended
    (trial,) = place.result()["trials"]
    assert [fault["verified"] for fault in trial["faults"]] == [True], "no consequence counts without the fault"
    return dict(trial)


def met(trial: dict[str, Any]) -> dict[str, bool | None]:
    """By name: an experiment that makes the same promise for several clients is not for this."""
    names = [o["name"] for o in trial["objectives"]]
    assert len(names) == len(set(names)), names
    return {o["name"]: o["met"] for o in trial["objectives"]}


def test_two_keepalived_that_do_not_hear_each_other_both_own_the_address(place: Place, images: Path) -> None:
    trial = shortened(place, images, "keepalived/parted.yaml", "9s")
    dual = trial["flapping"]["dual_owner_time"]
    # the backup waits 2.6 to 3.6 s of the 9 for an advert, and a second may go by until both are sampled
    assert dual["low"] > 3.5, dual
    assert dual["high"] < 8.5, dual
    assert met(trial)["split_brain"] is False
    during = [o for o in trial["clients"]["visitors"]["outages"] if o["first_failure_s"] < trial["faults"][0]["healed_s"]]
    assert during == [], "users notice nothing while it lasts, and that is the danger"
    owners = {r["node"] for r in trial["roles"] if r["role"] == "owner" and r["state"] == "yes"}
    assert owners == {"web1", "web2"}


def test_the_address_of_a_dead_server_moves_in_the_time_that_its_adverts_predict(place: Place, images: Path) -> None:
    trial = shortened(place, images, "keepalived/owner-power-off.yaml", "7s")
    promised = ("rto", "flaps", "split_brain", "dual_owner", "no_owner", "vip_moves")
    assert met(trial) == dict.fromkeys(promised, True)
    low, high = place.result()["predicted_rto_s"]
    rto = trial["clients"]["visitors"]["rto"]
    assert low - 0.2 < rto["point"] < high + 1.0, rto
    changes = [r["node"] for r in trial["roles"] if r["role"] == "owner" and r["state"] == "yes" and r["until_s"] > 0]
    assert changes == ["web1", "web1", "web2"], "it is taken back after the heal, which was watched"


def test_a_check_that_only_connects_keeps_a_frozen_server_in(place: Place, images: Path) -> None:
    trial = shortened(place, images, "haproxy/server-paused-tcp-check.yaml", "6s")
    shares = {name: client["availability"]["point"] for name, client in trial["clients"].items()}
    assert shares["visitors"] < 0.95, shares
    assert shares["visitors"] > 0.5, "two of three servers answer"
    promised = {o["subject"]: o["met"] for o in trial["objectives"] if o["name"] == "availability"}
    # of shoppers only those whose server froze notice; how many of twelve that is, is the balancer's choice
    assert promised["visitors"] is False, promised
