"""Objectives about quantiles over trials, and stopping once the question is decided."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import pytest

from chaoskit.engine.checking_trials import over_trials_notes
from chaoskit.engine.judging import run_verdict
from chaoskit.engine.order_statistics import binomial
from chaoskit.engine.quantiles import attainable, counted, met, outcome, refuted, shown
from chaoskit.engine.stopping import decided
from chaoskit.model.experiment import Experiment, QuantileObjective
from chaoskit.model.figures import ClientFigures, Figure
from chaoskit.model.result import TrialResult, UndoSummary, Verdict
from tests.simulated.plans import experiment

KEPT, EXCEEDING, OPEN, INVALID = "kept", "exceeding", "open", "invalid"
LIMIT_S = 30.0


def asked(quantile: str = "95%", confidence: str = "95%", figure: str = "rto") -> QuantileObjective:
    return QuantileObjective.model_validate(
        {"figure": figure, "quantile": quantile, "limit": f"<= {LIMIT_S:g}s", "confidence": confidence}
    )


def figure(kind: str) -> Figure:
    low, high = {KEPT: (20.0, 21.0), EXCEEDING: (40.0, 41.0), OPEN: (29.0, 31.0), INVALID: (20.0, 21.0)}[kind]
    return Figure(point=(low + high) / 2, low=low, high=high, valid=kind != INVALID)


def figures(*kinds: str) -> list[tuple[int, Figure]]:
    return [(i, figure(kind)) for i, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kept", "exceeding", "expected"),
    [(58, 0, None), (59, 0, True), (91, 1, None), (92, 1, True), (121, 2, None), (122, 2, True), (5, 1, None), (0, 2, False)],
)
def test_a_p95_takes_as_many_trials_as_the_specification_says(kept: int, exceeding: int, expected: bool | None) -> None:
    made = outcome(asked(), figures(*[KEPT] * kept, *[EXCEEDING] * exceeding))
    assert made.met is expected
    assert made.target == "p95 <= 30s with 95 % confidence"


def test_fewer_trials_say_what_they_reach_and_what_it_takes() -> None:
    made = outcome(asked(), figures(*[KEPT] * 6))
    assert made.met is None
    assert made.actual == "6 of 6 trials keep it: 26.4 % confidence"
    assert "it takes 59 valid trials with none above the limit; there are 6" in made.reasons
    assert outcome(asked(), []).actual == "no valid trial"


def test_open_trials_count_against_what_is_claimed_and_never_for_a_miss() -> None:
    assert outcome(asked(), figures(*[KEPT] * 58, OPEN)).met is None
    assert outcome(asked(), figures(*[KEPT] * 92, OPEN)).met is True
    assert outcome(asked(), figures(*[OPEN] * 20)).met is None
    assert "the limit lies within the bounds of trial 1" in outcome(asked(), figures(KEPT, OPEN)).reasons[0]


def test_invalid_trials_count_nowhere_and_are_named() -> None:
    made = outcome(asked(), figures(*[KEPT] * 59, INVALID, INVALID))
    assert made.met is True
    assert "without a valid figure, and left out: trials 59 and 60" in made.reasons


def test_a_censored_trial_exceeds_only_what_it_surely_exceeded() -> None:
    long, short = Figure(low=40.0, censored=True), Figure(low=10.0, censored=True)
    found = counted(asked(), [(0, long), (1, short)])
    assert (found.exceeding, found.open) == ((0,), (1,))


@pytest.mark.parametrize("n", [1, 10, 59, 93, 130])
@pytest.mark.parametrize("quantile", [0.5, 0.9, 0.95])
def test_neither_claim_is_wrong_more_often_than_it_says(n: int, quantile: float) -> None:
    """At the very edge, where the quantile is the limit: the chance of each claim, exactly."""
    chance = [binomial(n, e, 1 - quantile) for e in range(n + 1)]
    assert math.fsum(p for e, p in enumerate(chance) if shown(n, e, quantile, 0.95)) <= 0.05 + 1e-9
    assert math.fsum(p for e, p in enumerate(chance) if refuted(n, e, quantile, 0.95)) <= 0.05 + 1e-9


@pytest.mark.parametrize("quantile", ["50%", "80%"])
def test_what_is_attainable_is_what_some_completion_gives(quantile: str) -> None:
    """Against every completion there is, of up to four more trials."""
    objective = asked(quantile, "80%")
    for sizes in itertools.product(range(5), range(4), range(2)):
        so_far = [KEPT] * sizes[0] + [EXCEEDING] * sizes[1] + [OPEN] * sizes[2]
        for remaining in range(5):
            really = {
                met(objective, counted(objective, figures(*so_far, *more)))
                for more in itertools.combinations_with_replacement((KEPT, EXCEEDING, OPEN, INVALID), remaining)
            }
            said = attainable(objective, counted(objective, figures(*so_far)), remaining)
            assert really <= said, (sizes, remaining)
            assert len(said) > 1 or really == said, (sizes, remaining)


def trial(index: int, kind: str, verdict: Verdict = "unknown") -> TrialResult:
    made = figure(kind)
    client = ClientFigures(rto=made, user_rto=made, fault_rto=made, availability=made, operations=1)
    reasons = ("rto of orders: 40 s; wanted <= 30s",) if verdict == "failed" else ()
    return TrialResult(
        index=index,
        started="",
        ended="",
        baseline_s=30,
        observed_s=60,
        clients={"orders": client},
        verdict=verdict,
        reasons=reasons,
    )


def spec(**changes: Any) -> Experiment:
    given = {"objectives": {}, "over-trials": [{"quantile": "95%", "limit": "<= 30s"}], "repeat": 93} | changes
    return Experiment.model_validate(experiment(**given))


def test_a_missed_objective_of_one_trial_decides() -> None:
    one = spec(objectives={"rto": "<= 30s"}, **{"over-trials": []})
    assert decided(one, [trial(0, KEPT, "passed")], 5) is None
    said = decided(one, [trial(0, KEPT, "passed"), trial(1, EXCEEDING, "failed")], 5)
    assert said is not None
    assert said.startswith("trial 1 failed (rto of orders")
    assert "remaining 3 trials" in said
    assert decided(one, [trial(0, EXCEEDING, "failed")], 1) is None  # nothing is left to stop


def test_a_quantile_is_decided_only_when_the_rest_cannot_change_it() -> None:
    kept = [trial(i, KEPT) for i in range(92)]
    assert decided(spec(), kept[:59], 93) is None  # 59 would have been enough had 59 been planned
    assert "is shown" in (decided(spec(), kept, 93) or "")
    assert decided(spec(objectives={"rto": "<= 30s"}), kept, 93) is None  # the last trial may still miss its own
    bad = [trial(i, EXCEEDING) for i in range(2)]
    assert decided(spec(), bad, 93) is None  # it is missed so far, and may become unknown
    assert "is missed" in (decided(spec(), [trial(i, EXCEEDING) for i in range(12)], 93) or "")
    assert "neither shown nor refuted" in (decided(spec(repeat=5), [trial(i, KEPT) for i in range(4)], 5) or "")


@pytest.mark.parametrize("seed", range(12))
def test_stopping_early_never_changes_the_verdict(seed: int) -> None:
    """Random runs: whenever it is decided, the verdict of the trials so far is that of all of them."""
    chance = random.Random(seed)
    stops = 0
    for _ in range(25):
        planned, bad = chance.choice([5, 20, 59, 60, 93]), chance.choice([0.0, 0.02, 0.3, 0.8])
        one = spec(repeat=planned, **{"over-trials": [{"quantile": chance.choice(["50%", "90%", "95%"]), "limit": "<= 30s"}]})
        kinds = chance.choices([EXCEEDING, KEPT, OPEN, INVALID], [bad, 1 - bad, 0.02, 0.02], k=planned)
        trials = [trial(i, kind) for i, kind in enumerate(kinds)]
        whole = verdict(one, trials, planned, None)
        for k in range(1, planned):
            if (reason := decided(one, trials[:k], planned)) is not None:
                assert verdict(one, trials[:k], planned, reason) == whole, (kinds, k)
                stops += 1
                break
    assert stops > 0


def verdict(one: Experiment, trials: list[TrialResult], planned: int, stopped: str | None) -> str:
    together = [outcome(a, [(t.index, t.clients["orders"].rto) for t in trials]) for a in one.over_trials]
    return run_verdict(trials, planned, None, UndoSummary(), together=together, alone=False, stopped=stopped)[0]


def test_too_few_trials_are_said_when_planning() -> None:
    (note,) = over_trials_notes(spec(repeat=5))
    assert "takes 59 trials that all keep it; with repeat: 5 it stays unknown" in note
    assert list(over_trials_notes(spec(repeat=59))) == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"quantile": "100%", "limit": "<= 30s"},
        {"quantile": "40%", "limit": "<= 30s"},
        {"quantile": "95%", "limit": ">= 30s"},
        {"quantile": "95%", "limit": "<= 30s", "confidence": "100%"},
        {"quantile": "95%"},
    ],
)
def test_what_no_number_of_trials_can_show_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"100%|from above|required"):
        QuantileObjective.model_validate(wrong)
