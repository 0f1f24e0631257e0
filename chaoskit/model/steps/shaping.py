"""The quality of links: what a shape is, and the step that gives it to links."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from chaoskit.model import capability
from chaoskit.model.record import Record
from chaoskit.model.steps.network import links_words, on_network
from chaoskit.model.steps.record import Link, StepRecord

Distribution = Literal["uniform", "normal", "pareto"]
MEDIANS: dict[str, float] = {"uniform": 0.0, "normal": 0.0, "pareto": (2 ** (1 / 3) - 1.5) / 0.75**0.5}
"""Where the median of a distribution lies, in jitters above its mean. Pareto: shape 3."""


class LinkShape(Record):
    """What happens to each frame of a link. Everything left out does not happen."""

    delay_s: float = Field(default=0.0, ge=0)
    jitter_s: float = Field(default=0.0, ge=0)
    """Uniform: the delay lies within so much of `delay_s`; normal and pareto: its standard deviation."""
    distribution: Distribution = "uniform"
    loss_percent: float = Field(default=0.0, ge=0, le=100)
    burst_frames: float = Field(default=0.0, ge=0)
    """Frames lost in a row, on average (a Gilbert chain); 0: each frame is lost or not by itself."""
    duplicate_percent: float = Field(default=0.0, ge=0, le=100)
    reorder_percent: float = Field(default=0.0, ge=0, le=100)
    """Share of the frames that skip the delay, and so overtake those sent before them. Needs a delay."""
    corrupt_percent: float = Field(default=0.0, ge=0, le=100)
    """Share of the frames that have one bit inverted behind the Ethernet header."""
    rate_bits_per_s: float = Field(default=0.0, ge=0)
    """0: as fast as the machine is. Whole frames count, with their Ethernet header."""
    queue_bytes: int = Field(default=0, ge=0)
    """What may wait for a line of limited rate; frames beyond it are lost, as in a router. 0: 64 KiB."""
    largest_bytes: int = Field(default=0, ge=0)
    """IP packets longer than this vanish; 0: none."""

    @property
    def median_s(self) -> float:
        """The delay that half of the frames stay below."""
        return max(0.0, self.delay_s + MEDIANS[self.distribution] * self.jitter_s)

    def words(self) -> str:
        said = []
        if self.delay_s or self.jitter_s:
            jitter = f", give or take {self.jitter_s * 1000:g} ms ({self.distribution})" if self.jitter_s else ""
            said.append(f"delay each by {self.delay_s * 1000:g} ms{jitter}")
        if self.loss_percent:
            bursts = f" in bursts of {self.burst_frames:g} on average" if self.burst_frames else ""
            said.append(f"lose {self.loss_percent:g} %{bursts}")
        shares = (("double", self.duplicate_percent), ("send ahead", self.reorder_percent), ("corrupt", self.corrupt_percent))
        said += [f"{verb} {share:g} %" for verb, share in shares if share]
        if self.rate_bits_per_s:
            said.append(f"let no more than {self.rate_bits_per_s / 1e6:g} Mbit/s through")
        if self.largest_bytes:
            said.append(f"lose every IP packet of more than {self.largest_bytes} bytes")
        return ", ".join(said) or "change nothing"


class ShapeLinks(StepRecord):
    """Give these directed links another quality, on the lab's switches, whatever protocol a frame belongs to.

    `JoinLinks` with the same tag undoes exactly it. A link has one shape at a time; a cut of it wins.
    """

    NEEDS: ClassVar = capability.NETWORK_SHAPE
    kind: Literal["shape_links"] = "shape_links"
    tag: str
    links: tuple[Link, ...]
    network: str | None = None
    """One network of the lab, or None for all that the two nodes share."""
    shape: LinkShape

    def words(self) -> str:
        return f"of the frames {links_words(self.links)}{on_network(self.network)}: {self.shape.words()}"
