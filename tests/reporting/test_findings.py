"""Findings follow from figures by rule: each is there in a run whose figures say so, and not in one that only comes near."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from chaoskit.model.figures import AddressFigures, BehaviourFigures, Figure, Outage, Phase, RoleInterval
from chaoskit.model.result import Result
from chaoskit.reporting.findings import RULES, findings, trials_needed
from tests.reporting.recorded_runs import EFFECT_S, HEAL_S, OBSERVED_S, Shape, phases_of, result_of

ROOT = Path(__file__).parents[2]


def titles(result: Result) -> list[str]:
    return [f.title for f in findings(result, "primary")]


def changed(result: Result, client: str = "", **figures: Any) -> Result:
    """The same run with some figures of its trial, or of one client of it, replaced."""
    trial = result.trials[0]
    if client:
        figures = {"clients": {**trial.clients, client: trial.clients[client].model_copy(update=figures)}}
    return result.model_copy(update={"trials": (trial.model_copy(update=figures),)})


def exactly(value: float) -> Figure:
    return Figure(point=value, low=value, high=value)


def flapping(**figures: Any) -> Result:
    result = result_of(Shape())
    known = result.trials[0].flapping
    assert known is not None
    return changed(result, flapping=known.model_copy(update=figures))


def again(first_failure_s: float) -> Result:
    """The fresh client failed a second time."""
    result = result_of(Shape())
    second = Outage(first_failure_s=first_failure_s, recovered_s=first_failure_s + 1, point_s=1, low_s=0.9, high_s=1.1)
    return changed(result, "orders", outages=(*result.trials[0].clients["orders"].outages, second))


def back_at(second: float, **figures: Any) -> Result:
    late = Outage(first_failure_s=EFFECT_S, recovered_s=second, point_s=31.6, low_s=31.5, high_s=31.7)
    return changed(result_of(Shape()), "orders", outages=(late,), **figures)


def without_a_new_leader(state: str = "no") -> Result:
    """Whoever led was hit; nobody else says yes until long after the heal."""
    told = [("db1", "yes", -30.0, EFFECT_S), ("db1", "unknown", EFFECT_S + 0.1, HEAL_S), ("db1", "yes", HEAL_S + 1, OBSERVED_S)]
    told += [("db2", "no", -30.0, 25.0), ("db2", state, 25.1, OBSERVED_S)]
    roles = tuple(
        RoleInterval.model_validate({"role": "primary", "node": n, "state": s, "from_s": a, "until_s": b}) for n, s, a, b in told
    )
    return changed(result_of(Shape()), roles=roles)


def pooled(censored: bool, recovered_s: float | None = None) -> Result:
    outage = Outage(first_failure_s=EFFECT_S, recovered_s=recovered_s, point_s=None, low_s=60.0, high_s=None)
    rto = Figure(low=60.0, censored=True) if censored else Figure(point=60, low=60, high=60)
    return changed(result_of(Shape()), "app", rto=rto, outages=(outage,))


def storm(**peak: Any) -> Result:
    quiet = exactly(0.0)
    figures = BehaviourFigures(
        policy="at once", client_class="fresh", deadline_s=0.5, patience_s=5, requests=100, not_sent=0, attempts=900,
        most_attempts=9, amplification=quiet, peak_amplification=Figure(**peak), abandoned=quiet, worst_latency=quiet,
        noticed=quiet, notice_s=1.0, first_error=quiet, reconnects=quiet, time_to_reconnect=quiet,
    )  # fmt: skip
    return changed(result_of(Shape()), behaviour={"hasty": figures})


def synchronous(lost: int, claimed: Any) -> Result:
    result = result_of(Shape(lost=lost))
    return result.model_copy(update={"lab": result.lab.model_copy(update={"settings": {"synchronous_mode": claimed}})})


def address(dual: Figure) -> Result:
    figures = AddressFigures(address="198.18.0.100", moves=exactly(1), dual_owner_time=dual, no_owner_time=exactly(0))
    return changed(result_of(Shape()), addresses={"vip": figures})


def detected(at_s: float) -> Result:
    phases = [p for p in phases_of(Shape(), 1) if p.name != "detected"]
    return changed(result_of(Shape()), phases=(*phases, Phase(name="detected", at=exactly(at_s))))


def reconnecting(figure: Figure) -> Result:
    return changed(result_of(Shape()), "app", reconnect=figure)


def rto(low: float, high: float) -> Result:
    return changed(result_of(Shape()), "orders", rto=Figure(point=(low + high) / 2, low=low, high=high))


def elsewhere(low: float, high: float) -> Result:
    """The fault hit a node that did not lead: what settings predict for a failover does not speak of it."""
    result = rto(low, high)
    return changed(result, faults=tuple(f.model_copy(update={"target": ("db3",)}) for f in result.trials[0].faults))


CASES: dict[str, tuple[list[Result], list[Result]]] = {
    "Service never came back": (
        [result_of(Shape(recovers=False))],
        [
            result_of(Shape()),
            back_at(HEAL_S + 1, rto=Figure(low=28.0, censored=True)),
            result_of(Shape(recovers=False, verified=False)),
        ],
    ),
    "No failover": (
        [without_a_new_leader(), without_a_new_leader("unknown")],
        [result_of(Shape()), without_a_new_leader("yes"), changed(without_a_new_leader(), faults=())],
    ),
    "Service came back only after the heal": (
        [back_at(HEAL_S + 1.5), back_at(HEAL_S + 1.5, rto=Figure(low=28.0, censored=True))],
        [back_at(HEAL_S - 0.1), result_of(Shape()), back_at(HEAL_S + 1.5, rto=Figure(valid=False, reasons=("x",)))],
    ),
    "Acknowledged writes lost with synchronous replication": (
        [synchronous(5, True), synchronous(1, "quorum")],
        [synchronous(5, False), synchronous(0, True), synchronous(5, "off")],
    ),
    "Acknowledged writes lost": ([synchronous(5, False)], [synchronous(0, False), synchronous(5, True)]),
    "Two owners at once": (
        [flapping(dual_owner_time=exactly(1.2)), address(exactly(0.3))],
        [result_of(Shape()), flapping(dual_owner_time=Figure(point=1.2, valid=False)), address(exactly(0))],
    ),
    "Clients never reconnected": (
        [pooled(True)],
        [result_of(Shape()), pooled(False, EFFECT_S + 60), pooled(True, EFFECT_S + 60), result_of(Shape(recovers=False))],
    ),
    "Slower than the settings predict": (
        [rto(24.1, 24.2), back_at(60, rto=Figure(low=30, censored=True))],
        [rto(23.9, 24.2), rto(18, 24), elsewhere(30, 31)],
    ),
    "Faster than the settings predict": ([rto(17.0, 17.9)], [rto(17.9, 18.1), rto(24.1, 24.2), elsewhere(1, 2)]),
    "A second outage at failback": ([again(HEAL_S + 3)], [again(HEAL_S - 3), result_of(Shape())]),
    "A second outage before the heal": ([again(HEAL_S - 3)], [again(HEAL_S + 3), result_of(Shape())]),
    "Retry storm": (
        [storm(point=9, low=8.5, high=9.5), storm(point=2, low=2, high=2)],
        [storm(point=2.1, low=1.9, high=2.3), storm(point=9, low=9, high=9, valid=False), result_of(Shape())],
    ),
    "Pooled clients come back late": (
        [result_of(Shape())],
        [changed(reconnecting(Figure(point=1.4, low=0.9, high=1.9)), "readers", reconnect=None)],
    ),
    "Detection dominates": (
        [result_of(Shape()), detected(15.0)],
        [detected(5.0), changed(result_of(Shape()), phases=())],
    ),
    "Unstable leadership": (
        [flapping(excess_leader_changes=exactly(2)), flapping(flaps=exactly(1)), flapping(ping_pong=1)],
        [result_of(Shape()), flapping(flaps=Figure(point=1, valid=False))],
    ),
}


def test_every_rule_has_its_cases() -> None:
    assert [r.title for r in RULES] == list(CASES)


@pytest.mark.parametrize("title", list(CASES))
def test_a_finding_is_there_when_the_figures_say_so_and_only_then(title: str) -> None:
    there, not_there = CASES[title]
    for number, result in enumerate(there):
        assert title in titles(result), f"case {number}"
        found = next(f for f in findings(result, "primary") if f.title == title)
        assert found.evidence
        assert all(e.strip() for e in found.evidence)
    for number, result in enumerate(not_there):
        assert title not in titles(result), f"case {number}"


def test_an_ordinary_failover_has_the_ordinary_findings() -> None:
    assert titles(result_of(Shape())) == ["Pooled clients come back late", "Detection dominates"]


def test_without_a_leader_to_look_for_nothing_is_said_of_failovers() -> None:
    assert "No failover" not in [f.title for f in findings(without_a_new_leader(), None)]


def test_two_owners_and_unstable_leadership_name_each_evidence() -> None:
    update = {"dual_owner_time": exactly(1.2), "excess_leader_changes": exactly(2), "flaps": exactly(1), "ping_pong": 1}
    found = {f.title: f.evidence for f in findings(flapping(**update))}
    assert len(found["Two owners at once"]) == 1
    assert len(found["Unstable leadership"]) == 3


def test_several_trials_are_named() -> None:
    evidence = findings(result_of(Shape(trials=2, recovers=False)))[0].evidence
    assert [e.partition(":")[0] for e in evidence] == ["trial 1", "trial 2"]


def test_each_finding_is_explained_where_it_says() -> None:
    page = (ROOT / "docs/findings.md").read_text()
    headings = re.findall(r"^## (.+)$", page, re.M)
    assert headings == [r.title for r in RULES] + ["What to try next"]
    found = findings(result_of(Shape()))[0]
    assert found.reference == "docs/findings.md#pooled-clients-come-back-late"
    for number in ("70 %", "1 s", "2 times"):
        assert number in page, "the page states the thresholds of the rules"


@pytest.mark.parametrize(("trials", "said"), [(1, "takes 6"), (5, "takes 6"), (6, "26\u00a0% confidence"), (59, "")])
def test_what_the_number_of_trials_allows_to_say(trials: int, said: str) -> None:
    result = result_of(Shape())
    told = trials_needed(result.model_copy(update={"trials": result.trials * trials}))
    assert said in told
    assert bool(told) == bool(said)
