"""Floating addresses: how often they moved, how long they had two owners or none, and what cannot be known of that."""

from __future__ import annotations

from typing import Any

import pytest

from chaoskit.engine import registry
from chaoskit.measures.addresses import Addresses
from chaoskit.model.figures import AddressFigures
from chaoskit.model.recorded import Announcement
from chaoskit.model.result import TrialMeasures
from tests.measures import recorded
from tests.measures.recorded import address, ns

EVER = ((-99.0, 99.0),)


def figures(*announcements: Announcement, problems: tuple[str, ...] = (), faults: Any = None, **seen: Any) -> AddressFigures:
    trial = recorded.trial(addresses=[address(*announcements, **seen)], problems=problems, faults=faults)
    found: AddressFigures = Addresses().measure(trial)["addresses"]["vip"]
    return found


CASES: dict[str, tuple[dict[str, Any], Any, tuple[float, float], tuple[float, float]]] = {
    # what was seen; moves; two owners and none, as (true seconds, how far the bounds may lie from them)
    "it stays": ({"web1": EVER}, 0, (0, 0), (0, 0)),
    "a failover": ({"web1": [(-99, 2.05)], "web2": [(5.05, 99)]}, 1, (0, 0), (3.0, 0.25)),
    "a failover and the way back": (
        {"web1": [(-99, 2.05), (50.05, 99)], "web2": [(5.05, 50.05)]}, 2, (0, 0), (3.0, 0.25),
    ),
    "two owners, and one gives up": ({"web1": EVER, "web2": [(5.05, 17.05)]}, 2, (12.0, 0.25), (0, 0)),
    "two owners, and the old one gives up": ({"web1": [(-99, 17.05)], "web2": [(5.05, 99)]}, 1, (12.0, 0.25), (0, 0)),
    "three owners count as two": ({"web1": EVER, "web2": [(5.05, 17.05)], "web3": [(7.05, 9.05)]}, 4, (12.0, 0.25), (0, 0)),
    "an overlap between two questions": ({"web1": [(-99, 5.05)], "web2": [(5.05, 99)]}, 1, (0, 0), (0, 0)),
    "one answer of another is no move": ({"web1": EVER, "web2": [(7.95, 8.05)]}, 0, (0, 0), (0, 0)),
    "one lost question is no gap": ({"web1": EVER, "lost": [8.0, 12.0]}, 0, (0, 0), (0, 0)),
    "nobody from the fault on": ({"web1": [(-99, 2.05)]}, 0, (0, 0), (57.9, 0.25)),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_owners_over_time(case: str) -> None:
    seen, moves, dual, none = CASES[case]
    found = figures(**seen)
    assert (found.moves.low, found.moves.point, found.moves.high) == (moves, moves, moves), found.moves.text
    for figure, (truth, width) in ((found.dual_owner_time, dual), (found.no_owner_time, none)):
        assert figure.valid
        assert figure.low is not None
        assert figure.high is not None
        assert truth - width <= figure.low <= truth <= figure.high <= truth + max(width, 0.32), figure.text
        if truth == 0:
            assert figure.text.startswith("none seen, or shorter than")


def test_where_nobody_is_heard_nothing_is_known() -> None:
    """The one who asks was cut off for 20 s: that is no time without an owner."""
    found = figures(web1=EVER, deaf=((10, 30),))
    assert found.no_owner_time.low == 0
    assert found.no_owner_time.high is not None
    assert found.no_owner_time.high > 17
    assert (found.moves.low, found.moves.high) == (0, None)
    assert "may have moved meanwhile" in found.moves.reasons[0]


def test_a_time_in_which_nobody_looked_counts_for_nothing_even_where_nobody_had_it_before_and_after() -> None:
    found = figures(web1=[(-99, 2.05), (50.05, 99)], deaf=((10, 30),)).no_owner_time
    assert found.low == pytest.approx(48 - 20, abs=0.5)
    assert found.high == pytest.approx(48, abs=0.5)


def test_where_nobody_asked_nothing_is_known() -> None:
    found = figures(web1=[(-99, 12)], web2=[(12, 99)], unasked=((10, 30),))
    assert found.dual_owner_time.low == found.no_owner_time.low == 0
    assert found.dual_owner_time.high is not None
    assert found.dual_owner_time.high > 19
    assert (found.moves.low, found.moves.high) == (1, None)


def test_a_silence_is_one_of_the_address_while_others_are_heard() -> None:
    found = figures(web1=[(-99, 10.05), (30.05, 99)])
    assert found.no_owner_time.low is not None
    assert found.no_owner_time.low > 19.7


def test_slow_answers_widen_the_bounds_and_are_no_silence() -> None:
    quick = figures(web1=[(-99, 2.05)], web2=[(5.05, 99)]).no_owner_time
    slow = address(web1=[(-99, 2.05)], web2=[(5.05, 99)])
    for rows in slow.answers.values():
        rows[:, 1] += 400_000_000
    trial = recorded.trial(addresses=[slow])
    late = Addresses().measure(trial)["addresses"]["vip"].no_owner_time
    assert late.low < quick.low <= 3.0 <= quick.high < late.high


def test_the_new_owner_is_the_first_other_one_that_announces_itself() -> None:
    told = [
        Announcement("web1", "VRRP", ns(1.5), ns(1.5) + 3_000, 51, 150),
        Announcement("web1", "VRRP", ns(2.4), ns(2.4) + 3_000, 51, 150),
        Announcement("web2", "VRRP", ns(4.0), ns(4.0) + 3_000, 51, 0),
        Announcement("web2", "gratuitous ARP", ns(5.0), ns(5.0) + 3_000),
        Announcement("web3", "VRRP", ns(6.0), ns(6.0) + 3_000, 51, 100),
    ]
    found = figures(*told, web1=[(-99, 2)], web2=[(5, 99)])
    assert found.takeover is not None
    assert found.takeover.low == pytest.approx(2.98)  # the fault took effect 20 ms after it began
    assert found.takeover.high == pytest.approx(2.980003)
    assert found.takeover.text == "2.98 s: web2, by gratuitous ARP"
    assert "web1: VRRP, virtual router 51 priority 150, 2 times" in found.announcements
    assert figures(*told[:2], web1=EVER).takeover is None


def test_figures_are_invalid_where_the_trial_is_and_unknown_where_nothing_was_seen() -> None:
    ended = figures(web1=EVER, problems=("the address watcher ended by itself with code 3",))
    assert not ended.dual_owner_time.valid
    assert "ended by itself" in ended.dual_owner_time.reasons[0]
    for found in (figures(), figures(web1=EVER, faults=())):
        assert not any(f.valid for f in (found.moves, found.dual_owner_time, found.no_owner_time))


def judged(name: str, limit: Any, **seen: Any) -> list[tuple[bool | None, str, tuple[str, ...]]]:
    measured = TrialMeasures(
        index=0, started="", ended="", baseline_s=30, observed_s=60, addresses={"vip": figures(**seen)} if seen else {}
    )
    made = registry.load("objectives", name)()
    made.check(limit, ())
    return [(o.met, o.target, o.reasons) for o in made.judge(limit, measured)]


FAILOVER: dict[str, Any] = {"web1": [(-99, 2.05)], "web2": [(5.05, 99)]}
PARTED: dict[str, Any] = {"web1": EVER, "web2": [(5.05, 17.05)]}


@pytest.mark.parametrize(
    ("name", "limit", "seen", "met"),
    [
        ("dual_owner", "none", FAILOVER, True),
        ("dual_owner", "<= 0s", FAILOVER, True),
        ("dual_owner", "none", PARTED, False),
        ("dual_owner", "<= 15s", PARTED, True),
        ("dual_owner", "<= 5s", PARTED, False),
        ("dual_owner", "<= 12s", PARTED, None),
        ("dual_owner", "none", {"web1": EVER, "unasked": ((10, 30),)}, None),
        ("dual_owner", "<= 5s", {"web1": EVER, "unasked": ((10, 30),)}, None),
        ("no_owner", "none", PARTED, True),
        ("no_owner", "<= 5s", FAILOVER, True),
        ("no_owner", "none", FAILOVER, False),
        ("no_owner", "<= 5s", {"web1": EVER, "deaf": ((10, 30),)}, None),
        ("vip_moves", 1, FAILOVER, True),
        ("vip_moves", 0, FAILOVER, False),
        ("vip_moves", "none", FAILOVER, False),
        ("vip_moves", 1, {**FAILOVER, "unasked": ((10, 30),)}, None),
        ("vip_moves", {"vip": "<= 1"}, FAILOVER, True),
    ],
)
def test_objectives(name: str, limit: Any, seen: dict[str, Any], met: bool | None) -> None:
    (outcome,) = judged(name, limit, **seen)
    assert outcome[0] is met, outcome


def test_an_address_that_is_not_there_is_unknown() -> None:
    assert judged("dual_owner", "none")[0][0] is None
    assert judged("dual_owner", {"other": "none"}, **FAILOVER)[0][2] == ("there is no floating address 'other'",)


@pytest.mark.parametrize(
    ("name", "limit"), [("dual_owner", "5s"), ("no_owner", ">= 5s"), ("vip_moves", "<= 1s"), ("no_owner", {})]
)
def test_a_limit_that_is_none_is_refused(name: str, limit: Any) -> None:
    with pytest.raises(ValueError, match=r"limit|write"):
        registry.load("objectives", name)().check(limit, ())
