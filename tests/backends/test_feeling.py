"""What arrivals of probe frames say, and what a felt dose is judged to be."""

from __future__ import annotations

import pytest

from chaoskit.backends.linux_host.feeling import Arrival, figure
from chaoskit.model.facts import LinkQuery
from chaoskit.model.facts.shaping import Aspect

MS = 1_000_000


def arrival(number: int, at_ns: int, sent_ns: int = 0, size: int = 46) -> Arrival:
    return Arrival(number, sent_ns, at_ns, size)


IN_ORDER = [arrival(n, n * MS + 50_000, n * MS) for n in range(100)]


@pytest.mark.parametrize("aspect", ["loss", "burst", "duplicate", "reorder", "corrupt"])
def test_a_perfect_link_has_no_dose(aspect: str) -> None:
    assert figure(aspect, 100, IN_ORDER) == 0


def test_the_delay_is_the_median_and_needs_half_of_the_frames() -> None:
    assert figure("delay", 100, IN_ORDER) == pytest.approx(50e-6)
    assert figure("delay", 100, IN_ORDER[:50]) is None
    assert figure("delay", 100, []) is None


def test_loss_counts_what_never_came_and_not_what_came_spoilt() -> None:
    some = [a for a in IN_ORDER if a.number % 10]
    assert figure("loss", 100, some) == 10
    assert figure("loss", 100, [*some, arrival(-1, 0), arrival(-1, 0)]) == 8
    assert figure("corrupt", 100, [*some, arrival(-1, 0), arrival(-1, 0)]) == 2
    assert figure("loss", 100, []) == 100


def test_bursts_are_runs_of_missing_numbers() -> None:
    gone = {0, 1, 2, 50, 99}
    assert figure("burst", 100, [a for a in IN_ORDER if a.number not in gone]) == pytest.approx(5 / 3)


def test_doubles_do_not_hide_losses() -> None:
    assert figure("duplicate", 100, [*IN_ORDER, *IN_ORDER[:7]]) == 7
    assert figure("loss", 100, [*IN_ORDER[:90], *IN_ORDER[:10]]) == 10


def test_an_overtaker_comes_before_one_sent_earlier() -> None:
    order = [0, 3, 1, 2, 5, 4, 6]
    assert figure("reorder", 7, [arrival(n, at) for at, n in enumerate(order)]) == pytest.approx(100 * 2 / 7)


def test_rate_counts_whole_frames_between_the_first_and_the_last() -> None:
    assert figure("rate", 3, [arrival(n, n * 10 * MS, size=986) for n in range(3)]) == pytest.approx(1000 * 8 * 2 / 0.02)
    assert figure("rate", 3, [arrival(0, 0)]) is None


def test_size_is_the_largest_that_came() -> None:
    assert figure("size", 4, [arrival(0, 0, size=46), arrival(2, 0, size=1400)]) == 1400


def judged(aspect: Aspect, expected: float, number: float | None, **given: float) -> str:
    return LinkQuery(source="a", destination="b", aspect=aspect, expected=expected, **given).judged(number)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("expected", "number", "verdict"),
    [
        (0.05, 0.0501, "as_asked"),
        (0.05, 0.0526, "other"),
        (0.05, 0.00002, "none"),
        (0.05, 0.01, "other"),
        (0.001, 0.0014, "as_asked"),
        (0.001, 0.0016, "other"),
        (0.001, 0.0001, "none"),
        (0.05, None, "other"),
    ],
)
def test_a_delay_is_as_asked_within_5_percent_or_half_a_millisecond(expected: float, number: float | None, verdict: str) -> None:
    assert judged("delay", expected, number, probes=40) == verdict


def test_jitter_lets_the_median_wander() -> None:
    assert judged("delay", 0.05, 0.055, probes=40) == "other"
    assert judged("delay", 0.05, 0.055, probes=40, jitter_s=0.02) == "as_asked"


@pytest.mark.parametrize(("number", "verdict"), [(20, "as_asked"), (24.9, "as_asked"), (26, "other"), (14, "other"), (0, "none")])
def test_a_share_is_judged_by_what_chance_allows(number: float, verdict: str) -> None:
    assert judged("loss", 20, number) == verdict


def test_losses_in_bursts_wander_further() -> None:
    assert judged("loss", 20, 30) == "other"
    assert judged("loss", 20, 30, burst_frames=5) == "as_asked"
    assert judged("loss", 20, 60, burst_frames=5) == "other"


@pytest.mark.parametrize(
    ("number", "verdict"), [(1.0, "other"), (4.4, "as_asked"), (5.2, "as_asked"), (12, "other"), (0, "none")]
)
def test_bursts_are_longer_than_chance_makes_them(number: float, verdict: str) -> None:
    assert judged("burst", 5, number, loss_percent=20) == verdict


@pytest.mark.parametrize(("number", "verdict"), [(1.05e6, "as_asked"), (0.6e6, "as_asked"), (1.2e6, "other"), (2e8, "none")])
def test_a_narrow_line_may_be_shared(number: float, verdict: str) -> None:
    assert judged("rate", 1e6, number) == verdict


@pytest.mark.parametrize(("number", "verdict"), [(1400, "as_asked"), (1500, "none"), (46, "other"), (None, "other")])
def test_a_black_hole_has_an_edge(number: float | None, verdict: str) -> None:
    assert judged("size", 1400, number) == verdict
