"""One client from several vantages: any, a quorum and all of them, against truths that are known to the second."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.measures.objectives import AvailabilityObjective, OutageObjective, RtoObjective
from chaoskit.measures.outages import evidence, outage_spans
from chaoskit.measures.vantages import level, quorum_loss, vantage
from chaoskit.model.figures import Figure, VantageFigures
from chaoskit.model.recorded import TrialRecord
from chaoskit.model.result import TrialMeasures
from tests.depth import examples
from tests.measures.recorded import ENDED_S, FAULT_S, Spans, client, fault, ns, plan, trial

ORDERS = {"type": "postgres", "operation": "select", "rate": "100/s", "deadline": "200ms", "endpoint": "write"}


def seen_from(*downs: Spans, healed_s: float | None = None, **changes: Spans) -> TrialRecord:
    """A reading client at c0, c1, ...: each is down in its own spans."""
    names = [f"c{i}" for i in range(len(downs))]
    series = [
        client(f"orders@{name}", vantage=name, operation="select", down=down, **(changes if name == "c0" else {}))  # type: ignore[arg-type]
        for name, down in zip(names, downs, strict=True)
    ]
    planned = plan(clients={"orders": {**ORDERS, "from": names}})
    return trial(*series, planned=planned, faults=(fault(healed_s=healed_s),))


def measured(record: TrialRecord) -> TrialMeasures:
    return measured_trial(record, registered())


def vantages_of(record: TrialRecord) -> VantageFigures:
    found = measured(record).clients["orders"].vantages
    assert found is not None
    return found


def holds(figure: Figure, truth: float) -> bool:
    low, high = figure.low or 0.0, float("inf") if figure.high is None else figure.high
    return low - 1e-6 <= truth <= high + 1e-6


A, B = (FAULT_S + 1, FAULT_S + 5), (FAULT_S + 3, FAULT_S + 9)


@pytest.mark.parametrize(
    ("downs", "any_s", "quorum_s", "all_s", "lost_s"),
    [
        (([A], []), 4, 4, 0, 2),  # one of two: no majority is left
        (([A], [A]), 4, 4, 4, 4),
        (([A], [B]), 8, 8, 2, 5),
        (([A], [], []), 4, 0, 0, 4 / 3),
        (([A], [B], []), 8, 2, 0, 10 / 3),
        (([A], [B], [A]), 8, 4, 2, 14 / 3),
        (([A], [B], [], []), 8, 2, 0, 2.5),  # two of four: no majority
        (([A], [B], [], [], []), 8, 0, 0, 2),
        (([A], [(A[1] + 2, A[1] + 4)]), 8, 8, 0, 3),  # S not passed between: one outage of "any"
        (([A], [(A[1] + 8, A[1] + 10)]), 4, 4, 0, 3),  # two; the first is the RTO
    ],
)
def test_levels_of_known_outages(downs: tuple[Spans, ...], any_s: float, quorum_s: float, all_s: float, lost_s: float) -> None:
    found = vantages_of(seen_from(*downs))
    for figures, truth in ((found.any_down, any_s), (found.quorum_down, quorum_s), (found.all_down, all_s)):
        assert holds(figures.rto, truth), figures.rto.text
        assert (figures.rto.point is None) == (truth == 0)
        assert bool(figures.outages) == (truth > 0)
        if truth:
            assert figures.rto.point == pytest.approx(truth, abs=0.011)
    assert holds(found.lost_time, lost_s)
    assert found.lost_time.point == pytest.approx(lost_s, abs=0.011 * len(downs))
    assert found.any_down.needed == 1
    assert found.all_down.needed == len(downs)


def test_quorums() -> None:
    assert [quorum_loss(n) for n in (1, 2, 3, 4, 5)] == [1, 1, 2, 2, 3]


def test_any_down_is_the_headline_and_each_vantage_keeps_its_own() -> None:
    made = measured(seen_from([A], [B], []))
    orders = made.clients["orders"]
    assert set(made.clients) == {"orders"}
    assert orders.vantages is not None
    assert orders.rto == orders.vantages.any_down.rto
    assert orders.outages == orders.vantages.any_down.outages
    each = orders.vantages.each
    assert {name: f.rto.point for name, f in each.items()} == {
        "c0": pytest.approx(4, abs=0.011),
        "c1": pytest.approx(6, abs=0.011),
        "c2": None,
    }
    assert orders.operations == sum(f.operations for f in each.values())
    assert orders.availability.point == pytest.approx(1 - 10 / 3 / ENDED_S, abs=1e-3)
    assert orders.downtime["down"] == pytest.approx(10 / 3, abs=0.05)


def test_the_course_of_the_share() -> None:
    found = vantages_of(seen_from([A], [B], []))
    assert [(round(p.from_s, 1), round(p.until_s, 1), p.ok) for p in found.course] == [
        (0.0, 3.0, 3), (3.0, 5.0, 2), (5.0, 7.0, 1), (7.0, 11.0, 2), (11.0, 60.0, 3),
    ]  # fmt: skip
    assert found.changes == 4
    assert sum((p.until_s - p.from_s) * (3 - p.ok) / 3 for p in found.course) == pytest.approx(found.lost_time.point or 0)


def test_a_vantage_that_stays_down_censors_any_and_not_all() -> None:
    found = vantages_of(seen_from([(A[0], 99)], [A]))
    assert found.any_down.rto.censored
    assert not found.all_down.rto.censored
    assert found.all_down.rto.point == pytest.approx(4, abs=0.011)


def test_a_vantage_that_only_the_heal_brings_back_is_no_failover_there() -> None:
    found = vantages_of(seen_from([(A[0], 30)], [A], healed_s=29.5))
    assert found.any_down.rto.censored
    assert "heal began" in found.any_down.rto.reasons[0]
    assert found.any_down.user_rto.point == pytest.approx(27, abs=0.1)
    assert found.all_down.rto.point == pytest.approx(4, abs=0.011)


def test_an_unmet_gate_of_one_vantage_is_named() -> None:
    found = measured(seen_from([A], [], not_sent=[(FAULT_S + 0.5, FAULT_S + 5)])).clients["orders"]
    assert not found.rto.valid
    assert any(r.startswith("from c0: attempts not sent") for r in found.rto.reasons)
    assert found.vantages is not None
    assert found.vantages.each["c1"].rto.valid


def test_where_attempts_alternate_nothing_is_claimed_for_all() -> None:
    """Half of the attempts from each vantage fail: no instant is proven at which both were down."""
    found = vantages_of(seen_from([], [], half_down=[A]))
    assert found.any_down.rto.point == pytest.approx(4, abs=0.03)
    assert found.all_down.rto.point is None
    assert found.lost_time.low == 0
    assert found.lost_time.point == pytest.approx(1, abs=0.03)
    assert holds(found.lost_time, 1)


spans = st.lists(st.tuples(st.floats(0.05, 8), st.floats(0.03, 4)), max_size=3)


def laid_out(pauses: list[tuple[float, float]]) -> list[tuple[float, float]]:
    at, made = FAULT_S, []
    for pause, length in pauses:
        made.append((at + pause, at + pause + length))
        at += pause + length
    return made


@settings(max_examples=examples(100), deadline=None)
@given(down=spans, half=st.booleans(), probes=st.sampled_from([1, 4, 10]))
def test_one_vantage_alone_follows_the_rule_for_one_series(down: list[tuple[float, float]], half: bool, probes: int) -> None:
    given_spans = laid_out(down)
    samples = client(
        down=() if half else given_spans, half_down=given_spans if half else (), probes=probes, until_s=ENDED_S, refusals=True
    )
    alone = level([vantage(samples)], 1, ns(0), ns(ENDED_S))
    expected = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
    assert [(s.last_ok_before, s.first_failed, s.last_failed, s.first_ok_after, s.first_ok_ended) for s in alone.spans] == [
        (s.last_ok_before, s.first_failed, s.last_failed, s.first_ok_after, s.first_ok_ended) for s in expected
    ]
    assert [(s.failures, s.consecutive, dict(s.errors)) for s in alone.spans] == [
        (s.failures, s.consecutive, dict(s.errors)) for s in expected
    ]


@settings(max_examples=examples(100), deadline=None)
@given(downs=st.lists(spans, min_size=2, max_size=4))
def test_levels_are_nested_and_hold_the_truth(downs: list[list[tuple[float, float]]]) -> None:
    truth = [laid_out(d) for d in downs]
    record = seen_from(*truth)
    found = vantages_of(record)
    lost = sum(e - b for one in truth for b, e in one) / len(truth)
    assert holds(found.lost_time, lost)
    # The first outage of "any": from the first beginning, until everybody was ok for S.
    union = sorted(s for one in truth for s in one if s[1] - s[0] >= 0.011)  # a shorter one may meet no attempt
    if union:
        begin, end = union[0]
        for b, e in union[1:]:
            if b > end + 4.9:
                break
            end = max(end, e)
        else:
            b = 99.0
        if b > end + 5.1 and len(union) == sum(len(one) for one in truth):
            assert holds(found.any_down.rto, end - begin), (found.any_down.rto.text, end - begin)
    points = [f.rto.low or 0.0 for f in (found.any_down, found.quorum_down, found.all_down) if len(f.outages) < 2]
    if all(len(f.outages) < 2 for f in (found.any_down, found.quorum_down, found.all_down)):
        assert points == sorted(points, reverse=True)


# -- objectives --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "met"),
    [
        ("<= 9s", True),
        ("<= 7s", False),
        ({"orders": "<= 7s"}, False),
        ({"orders": {"within": "<= 7s"}}, False),
        ({"orders": {"within": "7s", "vantages": "quorum"}}, True),
        ({"orders": {"within": "<= 1s", "vantages": "quorum"}}, False),
        ({"orders": {"within": "<= 5ms", "vantages": "all"}}, None),  # none seen, or shorter than 10 ms
        ({"orders": {"within": "<= 100ms", "vantages": "all"}}, True),
    ],
)
def test_an_objective_names_how_many_vantages(limit: object, met: bool | None) -> None:
    objective = RtoObjective()
    objective.check(limit, ["orders"])
    (outcome,) = objective.judge(limit, measured(seen_from([A], [B], [])))
    assert (outcome.met, outcome.subject) == (met, "orders"), outcome
    if isinstance(limit, dict) and "quorum" in str(limit):
        assert "quorum of the vantages" in outcome.target


def test_an_outage_objective_of_all_vantages() -> None:
    (outcome,) = OutageObjective().judge({"orders": {"within": "none", "vantages": "all"}}, measured(seen_from([A], [B], [])))
    assert outcome.met is True


@pytest.mark.parametrize(
    "limit",
    [
        {"orders": {"within": "3s", "vantages": "most"}},
        {"orders": {"vantages": "all"}},
        {"orders": {"within": "3s", "when": "x"}},
    ],
)
def test_a_limit_that_is_none_is_refused(limit: object) -> None:
    with pytest.raises(ValueError, match=r"vantages any of any, quorum, all"):
        RtoObjective().check(limit, ["orders"])


def test_availability_has_no_levels() -> None:
    with pytest.raises(ValueError, match="no limit here"):
        AvailabilityObjective().check({"orders": {"within": ">= 99%", "vantages": "all"}}, ["orders"])


def test_at_one_vantage_all_levels_are_the_same() -> None:
    made = measured(trial(client(down=[A])))
    (outcome,) = RtoObjective().judge({"orders": {"within": "5s", "vantages": "all"}}, made)
    assert outcome.met is True
    assert made.clients["orders"].vantages is None
