"""The kinds of outages that calibration knows, and the scripts drawn for them."""

from __future__ import annotations

import math
import random

from chaoskit.model.record import Record

KINDS: dict[str, str] = {
    "refuse": "the listening socket is closed, and opened again",
    "reset": "each request is answered with a reset",
    "drop": "packets to the listening socket vanish (a socket filter; no privilege needed)",
    "slow": "each answer comes after the deadline",
    "half": "requests of one vantage of two are reset, those of the other are answered",
    "flap": "the listening socket closes three times, with less than S between",
    "crash": "the serving process is killed with SIGKILL, and another takes its place",
}
"""Kind -> what the service does meanwhile."""

SHORTEST_S = 0.005
LONGEST_S = 2.0
_SPARE_S = 0.4
_FLAPS = 3
_LONGEST_FLAP_S = 0.4
_LONGEST_UP_S = 1.5


class Script(Record):
    """One outage as it is asked for: `calm_s` of service, then down and up by turns. What really happened is the truth."""

    calm_s: float
    phases_s: tuple[float, ...]
    """down, up, down ... down"""


def drawn(kind: str, trials: int, seed: int, window_s: float, interval_s: float, spacing_s: float) -> tuple[Script, ...]:
    """The outages of one kind, the same for the same seed.

    Their lengths are spread evenly over orders of magnitude, from below the spacing d of attempts up to 2 s; each comes at
    a random place between two attempts, after more than S of service. No dip of `flap` is shorter than 3 d: one that no
    attempt met would leave no trace at the edge.
    """
    chance = random.Random(f"{seed} {kind}")
    made = []
    for _ in range(trials):
        if kind == "flap":
            phases = [chance.uniform(3 * spacing_s, max(4 * spacing_s, _LONGEST_FLAP_S)) for _ in range(2 * _FLAPS - 1)]
            for up in range(1, len(phases), 2):
                phases[up] = chance.uniform(3 * spacing_s, min(_LONGEST_UP_S, window_s / 3))
        else:
            phases = [math.exp(chance.uniform(math.log(SHORTEST_S), math.log(LONGEST_S)))]
        made.append(Script(calm_s=window_s + _SPARE_S + chance.uniform(0, interval_s), phases_s=tuple(phases)))
    return tuple(made)


def took_s(scripts: tuple[Script, ...]) -> float:
    """How long a script takes, seconds."""
    return sum(s.calm_s + sum(s.phases_s) for s in scripts)
