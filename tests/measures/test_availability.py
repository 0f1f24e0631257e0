"""What a client met, figure by figure."""

from __future__ import annotations

import numpy as np
import pytest

from chaoskit.measures.availability import Availability, client_figures
from chaoskit.model.figures import ClientFigures
from chaoskit.model.recorded import TrialRecord
from tests.measures.recorded import FAULT_S, client, fault, trial


def figures(record: TrialRecord) -> dict[str, ClientFigures]:
    return dict(Availability().measure(record)["clients"])


def test_the_three_recovery_times_have_bounds_that_hold_the_truth() -> None:
    made = figures(trial(client(down=[(3.0, 8.0)], latency_s=0.05)))["orders"]
    for figure, truth in ((made.rto, 5.0), (made.user_rto, 5.05), (made.fault_rto, 8.0 - (FAULT_S + 0.02))):
        assert figure.low is not None
        assert figure.high is not None
        assert figure.point is not None
        assert figure.low <= truth <= figure.high
        assert figure.low <= figure.point <= figure.high
        assert abs(figure.point - truth) < 0.02
        assert figure.valid, figure.reasons
        assert figure.rule
        assert figure.n > 0


def test_the_recovery_time_is_that_of_the_first_outage_after_the_fault() -> None:
    made = figures(trial(client(down=[(-20, -19.99), (3, 5), (20, 24)])))["orders"]
    assert made.rto.point == pytest.approx(2.0, abs=0.02)
    assert [round(o.first_failure_s) for o in made.outages] == [-20, 3, 20]


def test_every_outage_and_its_errors_are_listed() -> None:
    made = figures(trial(client(down=[(3, 5)], refusals=True)))["orders"]
    (outage,) = made.outages
    assert outage.errors == {"refused": 200}
    assert made.errors == {"refused": 200}
    assert outage.low_s <= 2.0 <= (outage.high_s or 0)


def test_downtime_is_shared_out_where_half_the_attempts_fail() -> None:
    made = figures(trial(client(half_down=[(10, 20)], down=[(30, 34)])))["orders"]
    assert made.downtime["down"] == pytest.approx(5 + 4, abs=0.05)
    assert sum(made.downtime.values()) == pytest.approx(60.0, abs=0.001)


def test_slow_answers_are_degraded_not_down() -> None:
    made = figures(trial(client(slow=[(10, 20)], slo_s=0.05)))["orders"]
    assert made.downtime["degraded"] == pytest.approx(10, abs=0.05)
    assert made.downtime["down"] == 0
    assert made.outages == ()


def test_availability_counts_what_could_not_be_judged_both_ways() -> None:
    exact = figures(trial(client(down=[(10, 16)])))["orders"].availability
    assert exact.point == exact.low == exact.high == pytest.approx(0.9, abs=0.001)
    doubtful = figures(trial(client(down=[(10, 16)], tainted=[(20, 20.5)])))["orders"].availability
    assert doubtful.low is not None
    assert doubtful.high is not None
    assert doubtful.point is not None
    assert doubtful.low < doubtful.point < doubtful.high
    assert doubtful.high - doubtful.low == pytest.approx(0.5 / 60, rel=0.05)


def test_latency_quantiles_are_exact() -> None:
    samples = client(slow=[(0, 6)])
    made = client_figures(trial(samples), samples)
    inside = samples.t_intended >= samples.t_intended[0] + 31 * 10**9
    taken = np.sort((samples.t_end - samples.t_intended)[inside & samples.ok]) / 1e9
    assert made.latency["p50"] == taken[int(np.ceil(0.5 * len(taken))) - 1]
    assert made.latency["p99"] == taken[int(np.ceil(0.99 * len(taken))) - 1]
    assert made.latency["max"] == taken[-1]


def test_the_baseline_is_told_apart() -> None:
    made = figures(trial(client(down=[(10, 20)])))["orders"]
    assert made.baseline == {"success": 1.0, "p95": 0.002, "operations": 3000.0}


def test_pooled_clients_are_compared_with_fresh_ones_at_the_same_endpoint() -> None:
    fresh = client(down=[(FAULT_S, 7)])
    pooled = client("pool", client_class="pooled", down=[(FAULT_S, 12)])
    elsewhere = client("other", client_class="pooled", target="read", down=[(FAULT_S, 12)])
    made = figures(trial(fresh, pooled, elsewhere))
    reconnect = made["pool"].reconnect
    assert reconnect is not None
    assert reconnect.point == pytest.approx(5.0, abs=0.03)
    assert reconnect.low is not None
    assert reconnect.high is not None
    assert reconnect.low <= 5.0 <= reconnect.high
    assert made["orders"].reconnect is None
    assert made["other"].reconnect is not None
    assert not made["other"].reconnect.valid


def test_a_pool_that_never_comes_back_is_more_than_so_much_slower() -> None:
    made = figures(
        trial(
            client(down=[(FAULT_S, 7)]),
            client("pool", client_class="pooled", down=[(FAULT_S, 99)]),
            faults=[fault(healed_s=None)],
        )
    )
    reconnect = made["pool"].reconnect
    assert reconnect is not None
    assert reconnect.censored
    assert reconnect.point is None
    assert reconnect.low is not None
    assert reconnect.low > 52


def test_no_outage_is_never_zero() -> None:
    rto = figures(trial(client(probes=4)))["orders"].rto
    assert rto.point is None
    assert rto.low == 0
    assert rto.high == pytest.approx(0.027), "d, and the 2 ms in which an attempt met the service"
    assert rto.text == "none seen, or shorter than 27 ms"


def test_no_outage_claims_no_more_than_the_longest_gap_between_attempts() -> None:
    rto = figures(trial(client(tainted=[(10, 10.3)])))["orders"].rto
    assert rto.high == pytest.approx(0.31, abs=0.011)


def test_a_client_without_a_single_attempt_is_invalid() -> None:
    made = figures(trial(client(until_s=-31)))["orders"]
    assert made.operations == 0
    assert not made.rto.valid
    assert not made.availability.valid
    assert made.latency["p50"] is None
