"""When a client's probes send: derived from its rate and deadline (MEASUREMENT.md sections 1 and 2)."""

from __future__ import annotations

from typing import NamedTuple

from chaoskit.model.experiment import ClientSpec

PROBE_INTERVAL_S = 0.1
"""One probe repeats no faster than this; more rate means more staggered probes."""
LEAST_WINDOW_S = 5.0


class ClientSchedule(NamedTuple):
    """All in nanoseconds."""

    interval_ns: int
    """D: one probe's period."""
    probes: int
    spacing_ns: int
    """d = D / probes."""
    window_ns: int
    """S: how long service must last to count as back."""


def client_schedule(client: ClientSpec) -> ClientSchedule:
    """D, the number of probes, d and S of a client."""
    rate = float(client.rate)
    probes = client.probes or max(1, round(rate * PROBE_INTERVAL_S))
    interval_s = probes / rate
    window_s = max(LEAST_WINDOW_S, 10 * interval_s, 2 * float(client.deadline))
    return ClientSchedule(
        interval_ns=round(interval_s * 1e9),
        probes=probes,
        spacing_ns=round(1e9 / rate),
        window_ns=round(window_s * 1e9),
    )
