"""What clients with a policy sent over time: attempts, failed ones by class, against the requests that caused them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaoskit.model.figures import BehaviourBin, BehaviourFigures
from chaoskit.reporting.text import number

BOX_WIDTH, BOX_HEIGHT = 1000, 60
"""Paths lie in a box of this size that is stretched over the plot."""
OPACITIES = (1.0, 0.66, 0.4, 0.22)
_BLOCKS = "▁▂▃▄▅▆▇█"
SPARKS_MAX = 60


@dataclass(frozen=True, slots=True)
class Layer:
    """Failed attempts of one class, on top of those below it."""

    name: str
    total: int
    opacity: float
    d: str


@dataclass(frozen=True, slots=True)
class Storm:
    """One client's course; all of a trial share both scales."""

    client: str
    ok: str
    failed: tuple[Layer, ...]
    requests: str
    from_s: str
    until_s: str
    most: str
    """Attempts a second at the top of the box."""
    summary: str


def most_a_second(figures: BehaviourFigures) -> float:
    return max((max(b.attempts, b.requests) for b in figures.bins), default=0) / figures.bin_s


def _columns(bottoms: Sequence[float], heights: Sequence[float], scale: float) -> str:
    """Bars as one path; nothing where there is nothing."""
    width = BOX_WIDTH / max(len(heights), 1)
    parts = []
    for i, (bottom, height) in enumerate(zip(bottoms, heights, strict=True)):
        if height:
            left, y, h = i * width, BOX_HEIGHT - (bottom + height) * scale, height * scale
            parts.append(f"M{left:.1f} {y:.1f}h{width:.1f}v{h:.1f}h-{width:.1f}z")
    return "".join(parts)


def _line(heights: Sequence[float], scale: float) -> str:
    width = BOX_WIDTH / max(len(heights), 1)
    steps = [f"{BOX_HEIGHT - h * scale:.1f}H{(i + 1) * width:.1f}" for i, h in enumerate(heights)]
    return f"M0 {steps[0]}" + "".join(f"V{step}" for step in steps[1:]) if steps else ""


def storm(client: str, figures: BehaviourFigures, most: float) -> Storm | None:
    """None where nothing was recorded. `most`: attempts a second that fill the box."""
    bins = figures.bins
    if not bins or most <= 0:
        return None
    scale = BOX_HEIGHT / (most * figures.bin_s)
    words = sorted({w for b in bins for w in b.errors}, key=lambda w: (-sum(b.errors.get(w, 0) for b in bins), w))
    below = [float(b.attempts - sum(b.errors.values())) for b in bins]
    ok = _columns([0.0] * len(bins), below, scale)
    layers = []
    for place, word in enumerate(words):
        heights = [float(b.errors.get(word, 0)) for b in bins]
        opacity = OPACITIES[min(place, len(OPACITIES) - 1)]
        layers.append(Layer(word, int(sum(heights)), opacity, _columns(below, heights, scale)))
        below = [b + h for b, h in zip(below, heights, strict=True)]
    peak = max(bins, key=lambda b: b.attempts)
    return Storm(
        client=client,
        ok=ok,
        failed=tuple(layers),
        requests=_line([float(b.requests) for b in bins], scale),
        from_s=number(bins[0].from_s, 0),
        until_s=number(bins[-1].from_s + figures.bin_s, 0),
        most=number(most, 1),
        summary=(
            f"{client}: at most {number(peak.attempts / figures.bin_s, 1)} attempts a second, at {number(peak.from_s, 0)} s, "
            f"when {number(peak.requests / figures.bin_s, 1)} requests a second were due"
        ),
    )


def storms(behaviour: Mapping[str, BehaviourFigures]) -> tuple[Storm, ...]:
    """One picture a client, on common scales."""
    most = max((most_a_second(f) for f in behaviour.values()), default=0.0)
    return tuple(s for name, f in behaviour.items() if (s := storm(name, f, most)) is not None)


def sparks(bins: Sequence[BehaviourBin], most: float, bin_s: float) -> str:
    """Attempts a second as block characters, where pictures cannot be shown; each stands for the largest of what it covers."""
    if not bins or most <= 0:
        return ""
    each = -(-len(bins) // SPARKS_MAX)
    values = [max(b.attempts for b in bins[i : i + each]) / bin_s for i in range(0, len(bins), each)]
    return "".join(_BLOCKS[min(int(v / most * len(_BLOCKS)), len(_BLOCKS) - 1)] if v else " " for v in values)
