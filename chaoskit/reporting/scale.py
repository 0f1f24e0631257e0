"""Axes: linear and logarithmic scales with round ticks. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

_TIME_STEPS_S = (
    1e-6,
    2e-6,
    5e-6,
    1e-5,
    2e-5,
    5e-5,
    1e-4,
    2e-4,
    5e-4,
    1e-3,
    2e-3,
    5e-3,
    0.01,
    0.02,
    0.05,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    15,
    30,
    60,
    120,
    300,
    600,
    900,
    1800,
    3600,
    7200,
    14400,
    21600,
    43200,
    86400,
)


def nice_step(span: float, about: int) -> float:
    """The round step of 1, 2 or 5 times a power of ten that splits `span` into at most about `about` parts."""
    if not math.isfinite(span) or span <= 0 or about < 1:
        return 1.0
    raw = span / about
    power = 10.0 ** math.floor(math.log10(raw))
    for factor in (1, 2, 5, 10):
        if raw <= factor * power * (1 + 1e-9):
            return factor * power
    return 10 * power


def nice_time_step(span_s: float, about: int) -> float:
    """Like `nice_step` for seconds: above a minute it follows the clock (15 s, 1 min, 5 min ...)."""
    if not math.isfinite(span_s) or span_s <= 0 or about < 1:
        return 1.0
    for step in _TIME_STEPS_S:
        if span_s / step <= about * (1 + 1e-9):
            return step
    return nice_step(span_s / 86400, about) * 86400


def multiples(low: float, high: float, step: float) -> tuple[float, ...]:
    """Multiples of `step` within [low, high], without the noise of repeated addition."""
    if step <= 0 or high < low or not math.isfinite(high - low):
        return ()
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, 3 - math.floor(math.log10(step)))
    return tuple(round(i * step, digits) + 0.0 for i in range(first, last + 1))


@dataclass(frozen=True)
class Linear:
    """Maps [low, high] onto [0, extent]."""

    low: float
    high: float
    extent: float = 100.0

    def __call__(self, value: float) -> float:
        """The place of `value`, clamped to the axis."""
        if self.high <= self.low:
            return 0.0
        share = (value - self.low) / (self.high - self.low)
        return min(1.0, max(0.0, share)) * self.extent

    def ticks(self, about: int = 8) -> tuple[float, ...]:
        return multiples(self.low, self.high, nice_step(self.high - self.low, about))

    def time_ticks(self, about: int = 8) -> tuple[float, ...]:
        return multiples(self.low, self.high, nice_time_step(self.high - self.low, about))


@dataclass(frozen=True)
class Log:
    """Maps [low, high], both above 0, onto [0, extent] by their logarithm; values at or below 0 lie at the low end."""

    low: float
    high: float
    extent: float = 100.0

    def __call__(self, value: float) -> float:
        if value <= self.low or self.high <= self.low:
            return 0.0
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return min(1.0, share) * self.extent

    def ticks(self, about: int = 6) -> tuple[float, ...]:
        """Powers of ten; with 2 and 5 between them where there is room, every second or third where there is none."""
        if self.low <= 0 or self.high <= self.low:
            return ()
        first, last = math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9)
        decades = last - first + 1
        if decades * 3 <= about or decades < 2:
            every: tuple[float, ...] = tuple(factor * 10.0**power for power in range(first - 1, last + 2) for factor in (1, 2, 5))
        else:
            every = tuple(10.0**power for power in range(first, last + 1, max(1, math.ceil(decades / about))))
        return tuple(float(f"{t:.6g}") for t in every if self.low * (1 - 1e-9) <= t <= self.high * (1 + 1e-9))


def log_floor(value: float) -> float:
    """The largest 1, 2 or 5 times a power of ten that is not above `value` (> 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (5, 2):
        if value >= factor * power * (1 - 1e-9):
            return float(f"{factor * power:.6g}")
    return float(f"{power:.6g}")


def log_ceiling(value: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not below `value` (> 0)."""
    power = 10.0 ** math.floor(math.log10(value))
    for factor in (1, 2, 5):
        if value <= factor * power * (1 + 1e-9):
            return float(f"{factor * power:.6g}")
    return float(f"{10 * power:.6g}")
