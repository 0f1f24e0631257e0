"""The waterfall of a failover is whole: each phase with bounds and source, or with the reason why nothing shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaoskit.measures.capacity import good_from
from chaoskit.measures.phases import ORDER, Phases
from chaoskit.model.figures import Phase
from chaoskit.model.lab import LabSpec
from chaoskit.model.recorded import ClientSamples, TrialRecord
from tests.measures.recorded import (
    ENDED_S,
    FAULT_S,
    LAB,
    client,
    event,
    failed_over,
    leaders,
    ns,
    plan,
    role,
    trial,
)

MARKS: dict[str, Any] = {
    "detected": [{"service": "patroni", "says": "lock is gone"}],
    "elected": [{"service": "patroni", "says": "acquired"}],
}
EFFECT_S = FAULT_S + 0.02


def marked(mark: str, at_s: float, *, node: str = "db2", looked_s: float = 0.02) -> Any:
    between = [ns(at_s - looked_s), ns(at_s)]
    return event(at_s, "log.mark", mark=mark, node=node, service="patroni", line=f"INFO: {mark}", between_ns=between)


def record(*clients: ClientSamples, lab: Mapping[str, Any] = {}, events: Sequence[Any] = (), **changes: Any) -> TrialRecord:
    planned = plan().model_copy(update={"lab": LabSpec.model_validate(LAB | dict(lab))})
    made = trial(*clients, planned=planned, **({"roles": failed_over()} | changes))
    return replace(made, events=(*made.events, *events))


def phases(made: TrialRecord) -> dict[str, Phase]:
    found = Phases().measure(made)["phases"]
    assert [p.name for p in found if p.at.valid and p.at.point is not None] == [
        p.name for p in sorted((p for p in found if p.at.valid and p.at.point is not None), key=_by_time)
    ]
    return {p.name: p for p in found}


def _by_time(phase: Phase) -> tuple[bool, float, int]:
    return phase.name != "injected", phase.at.point or 0.0, ORDER.index(phase.name)


def good_client(**changes: Any) -> ClientSamples:
    return client(**({"down": [(FAULT_S, 7.0)]} | changes))


def direct(node: str, **changes: Any) -> ClientSamples:
    """Writes to one node itself."""
    return client(f"direct-{node}", client_class="direct", target=node, refusals=True, **changes)


def test_everything_that_something_shows_has_its_bounds_and_its_source() -> None:
    made = record(
        good_client(),
        direct("db2", down=[(-99, 6.3)]),
        direct("db3", down=[(-99, 999)]),
        client("pool", client_class="pooled", down=[(FAULT_S, 9.0)]),
        lab={"marks": MARKS},
        events=[marked("detected", 5.0), marked("elected", 5.9), marked("detected", 1.0), marked("elected", 8.0)],
    )
    found = phases(made)
    truths = {
        "first failed send": FAULT_S, "detected": 4.99, "elected": 5.89, "new leader": 6.0, "promoted": 6.3, "rerouted": 7.0,
        "pooled clients back": 9.0,
    }  # fmt: skip
    for name, truth in truths.items():
        at = found[name].at
        assert at.low is not None and at.high is not None  # noqa: PT018
        assert at.low - 1e-6 <= truth - EFFECT_S <= at.high + 1e-6, (name, at.text)
        assert found[name].source
    assert "log of patroni on db2" in found["detected"].source
    assert "directly at db2" in found["promoted"].source


def test_what_nothing_shows_is_there_with_its_reason_and_without_a_number() -> None:
    found = phases(record(good_client()))
    for name in ("detected", "elected", "promoted"):
        at = found[name].at
        assert (at.point, at.low, at.high, at.valid) == (None, None, None, False)
        assert "marks name no log line" in at.reasons[0]
    assert "direct client" in found["promoted"].at.reasons[0]
    silent = phases(record(good_client(), lab={"marks": MARKS}, events=[marked("detected", 1.0)]))
    # what was logged before is not about the fault
    assert silent["detected"].at.reasons == ("no log said so after the fault, and no watcher",)


def test_no_outage_means_no_failover_to_tell_of() -> None:
    assert set(phases(record(client(), lab={"marks": MARKS}, roles=leaders(db1=[(-99, 99)])))) == {"injected"}


def test_a_watcher_of_an_installed_package_marks_as_well() -> None:
    saw = event(3.0, "watcher.observed", watcher="pulse", what="detected", node="db2", detail="no", between_ns=[ns(2.9), ns(3.0)])
    found = phases(record(good_client(), events=[saw]))["detected"]
    assert found.source == "watcher pulse: db2 no"
    assert (found.at.low, found.at.high) == (pytest.approx(2.9 - EFFECT_S), pytest.approx(3.0 - EFFECT_S))


def test_a_mark_that_was_read_late_says_so_in_its_bounds() -> None:
    at = phases(record(good_client(), lab={"marks": MARKS}, events=[marked("detected", 4.0, looked_s=1.5)]))["detected"].at
    assert (at.low, at.high) == (pytest.approx(2.5 - EFFECT_S), pytest.approx(4.0 - EFFECT_S))


def test_a_standby_that_took_writes_all_along_was_not_promoted() -> None:
    assert not phases(record(good_client(), direct("db2")))["promoted"].at.valid


READY = {"ready": {"roles": {"primary": 1, "replica": 2}}}


def replicas(back_s: float) -> Any:
    """db1 is a replica again from `back_s` on; db2 was one until it led."""
    return (
        *failed_over(),
        role("db1", [(back_s, 99)], name="replica"),
        role("db2", [(-99, 6.0)], name="replica"),
        role("db3", [(-99, 99)], name="replica"),
    )


def test_capacity_is_restored_only_when_all_three_hold() -> None:
    quick = phases(record(good_client(), lab=READY, roles=replicas(20.0)))["capacity restored"].at
    assert quick.low is not None and quick.high is not None  # noqa: PT018
    assert quick.low <= 20.0 - EFFECT_S <= quick.high, "the replica was the last to be there"
    slow = phases(record(good_client(slow=[(7.0, 30.0)]), lab=READY, roles=replicas(20.0)))["capacity restored"].at
    assert slow.low is not None and slow.high is not None  # noqa: PT018
    # p95 over S: it may begin up to 5 % of S before the last slow answer
    assert slow.low <= 30.0 - EFFECT_S <= slow.high + 0.26
    never = phases(record(good_client(), lab=READY, roles=replicas(999.0)))["capacity restored"].at
    assert never.censored
    assert never.point is None


def test_capacity_of_which_nobody_knows_is_not_guessed() -> None:
    unwatched = phases(record(good_client(), lab={"ready": {"roles": {"replica": 2}}}))["capacity restored"].at
    assert (unwatched.point, unwatched.reasons) == (None, ("the roles were not watched",))
    unsaid = phases(record(good_client(), lab={"ready": {"roles": {}}}))["capacity restored"].at
    assert "how many must hold it" in unsaid.reasons[0]


def test_service_that_never_gets_as_good_as_before_is_censored() -> None:
    at = phases(record(good_client(slow=[(7.0, 999)])))["capacity restored"].at
    assert at.censored
    assert at.low == pytest.approx(ENDED_S - EFFECT_S, abs=0.05)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.floats(7, 40), st.floats(0.005, 0.6)), max_size=4))
def test_capacity_is_what_a_plain_reading_of_the_rule_says(spans: list[tuple[float, float]]) -> None:
    samples = client(down=[(FAULT_S, 7.0)], slow=[(a, a + d) for a, d in spans], interval_s=0.1, probes=1, from_s=-6, until_s=50)
    limit = 10_000_000
    found = good_from(samples, ns(6.9), limit)
    expected = None
    for i in np.flatnonzero(samples.ok & (samples.t_send > ns(6.9))).tolist():
        until = samples.t_send[i] + samples.window_ns
        if until - samples.interval_ns > samples.t_send[-1]:
            break
        chosen = (samples.t_send >= samples.t_send[i]) & (samples.t_send <= until)
        ok = samples.ok[chosen]
        took = (samples.t_end - samples.t_intended)[chosen & samples.ok]
        if ok.mean() >= 0.99 and np.quantile(took, 0.95, method="inverted_cdf") <= limit:
            expected = int(samples.t_end[i])
            break
    assert (None if found is None else found[1]) == expected
