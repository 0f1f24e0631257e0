"""How clients with a policy behaved: trials written by hand, whose every attempt is known."""

from __future__ import annotations

import numpy as np
import pytest

from chaoskit.engine.measuring import measured_trial
from chaoskit.measures.availability import Availability
from chaoskit.measures.behaviour import Behaviour, behaviour_figures
from chaoskit.measures.behaviour_objectives import (
    AbandonedObjective,
    AmplificationObjective,
    NoticedObjective,
    PeakAmplificationObjective,
    WorstLatencyObjective,
)
from chaoskit.measures.objectives import RtoObjective
from chaoskit.measures.rpo import Rpo
from chaoskit.model.experiment import ClientSpec
from chaoskit.model.figures import BehaviourFigures
from chaoskit.model.recorded import ClientSamples, TrialRecord
from tests.measures.recorded import acknowledged, client, fault, final_read, ns, trial, with_policy

ONCE: dict = {}
FIXED = {"retry": "fixed", "wait": "500ms", "attempts": 11}
HASTY = {"retry": "fixed", "wait": "10ms", "attempts": 5}
DOWN = [(2.0, 4.0)]


def users(policy: dict, waits: list[float], *, down=DOWN, name: str = "users", **more) -> ClientSamples:
    plain = client(name, operation=more.pop("operation", "read"), down=down, refusals=more.pop("refusals", True), **more)
    return with_policy(plain, policy, waits)


def figures(samples: ClientSamples, **more) -> BehaviourFigures:
    record = trial(samples, client(), **more)
    assert samples.policy is not None
    assert samples.attempts is not None
    return behaviour_figures(record, samples, samples.policy, samples.attempts)


def test_who_does_not_try_again_gives_up_each_request_and_adds_no_load():
    found = figures(users(ONCE, []))
    assert (found.policy, found.attempts, found.requests, found.most_attempts) == ("no retry", 6000, 6000, 1)
    assert found.amplification.point == 1
    assert found.peak_amplification.point == pytest.approx(1, abs=0.02)
    assert (found.abandoned.point, found.abandoned.low, found.abandoned.high) == (200, 200, 200)
    assert found.noticed.point == 1
    assert found.worst_latency.point == pytest.approx(0.002)
    assert found.errors == {"refused": 200}
    assert found.abandoned.valid


def test_fixed_waits_bring_everybody_through_late():
    found = figures(users(FIXED, [0.5] * 10))
    assert found.abandoned.point == 0
    assert found.abandoned.text == "none of 6000 requests"
    # who comes first, at 2.000 s, meets refusals at 2.0, 2.502, 3.004, 3.506 and is served at 4.008
    assert found.worst_latency.point == pytest.approx(2.01, abs=0.011)
    assert found.most_attempts == 5
    by_hand = [1 + np.ceil((4.0 - t) / 0.502) for t in np.arange(2.0, 4.0, 0.01)]
    assert found.amplification.point == pytest.approx(np.mean(by_hand), abs=0.05)
    assert 2.5 < found.peak_amplification.point < 4.1
    assert found.noticed.point == pytest.approx(np.mean(np.array(by_hand) > 2), abs=0.01), "two waits are more than a second"
    assert found.notice_s == 1.0


def test_hasty_retries_are_a_peak_and_help_nobody():
    found = figures(users(HASTY, [0.01] * 4))
    assert found.peak_amplification.point == pytest.approx(5, abs=0.2)
    assert found.amplification.point == pytest.approx(5, abs=0.1)
    assert found.abandoned.point == pytest.approx(196, abs=1)
    assert found.worst_latency.point == pytest.approx(5 * 0.002 + 4 * 0.01, abs=1e-6)
    storm = [b for b in found.bins if 2 <= b.from_s < 4]
    assert [b.requests for b in storm] == [100, 100]
    assert all(b.errors["refused"] >= 480 for b in storm)
    assert all(b.errors == {} and b.attempts == b.requests for b in found.bins if not 1 < b.from_s < 5)


def test_first_error_and_reconnect_have_bounds():
    found = figures(users(FIXED, [0.5] * 10))
    first, back = found.first_error, found.time_to_reconnect
    assert first.point is not None
    assert first.low is not None
    assert first.high is not None
    # the fault began at 2.000, was injected at 2.020; the first failed attempt, sent at 2.000, ended at 2.002
    assert (first.low, first.high) == (0.0, pytest.approx(0.002, abs=1e-6))
    assert (found.reconnects.point, found.reconnects.text) == (1, "1")
    assert back.point == pytest.approx(2.0, abs=0.012)
    assert back.low is not None
    assert back.high is not None
    assert back.low <= back.point <= back.high


def test_who_never_gets_back_is_censored():
    found = figures(users(FIXED, [0.5] * 10, down=[(50, 99)]), faults=[fault(49.5, None)])
    assert found.time_to_reconnect.censored
    assert found.time_to_reconnect.high is None
    assert (found.reconnects.point, found.reconnects.text) == (0, "0, and not back at the end")


def test_nothing_failed_says_so_and_never_zero_seconds():
    found = figures(users(FIXED, [0.5] * 10, down=()))
    assert (found.first_error.point, found.first_error.text) == (None, "no attempt failed")
    assert (found.time_to_reconnect.point, found.time_to_reconnect.text) == (None, "no attempt failed")
    assert found.amplification.point == 1
    assert (found.noticed.point, found.abandoned.point) == (0, 0)


def test_an_slo_says_what_is_noticed():
    found = figures(users(FIXED, [0.5] * 10, slo_s=0.1))
    assert found.notice_s == pytest.approx(0.1)
    assert found.noticed.point == pytest.approx(1, abs=0.01)


def test_what_was_not_sent_makes_doubtful_what_it_would_have_met():
    found = figures(users(FIXED, [0.5] * 10, not_sent=[(10.0, 10.1)]))
    assert found.not_sent == 10
    assert (found.abandoned.low, found.abandoned.high) == (0, 10)
    assert not found.worst_latency.valid
    assert not found.amplification.valid
    assert "10 requests were not sent" in " ".join(found.worst_latency.reasons)


def test_a_fault_that_was_not_verified_leaves_nothing_valid():
    found = figures(users(FIXED, [0.5] * 10), faults=[fault(verified=False)])
    assert not any(f.valid for f in (found.amplification, found.abandoned, found.worst_latency, found.noticed))


def measured(*clients: ClientSamples, **more):
    return measured_trial(trial(*clients, **more), [Behaviour(), Availability(), Rpo()])


def test_only_clients_with_a_policy_are_told_of_and_they_never_stand_for_the_rto():
    found = measured(client(down=DOWN), users(FIXED, [0.5] * 10))
    assert list(found.behaviour) == ["users"]
    (judged,) = RtoObjective().judge("<= 1s", found)
    assert (judged.subject, judged.met) == ("orders", False)
    assert found.clients["users"].rto.point is None, "it hid the outage"
    assert found.clients["users"].policy == "fixed 500ms, 11 attempts"


@pytest.mark.parametrize(
    ("objective", "limit", "met"),
    [
        (AmplificationObjective(), 2, False),
        (AmplificationObjective(), {"users": 4}, True),
        (PeakAmplificationObjective(), "<= 5", True),
        (AbandonedObjective(), 0, True),
        (WorstLatencyObjective(), "2s", False),
        (WorstLatencyObjective(), "3s", True),
        (NoticedObjective(), "80%", True),
        (NoticedObjective(), "10%", False),
    ],
)
def test_objectives(objective, limit, met):
    objective.check(limit, ["users", "orders"])
    (found,) = objective.judge(limit, measured(client(down=DOWN), users(FIXED, [0.5] * 10)))
    assert (found.subject, found.met) == ("users", met), found


def test_without_a_policy_there_is_nothing_to_judge():
    (found,) = AbandonedObjective().judge(0, measured(client(down=DOWN)))
    assert found.met is None
    spec = ClientSpec.model_validate({"type": "http", "operation": "get", "rate": "5/s"})
    assert AbandonedObjective().unfit(spec) == "this client has no policy, so its behaviour is not measured"
    with pytest.raises(ValueError, match="no client of this experiment"):
        AbandonedObjective().check({"nobody": 0}, ["users"])


@pytest.mark.parametrize(("policy", "refused"), [(None, False), ({}, False), (FIXED, True), (FIXED | {"judge_rto": True}, False)])
def test_an_rto_of_a_client_that_tries_again_is_refused_unless_said_otherwise(policy, refused):
    given = {"type": "http", "operation": "get", "rate": "5/s"} | ({} if policy is None else {"policy": policy})
    assert bool(RtoObjective().unfit(ClientSpec.model_validate(given))) is refused


def test_a_retry_of_a_write_that_had_taken_effect_is_a_duplicate_and_no_loss():
    samples = users(FIXED, [0.5] * 10, operation="append", refusals=False, name="writers")
    assert set(samples.certainty.tolist()) == {"ok"}, "unsure at first, acknowledged in the end"
    tried = [t for t, d in zip(samples.token.tolist(), samples.t_intended.tolist(), strict=True) if ns(2) <= d < ns(2.1)]
    found = measured(samples, read_backs=[final_read(samples, copies=dict.fromkeys(tried, 2))])
    assert found.rpo is not None
    assert (found.rpo.duplicated, found.rpo.lost.point, found.rpo.phantom, found.rpo.defects) == (10, 0, 0, ())
    assert found.rpo.acknowledged == len(acknowledged(samples))


def test_a_write_that_was_given_up_unsure_may_be_found_and_one_surely_refused_may_not():
    unsure = users(HASTY, [0.01] * 4, operation="append", refusals=False, name="writers")
    lost = [str(t) for t in unsure.token[unsure.certainty == "info"]]
    assert len(lost) > 100
    found = measured(unsure, read_backs=[final_read(unsure, copies={lost[0]: 1})]).rpo
    assert found is not None
    assert (found.recovered, found.defects) == (1, ())
    sure = users(HASTY, [0.01] * 4, operation="append", name="writers")
    refused = [str(t) for t in sure.token[sure.certainty == "fail"]]
    found = measured(sure, read_backs=[final_read(sure, copies={refused[0]: 1})]).rpo
    assert found is not None
    assert found.recovered == 1
    assert found.defects, "refused each time and there all the same"


def test_the_same_record_gives_the_same_figures():
    def once() -> str:
        record: TrialRecord = trial(client(down=DOWN), users(FIXED, [0.5] * 10))
        return Behaviour().measure(record)["behaviour"]["users"].model_dump_json()

    assert once() == once()
