"""How delays scatter: tables of an inverse distribution, as sch_netem takes them. Pure, standard library only."""

from __future__ import annotations

from collections.abc import Callable
from statistics import NormalDist

SCALE = 8192
"""So much in a table is one jitter (NETEM_DIST_SCALE)."""
_ENTRIES = 4096
_LIMIT = 32767  # entries are 16 bits wide: nothing lies more than four jitters beside the mean
_PARETO_SHAPE = 3.0


def table(distribution: str) -> list[int]:
    """The distances from the mean that are equally likely, in jitters times SCALE, sorted; empty: uniform, which needs none."""
    if distribution == "uniform":
        return []
    draw = {"normal": NormalDist().inv_cdf, "pareto": _pareto}[distribution]
    return [_entry(draw, (number + 0.5) / _ENTRIES) for number in range(_ENTRIES)]


def _entry(draw: Callable[[float], float], chance: float) -> int:
    return max(-_LIMIT, min(_LIMIT, round(draw(chance) * SCALE)))


def _pareto(chance: float) -> float:
    """Shape 3, moved and scaled to mean 0 and standard deviation 1."""
    shape = _PARETO_SHAPE
    mean, variance = shape / (shape - 1), shape / ((shape - 1) ** 2 * (shape - 2))
    return float(((1 - chance) ** (-1 / shape) - mean) / variance**0.5)
