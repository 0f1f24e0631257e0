from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from chaoskit.model.steps import LinkShape
from chaoskit.model.units import Duration
from chaoskit.ports.link_fault import Dose, LinkFault

_LONGEST_S = 10.0
_WIDEST_S = 2.0
_PROBES = 40


class NetworkDelay(LinkFault):
    """Delay the frames between a node and its peers, each way or one way, by a fixed time or one that scatters.

    A question and its answer are both delayed where the direction is `both`: 50 ms make a round trip of 100 ms. Where the delay
    scatters, frames overtake each other, as with sch_netem. The dose is measured: frames are sent and timed, and a median that is
    not within 5 % or 0.5 ms of what was asked (and what the jitter allows) does not verify. Healing sends on what was underway.
    """

    NAME = "network.delay"
    OUTAGE = "a rerouted or congested line, a saturated firewall, replication to a site far away, a dying switch"
    EXAMPLE: ClassVar = {
        "inject": "network.delay",
        "target": {"role": "primary"},
        "with": {"delay": "50ms"},
        "at": "10s",
        "for": "30s",
    }

    delay: Duration
    """So long each frame is under way, on average; at most 10s."""
    jitter: Duration = Duration(0)
    """How far the delay scatters: up to so much either way (`uniform`), or with this standard deviation (`normal`, `pareto`).
    At most as long as the delay, and 2s."""
    distribution: Literal["uniform", "normal", "pareto"] = "uniform"
    """How it scatters. `pareto` (shape 3): most frames come a little early, and a few very late. No frame is more than four
    standard deviations late."""

    @model_validator(mode="after")
    def _bounded(self) -> NetworkDelay:
        if not 0 < self.delay <= _LONGEST_S:
            raise ValueError(f"a delay lies between 1us and {_LONGEST_S:g}s; a longer one is a cut link to every protocol")
        if self.jitter > min(self.delay, _WIDEST_S):
            raise ValueError(f"the jitter is at most as long as the delay, and {_WIDEST_S:g}s")
        return self

    def shape(self) -> LinkShape:
        return LinkShape(delay_s=float(self.delay), jitter_s=float(self.jitter), distribution=self.distribution)

    def doses(self) -> tuple[Dose, ...]:
        median_s = self.shape().median_s
        scatter = f", {self.distribution} jitter {self.jitter}" if self.jitter else ""
        query: dict[str, str | int | float] = {
            "aspect": "delay",
            "expected": median_s,
            "jitter_s": float(self.jitter),
            "probes": _PROBES,
        }
        return (Dose(query=query, words=f"{self.delay} later{scatter}"),)
