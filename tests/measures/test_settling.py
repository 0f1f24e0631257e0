"""Whether service settled: the debounced state against a state machine written out, and shares whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from chaoskit.measures.flapping import flapping_figures
from chaoskit.measures.settling import nagios_shares, settling, stability, transitions
from tests.depth import examples
from tests.measures.recorded import FAULT_S, Spans, client, leaders, ns, trial

FAULT_NS = ns(FAULT_S)


def downs(ok: list[bool], at: list[int], window_ns: int, deadline_ns: int) -> list[tuple[int, int | None]]:
    """DOWN intervals (first failure, return), in whole nanoseconds, by a machine that is told one attempt after the other."""
    found: list[tuple[int, int | None]] = []
    onset = up_since = None
    failing = longest = 0
    last = 0

    def close(back: int | None) -> None:
        if onset is not None and (longest >= 2 or last - onset >= 2 * deadline_ns):
            found.append((onset, back))

    for good, t in zip(ok, at, strict=True):
        if good:
            failing = 0
            up_since = t if up_since is None else up_since
            continue
        if onset is not None and up_since is not None and t - up_since > window_ns:
            close(up_since)
            onset, longest = None, 0
        up_since = None
        failing += 1
        longest = max(longest, failing)
        onset = t if onset is None else onset
        last = t
    close(up_since)
    return found


@settings(max_examples=examples(200), deadline=None)
@example(bursts=[(1.84375, 0.9375), (5.0, 1.0)], refusals=True)  # exactly the window between them
@example(bursts=[(1.0, 1.0), (0.03125, 0.0625)], refusals=False)  # an ok attempt between the last two failures
@given(
    bursts=st.lists(st.tuples(st.floats(0.01, 9), st.floats(0.0, 2.0)), min_size=0, max_size=7),
    refusals=st.booleans(),
)
def test_the_debounced_state_is_that_of_a_state_machine(bursts: list[tuple[float, float]], refusals: bool) -> None:
    down, at = [], FAULT_S
    for pause, length in bursts:
        down.append((at + pause, at + pause + length))
        at += pause + length
    samples = client(down=[s for s in down if s[1] < 50], refusals=refusals, probes=2, until_s=59.9)
    found = settling(samples, FAULT_NS).down
    expected = downs(samples.ok.tolist(), samples.t_send.tolist(), samples.window_ns, samples.deadline_ns)
    assert [s.first_failed for s in found] == [first for first, _ in expected]
    for span, (_, back) in zip(found, expected, strict=True):
        # beside a failure that an ok attempt parts from the others, the next ok one proves nothing: up to one interval later
        assert (back is None) == (span.first_ok_after is None)
        assert back is None or back <= (span.first_ok_after or 0) <= back + samples.interval_ns
    made = flapping_figures(trial(samples))
    assert made.flaps.point == max(len(expected) - 1, 0)
    if expected:
        unstable = made.unstable_time
        assert unstable.low is not None and unstable.point is not None and unstable.high is not None  # noqa: PT018
        assert unstable.low <= unstable.point <= unstable.high
        assert unstable.point == pytest.approx(((found[-1].first_ok_after or 0) - found[0].first_failed) / 1e9, abs=1e-6)


@settings(max_examples=examples(200), deadline=None)
@given(first=st.floats(0.3, 10), pause=st.floats(5.5, 15), second=st.floats(0.3, 10), probes=st.sampled_from([1, 2, 10]))
def test_stability_holds_the_true_share(first: float, pause: float, second: float, probes: int) -> None:
    begin = FAULT_S + 0.013
    samples = client(
        down=[(begin, begin + first), (begin + first + pause, begin + first + pause + second)], probes=probes, until_s=60
    )
    figure = stability(settling(samples, FAULT_NS))
    assert figure.low is not None and figure.point is not None and figure.high is not None  # noqa: PT018
    assert figure.low <= figure.point <= figure.high
    assert figure.low - 1e-9 <= first / (first + pause + second) <= figure.high + 1e-9


@pytest.mark.parametrize(
    ("down", "point", "low", "high"),
    [
        ([], None, None, None),
        ([(3, 8)], 1.0, 1.0, 1.0),
        ([(3, 3.009), (10, 14)], 1.0, 1.0, 1.0),  # one failed attempt is no outage
        ([(3, 8), (50, 99)], None, 0.0, 5.01 / 57.0),  # did not settle: only an upper bound
        ([(3, 99)], None, None, None),  # did not recover
    ],
)
def test_stability_at_its_edges(down: Spans, point: float | None, low: float | None, high: float | None) -> None:
    figure = flapping_figures(trial(client(down=down))).stability
    assert (figure.point, figure.low) == (point, low)
    assert figure.high == (None if high is None else pytest.approx(high, rel=1e-3))
    assert figure.valid == (high is not None)


def test_the_least_stable_client_counts() -> None:
    calm, wild = client("calm", down=[(3, 8)]), client("wild", down=[(3, 5), (20, 28)])
    figure = flapping_figures(trial(calm, wild)).stability
    assert figure.point == pytest.approx(2 / 25, rel=0.01)
    assert "wild" in figure.text


def test_a_failed_attempt_long_after_does_not_make_service_unstable() -> None:
    unstable = flapping_figures(trial(client(down=[(3, 8), (40, 40.009)]))).unstable_time
    assert unstable.point == pytest.approx(5, abs=0.02)


def test_raw_transitions_are_kept_with_their_brackets() -> None:
    samples = client(down=[(3, 4), (4.5, 4.505)], probes=2)
    found = transitions(trial(samples), samples, FAULT_NS)
    assert [(t.to, round(t.low_s, 3), round(t.high_s, 3)) for t in found] == [
        ("failed", 2.95, 3.0),
        ("ok", 3.95, 4.0),
        ("failed", 4.45, 4.5),
        ("ok", 4.5, 4.55),
    ]
    made = flapping_figures(trial(samples))
    assert made.transitions == found
    assert made.transition_counts == {"orders": 4}


def test_transitions_before_the_fault_are_not_its_own() -> None:
    samples = client(down=[(-5, -4), (3, 8)])
    assert [t.to for t in transitions(trial(samples), samples, FAULT_NS)] == ["failed", "ok"]


def test_of_a_thousand_and_more_transitions_the_count_is_kept() -> None:
    samples = client(half_down=[(3, 13)], probes=20)
    made = flapping_figures(trial(samples))
    assert len(made.transitions) == 1000
    assert made.transition_counts == {"orders": 2000}


@settings(max_examples=examples(200), deadline=None)
@given(states=st.lists(st.booleans(), min_size=21, max_size=80))
def test_the_nagios_score_is_nagios_own(states: list[bool]) -> None:
    expected = []
    for end in range(21, len(states) + 1):
        last = states[end - 21 : end]  # as Nagios has it: weight grows by 0.5/19 from 0.75 to 1.25, sum by 20
        changed = [(i - 1) * (1.25 - 0.75) / 19 + 0.75 for i in range(1, 21) if last[i] != last[i - 1]]
        expected.append(sum(changed) / 20)
    np.testing.assert_allclose(nagios_shares(np.array(states)), expected, atol=1e-12)


def test_the_nagios_score_of_known_courses() -> None:
    assert nagios_shares(np.array([True] * 40)).max() == 0
    assert nagios_shares(np.arange(40) % 2 == 0) == pytest.approx(1.0)
    assert len(nagios_shares(np.array([True] * 20))) == 0


def test_nagios_says_flapping_and_that_it_stopped() -> None:
    down = [(3 + 2 * i, 4 + 2 * i) for i in range(8)]
    score = flapping_figures(trial(client(down=down, probes=1))).nagios
    assert score is not None
    assert (score.starts, score.flapping_at_end, score.client) == (1, False, "orders")
    assert 20 <= score.flapping_s <= 36
    assert score.highest.point is not None
    assert score.highest.point > 0.7
    once = flapping_figures(trial(client(down=[(3, 8)]))).nagios
    assert once is not None
    assert (once.starts, once.flapping_s) == (0, 0.0)
    assert once.highest.point == pytest.approx((1.25 + 1.25 - 5 * 0.5 / 19) / 20)


def test_nagios_without_enough_samples_is_unknown() -> None:
    short = client(from_s=-8, until_s=10)
    score = flapping_figures(replace(trial(short), ended_ns=ns(10))).nagios
    assert score is not None
    assert not score.highest.valid
    assert score.highest.point is None


@pytest.mark.parametrize(
    ("held_s", "nobody_s", "expected"),
    [(20, 0, 1), (59, 0, 1), (61, 0, 0), (30, 40, 1)],  # a time with nobody does not lengthen B's own
)
def test_ping_pong_counts_the_time_that_the_other_led(held_s: float, nobody_s: float, expected: int) -> None:
    until_s = 200.0
    back = 5 + held_s + nobody_s
    roles = leaders(db1=[(-999, 5), (back, 999)], db2=[(5, 5 + held_s)], until_s=until_s)
    record = trial(client(from_s=-31, until_s=until_s), roles=roles)
    assert flapping_figures(replace(record, ended_ns=ns(until_s))).ping_pong == expected
