"""A lab by itself: up, status, exec, down; kept after a run; taken names."""

from __future__ import annotations

import json
import signal

import pytest

from tests.live.shop import RELAY, Place
from tests.prior_state import changes

pytestmark = pytest.mark.lab

PARTITION = {"inject": "network.partition", "target": {"node": "kv2"}, "at": "200ms", "for": "3s"}
HANG = {"inject": "node.hang", "target": {"node": "kv3"}, "at": "300ms", "for": "60s"}


def test_up_status_exec_down(place: Place) -> None:
    up = place.chaoskit("lab", "up", RELAY, "--name", "mine", "--json")
    assert up.code == 0, up
    made = json.loads(up.out)
    assert made["lab_id"] == "mine"
    assert [len(made["roles"][role]) for role in ("leader", "standby")] == [1, 2]
    try:
        listed = place.chaoskit("lab", "status", "--json")
        assert [(lab["lab_id"], lab["owner_alive"]) for lab in json.loads(listed.out)["labs"]] == [("mine", True)]
        status = place.chaoskit("lab", "status", "mine", "--json")
        nodes = {node["node"]: (node["state"], node["services"]) for node in json.loads(status.out)["nodes"]}
        assert nodes == {**{f"kv{i}": ("up", {"relay": "running"}) for i in (1, 2, 3)}, "app": ("up", {})}
        said = place.chaoskit("lab", "exec", "mine", "kv2", "--", "sh", "-c", "hostname; exit 7")
        assert (said.code, said.out) == (7, "kv2\n")
        wrong = place.chaoskit("lab", "exec", "mine", "kv9", "hostname")
        assert wrong.code == 2
        assert "kv1, kv2, kv3, app" in wrong.err

        taken = place.chaoskit("lab", "up", RELAY, "--name", "mine")
        assert taken.code == 3
        assert "there is a lab mine already" in taken.err
        assert "chaoskit lab down mine" in taken.err
        assert place.chaoskit("lab", "exec", "mine", "kv1", "true").code == 0  # it was not touched

        beside = place.chaoskit("recover")
        assert (beside.code, "removed" in beside.out) == (0, False), beside
    finally:
        down = place.chaoskit("lab", "down", "mine")
    assert (down.code, down.out) == (0, "mine is gone\n")
    assert place.traces() == []
    again = place.chaoskit("lab", "down", "mine")
    assert again.code == 2
    assert "there is no such lab" in again.err


@pytest.mark.parametrize("name", ["../../elsewhere", "a/b", "", ".hidden", "x" * 60])
def test_a_name_that_is_no_name_is_refused(place: Place, name: str) -> None:
    ended = place.chaoskit("lab", "up", RELAY, f"--name={name}")
    if name == "":
        ended_well = ended.code == 0 and place.chaoskit("lab", "down", "--all").code == 0
        assert ended_well, ended
        return
    assert ended.code == 2, ended
    assert "a lab's name is" in ended.err


def test_a_kept_lab_stays_and_works(place: Place) -> None:
    ended = place.chaoskit("run", place.write(baseline="1s"), "--keep-lab")
    assert ended.code == 0, ended
    (lab_id,) = [path.name for path in (place.state / "labs").iterdir()]
    assert f"chaoskit lab down {lab_id}" in ended.out
    try:
        recovered = place.chaoskit("recover")
        assert recovered.out.startswith("nothing to recover"), recovered
        status = json.loads(place.chaoskit("lab", "status", lab_id, "--json").out)
        assert {node["state"] for node in status["nodes"]} == {"up"}
    finally:
        assert place.chaoskit("lab", "down", lab_id).code == 0
    assert place.traces() == []


def test_a_run_on_a_lab_that_is_up_leaves_it_as_it_was(place: Place) -> None:
    assert place.chaoskit("lab", "up", RELAY, "--name", "mine").code == 0
    try:
        before = place.state_of("mine")
        assert "relay" in before["kv1"]
        assert changes(before, place.state_of("mine")) == []
        ended = place.chaoskit("run", place.write(baseline="1s"), "--on", "mine")
        assert ended.code == 0, ended
        assert "chaoskit lab down mine" in ended.out
        assert changes(before, place.state_of("mine")) == []
        again = place.chaoskit("run", place.write(baseline="1s", method=[PARTITION]), "--on", "mine")
        assert again.code in (0, 1), again  # what the first run's leader did is none of the second one's evidence
        assert changes(before, place.state_of("mine")) == []
        unknown = place.chaoskit("run", place.write(), "--on", "yours")
        assert (unknown.code, "mine" in unknown.err) == (2, True), unknown
    finally:
        assert place.chaoskit("lab", "down", "mine").code == 0
    assert place.traces() == []


def test_several_trials_share_a_lab_that_is_as_before_each_time(place: Place) -> None:
    assert place.chaoskit("lab", "up", RELAY, "--name", "mine").code == 0
    try:
        before = place.state_of("mine")
        shared = place.chaoskit("run", place.write(baseline="1s"), "--on", "mine", "--repeat", "2")
        assert shared.code in (0, 3), shared  # a busy machine may taint a trial: that is not what this is about
        assert "the lab is as it was before the first trial" in shared.err
        assert [t["problems"] for t in place.result()["trials"]] == [[], []]
        assert changes(before, place.state_of("mine")) == []
    finally:
        assert place.chaoskit("lab", "down", "mine").code == 0
    assert place.traces() == []


def test_a_killed_run_on_a_lab_that_stays_is_healed_from_its_journal(place: Place) -> None:
    assert place.chaoskit("lab", "up", RELAY, "--name", "mine").code == 0
    try:
        before = place.state_of("mine")
        run = place.start("run", place.write(baseline="1s", method=[PARTITION, HANG]), "--on", "mine")
        run.says("node.hang on kv3: its effect was seen")
        run.kill()
        assert changes(before, place.state_of("mine")) != []
        recovered = place.chaoskit("recover")
        assert (recovered.code, recovered.out.count("healed: ")) == (0, 2), recovered
        assert changes(before, place.state_of("mine")) == []
    finally:
        assert place.chaoskit("lab", "down", "mine").code == 0
    assert place.traces() == []


def test_nothing_to_recover(place: Place) -> None:
    for words in ([], [place.root / "reports"]):
        place.reports.mkdir(exist_ok=True)
        ended = place.chaoskit("recover", *words)
        assert (ended.code, ended.out) == (0, "nothing to recover: no dead run owes anything, and no orphaned lab is left\n")
    as_json = place.chaoskit("recover", "--json")
    assert json.loads(as_json.out) == {"recovered": []}


@pytest.mark.parametrize("words", ["nodes are up", "is ready"])
def test_a_lab_whose_maker_was_killed_can_be_ended(place: Place, words: str) -> None:
    """It was to outlive its maker, so it is nobody's orphan; `lab down` ends it like any other."""
    run = place.start("lab", "up", RELAY, "--name", "mine")
    run.says(words)
    run.kill()
    assert place.chaoskit("recover").code == 0
    down = place.chaoskit("lab", "down", "--all")
    assert down.code == 0, down
    assert place.traces() == []


def test_an_interrupted_lab_up_leaves_nothing(place: Place) -> None:
    for words in ("nodes are up", "kv1: relay is ready"):
        run = place.start("lab", "up", RELAY, "--name", "mine")
        run.says(words)
        run.signal(signal.SIGINT)
        ended = run.end()
        assert ended.code in (0, 130), ended  # 0 where it was up already
        if ended.code == 0:
            assert place.chaoskit("lab", "down", "mine").code == 0
        assert place.traces() == []
