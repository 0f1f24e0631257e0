"""Services that are bad in one known way: each is caught by the measure whose business it is, and by no other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from chaoskit.engine import registry
from chaoskit.engine.judging import trial_result
from chaoskit.engine.measuring import measured_trial, registered
from chaoskit.model.recorded import TrialRecord
from chaoskit.model.result import TrialMeasures, TrialResult
from tests.measures.recorded import (
    FAULT_S,
    HEAL_S,
    acknowledged,
    client,
    dump,
    failed_over,
    fault,
    final_read,
    leaders,
    ns,
    role,
    settled,
    trial,
    unacknowledged,
)

PROMISED: dict[str, Any] = {
    "rto": "<= 10s",
    "availability": ">= 80%",
    "rpo": {"writes": 0, "window": "<= 1s", "duplicates": 0, "phantoms": 0, "divergence": 0},
    "flaps": 0,
    "split_brain": "none",
}


def leads(at: float) -> str:
    return "db1" if at < FAULT_S else "db2"


def good_client(**changes: Any) -> Any:
    """Down for 5 s after the fault, then served by db2 for good."""
    return client(**({"down": [(FAULT_S, 7.0)], "leads": leads} | changes))


def good() -> TrialRecord:
    orders = good_client()
    return trial(orders, roles=failed_over(), read_backs=[final_read(orders), *(dump(orders, n) for n in ("db1", "db2", "db3"))])


def judged(record: TrialRecord, limits: Mapping[str, Any] = PROMISED) -> TrialResult:
    objectives = {name: registry.load("objectives", name)() for name in limits}
    return trial_result(measured(record), limits, objectives)


def measured(record: TrialRecord) -> TrialMeasures:
    return measured_trial(record, registered())


def missed(result: TrialResult) -> set[str]:
    return {o.name for o in result.objectives if o.met is False}


def unsettled(result: TrialResult) -> set[str]:
    return {o.name for o in result.objectives if o.met is None}


def test_a_good_failover_passes_everything() -> None:
    result = judged(good())
    assert result.verdict == "passed", result.reasons
    assert all(g.met for g in result.gates), [g for g in result.gates if not g.met]
    rto = result.clients["orders"].rto
    assert rto.low is not None
    assert rto.high is not None
    assert rto.low <= 5.0 <= rto.high
    names = [p.name for p in result.phases]
    assert names[0] == "injected"
    assert set(names[1:3]) == {"old leader gone", "first failed send"}
    assert set(names[3:5]) == {"new leader", "redundancy restored"}
    assert names[5:7] == ["rerouted", "capacity restored"]
    assert names[7:] == ["detected", "elected", "promoted"], "nothing shows them, and that is said"
    assert not any(p.at.valid for p in result.phases[7:])


def test_one_that_loses_acknowledged_writes() -> None:
    orders = good_client()
    gone = acknowledged(orders, [(1.5, FAULT_S)])
    reads = [final_read(orders, without=gone), *(dump(orders, n, without=gone) for n in ("db1", "db2", "db3"))]
    result = judged(trial(orders, roles=failed_over(), read_backs=reads))
    assert result.verdict == "failed"
    assert missed(result) == {"rpo.writes"}
    assert unsettled(result) == set()
    assert result.rpo is not None
    assert result.rpo.lost.point == len(gone) == len(result.rpo.lost_writes)
    assert result.rpo.contiguous_tail is True
    window = result.rpo.window
    assert window.low is not None
    assert window.high is not None
    assert window.low <= 0.5 <= window.high + 1e-9
    assert window.high - window.low < 0.05


def test_one_that_loses_writes_over_a_long_time() -> None:
    orders = good_client()
    gone = acknowledged(orders, [(-3, FAULT_S)])
    reads = [final_read(orders, without=gone), dump(orders, "db2", without=gone)]
    assert missed(judged(trial(orders, roles=failed_over(), read_backs=reads))) == {"rpo.writes", "rpo.window"}


def test_a_hole_in_the_middle_is_no_plain_truncation() -> None:
    orders = good_client()
    gone = acknowledged(orders, [(0.5, 1.0)])
    record = trial(orders, roles=failed_over(), read_backs=[final_read(orders, without=gone), dump(orders, "db2", without=gone)])
    rpo = measured(record).rpo
    assert rpo is not None
    assert rpo.contiguous_tail is False
    assert rpo.window.point == pytest.approx(1.5, abs=0.02), "from the first lost ack to the last ack of that leader"


def test_one_that_applies_writes_twice() -> None:
    orders = good_client()
    twice = {token: 3 for token in acknowledged(orders)[:5]}
    reads = [final_read(orders, copies=twice), dump(orders, "db2", copies=twice)]
    result = judged(trial(orders, roles=failed_over(), read_backs=reads))
    assert missed(result) == {"rpo.duplicates"}
    assert unsettled(result) == set()
    assert result.rpo is not None
    assert result.rpo.duplicated == 10


def test_one_that_holds_writes_nobody_asked_for() -> None:
    orders = good_client()
    made_up = {"nobody-1": 1, "nobody-2": 1}
    result = judged(
        trial(orders, roles=failed_over(), read_backs=[final_read(orders, copies=made_up), dump(orders, "db2", copies=made_up)])
    )
    assert missed(result) == {"rpo.phantoms"}
    assert result.rpo is not None
    assert result.rpo.phantom == 2


def test_a_node_that_differs_from_the_rest() -> None:
    orders = good_client()
    reads = [final_read(orders), dump(orders, "db1", without=acknowledged(orders)[:4]), dump(orders, "db2")]
    result = judged(trial(orders, roles=failed_over(), read_backs=reads))
    assert missed(result) == {"rpo.divergence"}
    assert result.rpo is not None
    assert result.rpo.divergence == {"db1": 4, "db2": 0}
    writes = result.rpo.divergent_writes
    assert [(w.node, w.token, w.copies, w.final_copies, w.acknowledged_by) for w in writes] == [
        ("db1", token, 0, 1, "db1") for token in acknowledged(orders)[:4]
    ]
    assert [w.acknowledged_s for w in writes] == sorted(w.acknowledged_s or 99 for w in writes)


def test_a_node_that_could_not_be_read_may_differ_by_anything() -> None:
    orders = good_client()
    silent = dump(orders, "db3")
    silent = type(silent)(silent.client, "dump", "db3", silent.t_ns, False, {}, "refused")
    result = judged(trial(orders, roles=failed_over(), read_backs=[final_read(orders), dump(orders, "db1"), silent]))
    assert missed(result) == set()
    assert unsettled(result) == {"rpo.divergence"}
    assert result.rpo is not None
    assert result.rpo.unread == {"db3": "refused"}


def test_the_old_leader_is_read_before_the_rewind_takes_what_only_it_had() -> None:
    orders = good_client()
    gone = acknowledged(orders, [(1.5, FAULT_S)])
    early = replace(dump(orders, "db1", copies={"orders-unheard-of": 1}), kind="rejoined", t_ns=ns(HEAL_S + 0.4))
    late = replace(early, node="db3", ok=False, copies={}, detail="refused")
    reads = [final_read(orders, without=gone), *(dump(orders, n, without=gone) for n in ("db1", "db2", "db3")), early, late]
    rpo = measured(trial(orders, roles=failed_over(), read_backs=reads)).rpo
    assert rpo is not None
    assert rpo.divergence == {"db1": 0, "db2": 0, "db3": 0}, "all the same after the rewind"
    old, other = rpo.rejoined
    assert (old.node, old.was_leader, old.only_there, old.lost_there) == ("db1", True, len(gone) + 1, len(gone))
    assert old.after_heal_s == pytest.approx(0.3)
    assert (other.node, other.only_there, other.detail) == ("db3", None, "refused")


def test_a_timed_out_write_that_is_found_is_recovered_and_fine() -> None:
    orders = good_client()
    found = {token: 1 for token in unacknowledged(orders, "info")[:7]}
    result = judged(
        trial(orders, roles=failed_over(), read_backs=[final_read(orders, copies=found), dump(orders, "db2", copies=found)])
    )
    assert result.verdict == "passed", result.reasons
    assert result.rpo is not None
    assert result.rpo.recovered == 7
    assert result.rpo.defects == ()


def test_a_refused_write_that_is_found_is_a_defect_of_the_client() -> None:
    orders = good_client(refusals=True)
    found = {unacknowledged(orders, "fail")[0]: 1}
    rpo = measured(trial(orders, roles=failed_over(), read_backs=[final_read(orders, copies=found)])).rpo
    assert rpo is not None
    assert len(rpo.defects) == 1
    assert "surely not applied" in rpo.defects[0]


def test_two_leaders_at_once() -> None:
    result = judged(trial(*good().clients.values(), roles=leaders(db1=[(-99, 20)], db2=[(6, 99)]), read_backs=good().read_backs))
    assert missed(result) == {"split_brain"}
    assert unsettled(result) == set()
    assert result.flapping is not None
    dual = result.flapping.dual_owner_time
    assert dual.low is not None
    assert dual.high is not None
    assert dual.low <= 14 <= dual.high
    assert dual.high - dual.low < 0.5


def test_a_watcher_that_was_blind_cannot_speak_against_two_leaders() -> None:
    seldom = tuple(role(node, [(-99, 99)] if node == "db1" else [], every_s=5.0) for node in ("db1", "db2", "db3"))
    judgement = registry.load("objectives", "split_brain")
    judge = judgement() if isinstance(judgement, type) else judgement
    blind = measured(trial(good_client(), roles=seldom)).model_copy(update={"rpo": None})
    (outcome,) = judge.judge("none", blind)
    assert outcome.met is None
    assert "not sampled for up to" in outcome.reasons[0]
    (seeing,) = judge.judge("none", measured(trial(good_client(), roles=settled())).model_copy(update={"rpo": None}))
    assert seeing.met is True


def test_a_superseded_leader_that_still_acknowledges() -> None:
    def stubborn(at: float) -> str:
        return "db1" if at < FAULT_S or (10 <= at < 12) else "db2"

    orders = good_client(leads=stubborn)
    result = judged(trial(orders, roles=failed_over(), read_backs=[final_read(orders), dump(orders, "db2")]))
    assert missed(result) == {"split_brain"}
    assert result.rpo is not None
    assert result.rpo.split_brain_acks.point == pytest.approx(200, abs=1)


def test_a_leader_that_leads_again_after_its_successor_is_no_split_brain() -> None:
    """Fail-over and fail-back: the first leader's later acks are its right."""

    def back_again(at: float) -> str:
        return "db1" if at < FAULT_S or at >= 30 else "db2"

    orders = good_client(leads=back_again)
    roles = leaders(db1=[(-99, FAULT_S), (29.95, 99)], db2=[(6, 29.9)])
    result = judged(trial(orders, roles=roles, read_backs=[final_read(orders), dump(orders, "db2")]))
    assert missed(result) == set()
    assert result.flapping is not None
    assert result.flapping.ping_pong == 1
    assert result.flapping.leader_changes.point == 2
    assert result.flapping.excess_leader_changes.point == 1


def test_a_replica_fault_under_which_the_leader_goes_on_is_no_split_brain() -> None:
    orders = client()
    result = judged(trial(orders, read_backs=[final_read(orders), dump(orders, "db2")]), PROMISED | {"outage": "none"})
    assert result.verdict == "passed", result.reasons
    assert result.clients["orders"].rto.point is None, "no outage seen is never 0"
    assert "shorter than 12 ms" in result.clients["orders"].rto.text


def test_one_that_flaps() -> None:
    orders = good_client(down=[(FAULT_S, 7), (20, 21), (35, 36)])
    result = judged(trial(orders, roles=failed_over(), read_backs=[final_read(orders), dump(orders, "db2")]))
    assert missed(result) == {"flaps"}
    assert result.flapping is not None
    assert result.flapping.flaps.point == 2
    unstable = result.flapping.unstable_time
    assert unstable.low is not None
    assert unstable.high is not None
    assert unstable.low <= 34 <= unstable.high
    assert len(result.clients["orders"].outages) == 3


def test_one_that_flickers_faster_than_s_is_one_long_outage() -> None:
    orders = good_client(down=[(FAULT_S + 2 * k, FAULT_S + 2 * k + 1) for k in range(5)])
    result = judged(trial(orders, roles=failed_over(), read_backs=[final_read(orders), dump(orders, "db2")]))
    assert result.clients["orders"].rto.point == pytest.approx(9.0, abs=0.02)
    assert missed(result) == set()


def test_one_that_never_recovers_fails_with_a_censored_time_not_a_number() -> None:
    orders = good_client(down=[(FAULT_S, 99)])
    record = trial(
        orders, roles=failed_over(), faults=[fault(healed_s=None)], read_backs=[final_read(orders), dump(orders, "db2")]
    )
    result = judged(record)
    assert result.verdict == "failed"
    rto = result.clients["orders"].rto
    assert rto.censored
    assert rto.point is None
    assert rto.high is None
    assert rto.low is not None
    assert rto.low > 57
    assert missed(result) == {"rto", "availability"}
    assert "flaps" not in missed(result)


def test_one_that_returns_only_when_the_fault_is_healed_did_not_fail_over() -> None:
    orders = good_client(down=[(FAULT_S, 23.0)], leads=lambda at: "db1")
    record = trial(orders, roles=leaders(db1=[(-99, FAULT_S), (22.9, 99)]), faults=[fault(healed_s=22.0)])
    result = judged(record, {"rto": "<= 10s"})
    rto = result.clients["orders"].rto
    assert result.verdict == "failed"
    assert rto.censored
    assert rto.low == pytest.approx(19.8, abs=0.02), "the first failed attempt was silent for W = 200 ms"
    assert "not a failover" in rto.text
    assert result.clients["orders"].user_rto.point == pytest.approx(21.0, abs=0.02), "users felt all of it"


def test_a_heal_before_the_limit_leaves_the_recovery_time_unknown() -> None:
    orders = good_client(down=[(FAULT_S, 8.0)])
    result = judged(trial(orders, faults=[fault(healed_s=7.0)]), {"rto": "<= 10s"})
    assert result.verdict == "unknown"
    assert any("hold the fault for longer" in r for r in result.reasons)


def test_a_fault_that_does_nothing_is_unknown_whatever_was_seen() -> None:
    quiet = judged(trial(faults=[fault(verified=False)]))
    assert quiet.verdict == "unknown"
    assert all(o.met is None for o in quiet.objectives)
    loud = judged(trial(good_client(down=[(FAULT_S, 50)]), faults=[fault(verified=False)]), {"rto": "<= 10s"})
    assert loud.verdict == "unknown", "a missed objective needs valid evidence"
    assert any("no evidence" in r for r in loud.reasons)


def test_no_fault_at_all_is_unknown() -> None:
    assert judged(trial(faults=[])).verdict == "unknown"


def test_failing_before_the_fault_is_unknown() -> None:
    result = judged(trial(good_client(down=[(0.5, 7)]), roles=failed_over()), {"rto": "<= 10s"})
    assert result.verdict == "unknown"
    assert any("steady before the fault" in r for r in result.reasons)


def test_a_ledger_that_cannot_be_read_is_unknown() -> None:
    orders = good_client()
    broken = final_read(orders)
    broken = type(broken)(broken.client, "final", "", broken.t_ns, False, {}, "connection refused")
    result = judged(trial(orders, roles=failed_over(), read_backs=[broken]), {"rpo": {"writes": 0}, "rto": "<= 10s"})
    assert result.verdict == "unknown"
    assert unsettled(result) == {"rpo.writes"}
    assert result.rpo is not None
    assert (result.rpo.phantom, result.rpo.duplicated, result.rpo.recovered) == (None, None, None), "not read is not none"
    assert any("connection refused" in r for r in result.reasons)


def test_a_ledger_that_still_changes_is_unknown() -> None:
    orders = good_client()
    first, second = final_read(orders, without=acknowledged(orders)[-3:]), final_read(orders)
    first = type(first)(first.client, "final", "db2", first.t_ns - 10**9, True, first.copies)
    assert judged(trial(orders, read_backs=[first, second]), {"rpo": {"writes": 0}}).verdict == "unknown"


def test_nothing_acknowledged_is_unknown() -> None:
    orders = client(down=[(-99, 99)])
    result = judged(trial(orders), {"rpo": {"writes": 0}})
    assert result.verdict == "unknown"
    assert result.rpo is not None
    assert not result.rpo.lost.valid


def test_few_acknowledged_writes_are_below_the_floor() -> None:
    orders = client(half_down=[(-99, 99)], down=[(-20, -10)])
    rpo = measured(trial(orders)).rpo
    assert rpo is not None
    assert not rpo.lost.valid
    assert any("below the floor" in r for r in rpo.lost.reasons)


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"lateness_s": 0.06}, "send lateness p99"),
        ({"tainted": [(-20, -18)]}, "tainted attempts"),
        ({"not_sent": [(6.9, 6.95)]}, "attempts not sent"),
        ({"half_down": [(-20, -19)]}, "success in the baseline"),
    ],
)
def test_a_prober_that_cannot_be_trusted_invalidates_its_figures(changes: dict[str, Any], gate: str) -> None:
    orders = good_client(**changes)
    result = judged(trial(orders, roles=failed_over()), {"rto": "<= 10s"})
    assert {g.name for g in result.gates if not g.met} == {gate}
    assert not result.clients["orders"].rto.valid
    assert result.verdict == "unknown"
    assert any(gate in r for r in result.reasons)


def test_a_short_baseline_is_unknown_unless_it_was_stated() -> None:
    assert judged(trial(baseline_s=12), {"outage": "none"}).verdict == "unknown"
