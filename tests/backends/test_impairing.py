"""What becomes of frames, by chance from a seed: shares, bursts, delays, the line's rate."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from chaoskit.backends.linux_host.impairing import Impairment, ShapeJson
from chaoskit.linux import distributions
from chaoskit.model.steps.shaping import MEDIANS

FRAMES = 40_000
MS = 1_000_000


def shape(**given: Any) -> ShapeJson:
    none: dict[str, Any] = dict.fromkeys(ShapeJson.__annotations__, 0)
    return ShapeJson(**{**none, "table": [], **given})  # type: ignore[typeddict-item]


def fates(seed: int = 1, size: int = 1000, every_ns: int = MS, **given: Any) -> list[list[int]]:
    made = Impairment(shape(**given), seed)
    return [[due - at * every_ns for due in made.fates(at * every_ns, size)] for at in range(FRAMES)]


def deviation(share: float) -> float:
    return (share * (1 - share) / FRAMES) ** 0.5


def test_nothing_asked_nothing_happens() -> None:
    assert fates() == [[0]] * FRAMES


def test_the_same_seed_decides_alike_and_another_does_not() -> None:
    assert fates(seed=7, loss_percent=30) == fates(seed=7, loss_percent=30)
    assert fates(seed=7, loss_percent=30) != fates(seed=8, loss_percent=30)


@pytest.mark.parametrize("percent", [1, 20, 90])
def test_random_loss_is_independent(percent: int) -> None:
    lost = [not f for f in fates(loss_percent=percent)]
    share = percent / 100
    assert abs(sum(lost) / FRAMES - share) < 5 * deviation(share)
    again = sum(a and b for a, b in pairwise(lost)) / sum(lost)
    assert abs(again - share) < 6 * (share * (1 - share) / sum(lost)) ** 0.5


@pytest.mark.parametrize(("percent", "mean"), [(5, 3), (20, 8), (50, 2)])
def test_bursts_have_the_asked_mean_and_share(percent: int, mean: int) -> None:
    lost = [not f for f in fates(loss_percent=percent, burst_frames=mean)]
    runs = sum(b and not a for a, b in pairwise([False, *lost]))
    assert sum(lost) / runs == pytest.approx(mean, rel=0.1)
    assert sum(lost) / FRAMES == pytest.approx(percent / 100, rel=0.12)


def test_everything_lost_is_everything() -> None:
    assert fates(loss_percent=100, burst_frames=5) == [[]] * FRAMES


def test_duplicates_are_two_of_one() -> None:
    copies = [len(f) for f in fates(duplicate_percent=10)]
    assert set(copies) == {1, 2}
    assert abs(copies.count(2) / FRAMES - 0.1) < 5 * deviation(0.1)


def test_reordered_frames_skip_the_delay() -> None:
    held = [f[0] for f in fates(delay_s=0.01, reorder_percent=25)]
    assert set(held) == {0, 10 * MS}
    assert abs(held.count(0) / FRAMES - 0.25) < 5 * deviation(0.25)


def test_uniform_jitter_fills_its_range_and_no_more() -> None:
    held = sorted(f[0] for f in fates(delay_s=0.05, jitter_s=0.01))
    assert 40 * MS <= held[0] < 40.1 * MS
    assert 59.9 * MS < held[-1] <= 60 * MS
    assert held[FRAMES // 4] == pytest.approx(45 * MS, abs=0.3 * MS)


@pytest.mark.parametrize("name", ["normal", "pareto"])
def test_other_jitters_follow_their_table(name: str) -> None:
    held = sorted(f[0] for f in fates(delay_s=0.05, jitter_s=0.01, table=distributions.table(name)))
    assert held[FRAMES // 2] == pytest.approx((50 + 10 * MEDIANS[name]) * MS, abs=0.4 * MS)
    assert held[-1] <= 90 * MS
    if name == "pareto":
        assert held[0] > 44 * MS, "a Pareto delay has a floor"
        assert held[int(FRAMES * 0.99)] > 75 * MS, "and a long tail"


def test_no_frame_leaves_before_it_came() -> None:
    assert min(f[0] for f in fates(delay_s=0.001, jitter_s=0.01, table=distributions.table("normal"))) == 0


def test_a_line_sends_one_frame_after_the_other() -> None:
    made = Impairment(shape(rate_bits_per_s=8_000_000, queue_bytes=10_000), 1)  # a byte a microsecond
    burst = [made.fates(0, 1000) for _ in range(12)]
    assert burst == [[(n + 1) * MS] for n in range(10)] + [[], []], "what the queue cannot hold is lost"
    assert made.fates(5 * MS, 1000) == [[11 * MS]][0], "half of the queue has left"
    assert made.fates(100 * MS, 1000) == [101 * MS], "an idle line starts at once"


def test_the_delay_comes_after_the_line() -> None:
    made = Impairment(shape(rate_bits_per_s=8_000_000, delay_s=0.02), 1)
    assert made.fates(0, 1000) == [21 * MS]


def test_corruption_has_its_share() -> None:
    made = Impairment(shape(corrupt_percent=5), 1)
    assert abs(sum(made.is_corrupted() for _ in range(FRAMES)) / FRAMES - 0.05) < 5 * deviation(0.05)
    assert not Impairment(shape(), 1).is_corrupted()
