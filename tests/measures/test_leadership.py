"""Role samples only bracket each change: the times derived from them always hold the truth."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoskit.measures.flapping import Flapping, flapping_figures, role_intervals
from chaoskit.measures.leadership import holder_at, successions, tenures, time_with
from tests.depth import examples
from tests.measures.recorded import ENDED_S, FAULT_S, client, leaders, ns, plan, role, trial


@settings(max_examples=examples(150), deadline=None)
@given(
    first_ends=st.floats(3, 40),
    second_begins=st.floats(3, 40),
    every=st.floats(0.05, 0.5),
)
def test_times_with_two_leaders_and_with_none_hold_the_truth(first_ends: float, second_begins: float, every: float) -> None:
    watched = (role("db1", [(-99, first_ends)], every_s=every), role("db2", [(second_begins, 99)], every_s=every))
    dual = time_with(watched, ns(FAULT_S), ns(ENDED_S), lambda n: n > 1)
    none = time_with(watched, ns(FAULT_S), ns(ENDED_S), lambda n: n == 0)
    for held, truth in ((dual, max(first_ends - second_begins, 0)), (none, max(second_begins - first_ends, 0))):
        assert held.low <= truth * 1e9 + 1
        assert held.high >= truth * 1e9 - 1
        assert held.low <= held.point <= held.high
        assert held.high - held.low <= 4 * (every + 0.01) * 1e9


def test_a_tenure_lies_between_its_brackets() -> None:
    (tenure,) = tenures(role("db2", [(6.05, 20.05)]))
    assert tenure.begin_low <= ns(6.05) <= tenure.begin_high
    assert tenure.end_low <= ns(20.05)
    assert tenure.end_high is not None
    assert tenure.end_high >= ns(20.05)


def test_one_missed_answer_is_no_change_of_leader() -> None:
    watched = (role("db1", [(-99, 99)], silent=[(10, 10.09)]), role("db2", []))
    assert [t.node for t in successions(watched, ns(FAULT_S))] == ["db1"]
    none = time_with(watched, ns(FAULT_S), ns(ENDED_S), lambda n: n == 0)
    assert none.low == 0


def test_one_sample_alone_does_not_make_a_leader() -> None:
    watched = (role("db1", [(-99, 99)]), role("db2", [(10, 10.09)]))
    assert [t.node for t in successions(watched, ns(FAULT_S))] == ["db1"]


def test_who_led_when_the_fault_began() -> None:
    watched = leaders(db1=[(-99, -10)], db3=[(-9, 2)], db2=[(6, 99)])
    assert holder_at(watched, ns(FAULT_S)) == "db3"
    assert [t.node for t in successions(watched, ns(FAULT_S))] == ["db3", "db2"], "what was before the fault is not counted"
    assert holder_at((), ns(FAULT_S)) is None


def test_no_watcher_is_unknown_not_zero() -> None:
    made = flapping_figures(trial(client(), roles=()))
    for figure in (made.leader_changes, made.dual_owner_time, made.no_owner_time):
        assert not figure.valid
        assert figure.point is None


def test_a_leaderless_time_is_measured() -> None:
    made = flapping_figures(trial(client(down=[(FAULT_S, 7)]), roles=leaders(db1=[(-99, FAULT_S)], db2=[(6.5, 99)])))
    none = made.no_owner_time
    assert none.low is not None
    assert none.high is not None
    assert none.low <= 4.5 <= none.high
    assert made.dual_owner_time.low == 0
    assert "none seen" in made.dual_owner_time.text
    assert made.leader_changes.point == 1
    assert made.leader_changes.text == "1 (db1 → db2)"


def test_role_intervals_cover_the_watch_without_gaps() -> None:
    record = trial(roles=(role("db1", [(-99, 2)], silent=[(2, 10)]),))
    intervals = role_intervals(record)
    assert [i.state for i in intervals] == ["yes", "unknown", "no"]
    assert all(a.until_s == b.from_s for a, b in itertools.pairwise(intervals))
    assert intervals[1].from_s == pytest.approx(2, abs=0.1)


def test_flaps_are_those_of_fresh_clients() -> None:
    calm = client(down=[(FAULT_S, 7)])
    wild = client("pool", client_class="pooled", down=[(FAULT_S, 7), (20, 21)])
    assert Flapping().measure(trial(calm, wild))["flapping"].flaps.point == 0
    only_pooled = Flapping().measure(trial(wild, planned=plan()))["flapping"].flaps
    assert not only_pooled.valid


def test_a_single_failed_attempt_is_no_flap() -> None:
    once = client(down=[(FAULT_S, 7), (20, 20.009)])
    assert flapping_figures(trial(once)).flaps.point == 0
