"""Outages are found where they are, and the bounds always cover the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chaoskit.measures.outages import (
    Evidence,
    began_before,
    error_class,
    evidence,
    is_down,
    longest_gap_ns,
    outage_spans,
    span_after,
)
from tests.depth import examples
from tests.measures.recorded import client, ns

S = 5_000_000_000
D = 100_000_000


def seen(text: str, step_ns: int = 10) -> Evidence:
    """Attempts every `step_ns`: "." ok, "x" failed, " " no evidence. Times start at 0."""
    at = np.array([i * step_ns for i, c in enumerate(text) if c != " "], dtype=np.int64)
    ok = np.array([c == "." for c in text if c != " "], dtype=bool)
    outcome = np.where(ok, "ok", "timeout")
    return Evidence(sent=at, ended=at + 1, decided=at + 1, ok=ok, outcome=outcome, intended=at)


def edges(text: str, window: int) -> list[tuple[int | None, int, int, int | None]]:
    """(L, F, K, R) of every outage, as places in the text."""
    return [
        (
            None if s.last_ok_before is None else s.last_ok_before // 10,
            s.first_failed // 10,
            s.last_failed // 10,
            None if s.first_ok_after is None else s.first_ok_after // 10,
        )
        for s in outage_spans(seen(text), window * 10, 0)
    ]


@pytest.mark.parametrize(
    ("text", "window", "expected"),
    [
        ("......", 2, []),
        ("", 2, []),
        ("..xx....", 2, [(1, 2, 3, 4)]),
        ("..xx..x....", 3, [(1, 2, 6, 7)]),  # back for 2 of 3: not sustained, one outage
        ("..xx....x....", 2, [(1, 2, 3, 4), (7, 8, 8, 9)]),  # sustained: two outages
        ("..xx..x....", 2, [(1, 2, 6, 7)]),  # [s_R, s_R + S] is closed: a failure at its very end still counts
        ("..xx...x....", 2, [(1, 2, 3, 4), (6, 7, 7, 8)]),
        ("..xxx", 2, [(1, 2, 4, None)]),  # never back
        ("..xx..", 3, [(1, 2, 3, None)]),  # back, but not watched for S
        ("xx.....", 2, [(None, 0, 1, 2)]),  # down from the start
        (".. x ....", 2, [(1, 3, 3, 5)]),  # gaps in the evidence widen the bounds
        ("xxxx", 2, [(None, 0, 3, None)]),
    ],
)
def test_edges(text: str, window: int, expected: list[tuple[int | None, int, int, int | None]]) -> None:
    assert edges(text, window) == expected


def test_point_and_bounds_are_those_of_the_specification() -> None:
    (span,) = outage_spans(seen("..xxx....."), 20, 0)
    assert (span.sent_low_ns, span.point_ns, span.sent_high_ns) == (20, 30.0, 40)
    assert (span.low_ns, span.high_ns) == (19, 41), "each attempt met the service within the 1 that it took"
    assert span.first_ok_ended == 51
    assert span.errors == (("timeout", 3),)


def test_tainted_and_unsent_attempts_are_no_evidence() -> None:
    samples = client(down=[(2.0, 4.0)], tainted=[(1.9, 2.1)], not_sent=[(3.95, 4.05)])
    (span,) = outage_spans(evidence(samples), S, D)
    assert span.last_ok_before is not None
    assert span.last_ok_before <= ns(1.9)
    assert span.first_failed >= ns(2.1)
    assert span.last_failed < ns(3.95)
    assert span.first_ok_after is not None
    assert span.first_ok_after >= ns(4.05)


def test_a_stall_of_the_prober_alone_is_no_outage() -> None:
    assert outage_spans(evidence(client(down=[(2.0, 2.4)], tainted=[(2.0, 2.4)])), S, D) == ()


def test_a_correct_answer_after_the_deadline_is_a_timeout() -> None:
    assert error_class("ok") == "timeout"
    assert error_class("degraded") == "timeout"
    assert error_class("refused") == "refused"


def test_the_first_outage_that_was_not_over_when_the_fault_began() -> None:
    samples = client(down=[(-20, -19), (3, 8), (30, 31)])
    spans = outage_spans(evidence(samples), S, D)
    assert len(spans) == 3
    assert span_after(spans, ns(2)) == spans[1]
    assert span_after(spans, ns(50)) is None
    assert not began_before(spans[1], ns(2), samples.deadline_ns)
    assert began_before(spans[1], ns(4), samples.deadline_ns)
    assert not began_before(spans[1], ns(3.1), samples.deadline_ns), "an attempt under way when the fault began is its doing"


@pytest.mark.parametrize(("text", "down"), [("..x...", False), ("..xx..", True), ("..x.x.x.x..", True)])
def test_debounced_state(text: str, down: bool) -> None:
    (span,) = outage_spans(seen(text), 30, 30)
    assert is_down(span, deadline_ns=20) is down


def test_the_longest_time_without_an_ok_send() -> None:
    assert longest_gap_ns(seen("....   ...."), 0, 100) == 41, "from an ok send to the next ok answer"
    assert longest_gap_ns(seen("...."), 0, 100) == 70, "what follows the last attempt is not proven either"
    assert longest_gap_ns(seen(""), 0, 100) == 100


# -- properties: a service with exactly known down intervals -----------------------------------------------------------


@st.composite
def downtimes(draw: st.DrawFn) -> list[tuple[float, float]]:
    """Up to four outages of 1 ms to 8 s, with pauses of 1 ms to 12 s between them."""
    spans, at = [], draw(st.floats(0.5, 5))
    for _ in range(draw(st.integers(1, 4))):
        end = at + draw(st.floats(0.001, 8))
        spans.append((at, end))
        at = end + draw(st.floats(0.001, 12))
    return [(a, b) for a, b in spans if b < 50]


def merged(spans: list[tuple[float, float]], window_s: float, spacing_s: float) -> list[tuple[float, float]]:
    """The truth under the rule: outages with less than S of service between them are one. Undecidable ones are not asked for."""
    out: list[tuple[float, float]] = []
    for begin, end in spans:
        assume(end - begin > 2 * spacing_s)
        if out:
            assume(abs(begin - out[-1][1] - window_s) > 2 * spacing_s)
        if out and begin - out[-1][1] < window_s:
            out[-1] = (out[-1][0], end)
        else:
            out.append((begin, end))
    return out


@settings(max_examples=examples(150), deadline=None)
@given(spans=downtimes(), probes=st.sampled_from([1, 4, 10]), phase=st.floats(0, 0.099))
def test_bounds_cover_the_truth_and_the_point_is_within_one_spacing(
    spans: list[tuple[float, float]], probes: int, phase: float
) -> None:
    spacing = 0.1 / probes
    truth = merged(spans, 5.0, spacing)
    samples = client(down=spans, probes=probes, from_s=-6 + phase, until_s=60)
    found = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
    assert len(found) == len(truth)
    for span, (begin, end) in zip(found, truth, strict=True):
        duration = end - begin
        assert span.last_ok_before is not None
        assert span.last_ok_before <= ns(begin) <= span.first_failed
        assert span.last_failed <= ns(end)
        assert span.first_ok_after is not None
        assert span.first_ok_after >= ns(end) - 1
        assert span.high_ns is not None
        assert span.low_ns / 1e9 <= duration + 1e-8
        assert span.high_ns / 1e9 >= duration - 1e-8
        assert span.point_ns is not None
        assert abs(span.point_ns / 1e9 - duration) <= spacing + 1e-8


@st.composite
def attempts_on_their_way(draw: st.DrawFn, begin_ns: int, end_ns: int) -> Evidence:
    """Attempts that meet a service at any instant of the time they take, and are told about it later. Some are silent until W."""
    count, spacing = 400, 10_000_000
    chance = draw(st.randoms(use_true_random=False))
    longest = draw(st.sampled_from([100_000, 5_000_000, 60_000_000]))
    silent = draw(st.booleans())
    sent = np.arange(count, dtype=np.int64) * spacing
    met = sent + np.array([chance.randint(0, longest) for _ in range(count)])
    decided = met + np.array([chance.randint(0, longest) for _ in range(count)])
    ok = (met < begin_ns) | (met >= end_ns)
    decided = np.where(~ok & silent, sent + 200_000_000, decided)
    return Evidence(sent, decided + 1000, decided, ok, np.where(ok, "ok", "timeout" if silent else "refused"), sent)


@settings(max_examples=examples(300), deadline=None)
@given(begin=st.integers(500_000_000, 900_000_000), lasts=st.integers(1_000_000, 900_000_000), data=st.data())
def test_bounds_hold_what_the_service_itself_met_however_long_attempts_were_on_their_way(
    begin: int, lasts: int, data: st.DataObject
) -> None:
    found = data.draw(attempts_on_their_way(begin, begin + lasts))
    spans = outage_spans(found, 1_500_000_000, D)
    if not spans:
        assert lasts <= longest_gap_ns(found, int(found.sent[0]), int(found.sent[-1]))
        return
    (span,) = spans
    assert span.high_ns is not None
    assert span.up_by is not None
    assert span.up_from is not None
    assert span.up_from <= begin <= span.down_by
    assert span.down_until <= begin + lasts <= span.up_by
    assert span.low_ns <= lasts <= span.high_ns


def test_an_ok_attempt_that_waited_for_the_return_proves_nothing_about_the_time_before() -> None:
    """Down from 517 to 533 ms. Sent at 520 and answered at 536, well: it met the service when it was back."""
    at = np.arange(0, 2_600_000_000, 10_000_000, dtype=np.int64)
    ok = at != 530_000_000
    decided = at + np.where(at == 520_000_000, 16_000_000, 75)
    (span,) = outage_spans(Evidence(at, decided, decided, ok, np.where(ok, "ok", "refused"), at), 1_500_000_000, D)
    assert span.last_ok_before == 520_000_000
    assert span.up_from == 510_000_000
    assert (span.high_ns or 0) >= 16_000_000


def test_a_silent_attempt_does_not_say_when_it_met_the_service() -> None:
    """Sent at 500 ms, on its way until 555, given up at 700; the service was down from 552 to 575, which no other attempt met."""
    at = np.arange(0, 2_600_000_000, 10_000_000, dtype=np.int64)
    at = at[~np.isin(at, (560_000_000, 570_000_000))]
    ok = at != 500_000_000
    decided = at + np.where(ok, 100_000, 200_000_000)
    (span,) = outage_spans(Evidence(at, decided, decided, ok, np.where(ok, "ok", "timeout"), at), 1_500_000_000, D)
    assert span.first_ok_after == 510_000_000
    assert (span.up_by or 0) >= 575_000_000
    assert span.high_ns == 580_100_000 - 550_000_000


def test_bounds_of_send_instants_alone_would_have_missed_a_service_that_was_reached_late() -> None:
    """Sent at 0, 20, 40, ... ms; the service was down from 39 to 100 ms, and the attempt of 20 ms reached it only at 39."""
    at = np.arange(0, 400_000_000, 20_000_000, dtype=np.int64)
    met = at + np.where(at == 20_000_000, 19_000_000, 0)
    ok = (met < 39_000_000) | (met >= 100_000_000)
    (span,) = outage_spans(Evidence(at, met + 1, met + 1, ok, np.where(ok, "ok", "refused"), at), 200_000_000, D)
    assert span.sent_low_ns == 60_000_000
    assert span.low_ns < 61_000_000 <= (span.high_ns or 0)
    assert span.low_ns == pytest.approx(80_000_000 - 39_000_000, abs=10), "it may have broken only when it was reached"


@settings(max_examples=examples(60), deadline=None)
@given(begin=st.floats(0.5, 5), lasts=st.floats(0.3, 8), jitter=st.floats(0, 0.004))
def test_lateness_of_the_prober_widens_nothing_but_by_itself(begin: float, lasts: float, jitter: float) -> None:
    """Edges are send instants: a prober that is late by `jitter` still brackets the truth."""
    down = [(begin - jitter, begin - jitter + lasts)]  # the service, on the prober's own intended clock
    samples = client(down=down, from_s=-6, until_s=30, lateness_s=jitter)
    (span,) = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
    assert span.high_ns is not None
    assert span.low_ns <= lasts * 1e9 <= span.high_ns + 1
    assert span.last_ok_before is not None
    assert span.last_ok_before <= ns(begin) <= span.first_failed + 1


@settings(max_examples=examples(60), deadline=None)
@given(begin=st.floats(0.5, 5), lasts=st.floats(0.3, 8))
def test_half_the_attempts_failing_is_an_outage_whose_bounds_cover_the_truth(begin: float, lasts: float) -> None:
    """An ok attempt beside the edge proves nothing where ok and failed ones alternate."""
    samples = client(half_down=[(begin, begin + lasts)], from_s=-6, until_s=30)
    (span,) = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
    assert span.high_ns is not None
    assert span.low_ns <= lasts * 1e9 <= span.high_ns
    assert span.last_ok_before is not None
    assert span.last_ok_before <= ns(begin) <= span.first_failed
    assert span.sent_high_ns is not None
    assert span.sent_high_ns - span.sent_low_ns <= 4 * samples.spacing_ns + 1


@settings(max_examples=examples(60), deadline=None)
@given(begin=st.floats(0.5, 20))
def test_a_service_that_never_returns_has_no_upper_bound(begin: float) -> None:
    samples = client(down=[(begin, 99)], from_s=-6, until_s=30)
    (span,) = outage_spans(evidence(samples), samples.window_ns, samples.interval_ns)
    assert span.first_ok_after is None
    assert span.high_ns is None
    assert span.point_ns is None
    assert 0 <= span.low_ns <= (30 - begin) * 1e9


@settings(max_examples=examples(60), deadline=None)
@given(begin=st.floats(0.5, 5), lasts=st.floats(0.3, 8))
def test_slow_answers_within_the_deadline_are_no_outage(begin: float, lasts: float) -> None:
    samples = client(slow=[(begin, begin + lasts)], from_s=-6, until_s=30)
    assert outage_spans(evidence(samples), samples.window_ns, samples.interval_ns) == ()
