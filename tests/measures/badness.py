"""Every figure of a trial, as what it says of badness: its good value is 0."""

from __future__ import annotations

from typing import Any

from chaoskit.model.result import TrialMeasures


def badness(measured: TrialMeasures) -> dict[str, Any]:
    """Every figure, as what it says of badness: its good value is 0."""
    rpo, flapping, orders = measured.rpo, measured.flapping, measured.clients["orders"]
    assert rpo is not None
    assert flapping is not None
    stale = measured.stale_reads["readers"]
    for figure in (rpo.lost, rpo.window, rpo.split_brain_acks, stale.stale, flapping.flaps, flapping.dual_owner_time, orders.rto):
        assert figure.valid, figure.reasons
    never_back = orders.user_rto.censored
    return {
        "lost": rpo.lost.point,
        "window": (rpo.window.low or 0) > 0,
        "not a tail": rpo.contiguous_tail is False,
        "duplicated": rpo.duplicated,
        "phantom": rpo.phantom,
        "divergence": sum(rpo.divergence.values()),
        "defects": len(rpo.defects) + len(stale.defects),
        "stale": stale.stale.point,
        "ahead": stale.ahead,
        "two leaders": (flapping.dual_owner_time.low or 0) > 0,
        "split brain acks": rpo.split_brain_acks.point,
        "flaps": flapping.flaps.point,
        "ping pong": flapping.ping_pong,
        "excess leader changes": flapping.excess_leader_changes.point,
        "never back": never_back,
        "no failover": orders.rto.censored and not never_back,
    }
