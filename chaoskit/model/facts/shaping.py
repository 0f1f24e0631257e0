"""What may be asked of a link's quality: frames are sent one way, numbered and timed, and what arrives is looked at."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from chaoskit.model.record import Record

Aspect = Literal["delay", "loss", "burst", "duplicate", "reorder", "corrupt", "rate", "size"]
UNITS: dict[str, str] = {
    "delay": "s",
    "loss": "%",
    "burst": "frames",
    "duplicate": "%",
    "reorder": "%",
    "corrupt": "%",
    "rate": "bit/s",
    "size": "bytes",
}
_DEVIATIONS = 4.0
"""So many standard deviations a felt dose may lie beside the asked one: a fair one is called wrong once in 16 000 times."""
_DELAY_SHARE, _DELAY_S = 0.05, 0.0005
_NO_DELAY_S = 0.0005
_RATE_ABOVE, _RATE_BELOW, _NO_RATE = 1.1, 0.5, 1.5
_BURST_BELOW = 0.6


class LinkQuery(Record):
    """Send probe frames from one node to another, over the switch, and look at what arrives. Both ends share one clock.

    -> reading number: what was felt, in the unit of the aspect: `delay` the median, one way, in s; `loss`, `duplicate`,
    `reorder` (overtook an earlier frame), `corrupt` in percent of the frames; `burst` the mean number lost in a row; `rate` in
    bit/s; `size` the largest IP packet that passed, in bytes. None where nothing arrived that could tell.
    value: "none" (not shaped so) | "as_asked" | "other" | "source_off" | "destination_off".
    """

    kind: Literal["link"] = "link"
    source: str
    destination: str
    network: str | None = None
    aspect: Aspect
    expected: float
    """In the unit of the aspect."""
    jitter_s: float = 0.0
    """Of the delay; the felt median wanders with it."""
    delay_s: float = 0.0
    """How long a frame may be under way, at most: so long the last ones are waited for."""
    burst_frames: float = 0.0
    """Losses that come in bursts wander further from the asked share."""
    loss_percent: float = 0.0
    """Of the aspect `burst`: how many bursts are to be expected."""
    probes: int = Field(default=1000, ge=1, le=10_000)

    @property
    def unit(self) -> str:
        return UNITS[self.aspect]

    def judged(self, number: float | None) -> str:
        """The reading's value for a felt dose."""
        if self.aspect == "delay":
            return self._judged_delay(number)
        if number is None:
            return "other"
        if self.aspect == "rate":
            if number > self.expected * _NO_RATE:
                return "none"
            # other traffic takes its share of a narrow line, so a probe may feel less than all of it
            return "as_asked" if self.expected * _RATE_BELOW <= number <= self.expected * _RATE_ABOVE else "other"
        if self.aspect == "size":
            return "as_asked" if number == self.expected else "none" if number > self.expected else "other"
        if number == 0:
            return "none"
        if self.aspect == "burst":
            return self._judged_burst(number)
        share = self.expected / 100
        deviation = 100 * (share * (1 - share) / self.probes * self._correlation(share)) ** 0.5
        return "as_asked" if abs(number - self.expected) <= _DEVIATIONS * deviation else "other"

    def _judged_delay(self, number: float | None) -> str:
        if number is None:
            return "other"
        wanders_s = _DEVIATIONS * 1.2533 * self.jitter_s / self.probes**0.5
        if abs(number - self.expected) <= max(_DELAY_S, _DELAY_SHARE * self.expected) + wanders_s:
            return "as_asked"
        return "none" if number < min(_NO_DELAY_S, self.expected / 2) else "other"

    def _judged_burst(self, number: float) -> str:
        """Bursts are geometric; other traffic between two probes ends one early, in a probe's eyes."""
        bursts = max(1.0, self.probes * self.loss_percent / 100 / self.expected)
        deviation = (self.expected * (self.expected - 1) / bursts) ** 0.5
        low, high = self.expected * _BURST_BELOW - _DEVIATIONS * deviation, self.expected + _DEVIATIONS * deviation
        return "as_asked" if max(1.2, low) <= number <= high else "other"

    def _correlation(self, share: float) -> float:
        """How much more than by independent chance the share of a Gilbert chain varies."""
        if self.burst_frames <= 1 or share >= 1:
            return 1.0
        ends = 1 / self.burst_frames
        memory = 1 - ends - ends * share / (1 - share)
        return max(1.0, (1 + memory) / (1 - memory))
