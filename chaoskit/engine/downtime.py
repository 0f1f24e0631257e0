"""What a year costs: failures a year times the mean RTO, with what is not known about both; and an error budget. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaoskit.engine.statistics import trial_value
from chaoskit.model.figures import Figure
from chaoskit.model.over_trials import YearlyDowntime

YEAR_S = 365.25 * 86_400
CONFIDENCE = 0.95


def t_quantile(degrees: int, confidence: float = CONFIDENCE) -> float:
    """Student's t, two-sided: |t| is at most this with the confidence. Exact for whole degrees of freedom, 1 or more."""
    low, high = 0.0, 1e6
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_within(middle, degrees) < confidence else (low, middle)
    return high


def t_within(t: float, degrees: int) -> float:
    """The chance that Student's |T| is at most t (Abramowitz and Stegun 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(degrees))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cosine**2 * ((k - 1) / k)
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def yearly_downtime(figures: Sequence[Figure], failures_per_year: float, target: float | None) -> YearlyDowntime:
    """From one RTO a trial. A censored trial leaves the mean without an upper end; one trial alone leaves its spread unknown."""
    valid = [f for f in figures if f.valid]
    n = len(valid)
    budget_s = None if target is None else (1 - target) * YEAR_S
    base = YearlyDowntime(failures_per_year=failures_per_year, n=n, availability_target=target, budget_s=budget_s)
    if n == 0:
        return base.model_copy(update={"text": "unknown: no trial has a valid RTO"})
    values = [trial_value(f) for f in valid]
    lows = [f.low if f.low is not None else v for f, v in zip(valid, values, strict=True)]
    highs = [math.inf if f.censored else f.high if f.high is not None else v for f, v in zip(valid, values, strict=True)]
    finite = all(map(math.isfinite, (*values, *highs)))
    mean = math.fsum(values) / n if finite else None
    low, high = math.fsum(lows) / n, math.fsum(highs) / n if finite else None
    if n == 1:
        low, high = 0.0, None  # how much trials differ is not known
    else:
        reach = _reach(values if finite else lows)
        low, high = max(0.0, low - reach), None if high is None else high + reach
    made = base.model_copy(
        update={
            "mean_rto_s": _rounded(mean),
            "mean_low_s": _rounded(low),
            "mean_high_s": _rounded(high),
            "downtime_s": _rounded(None if mean is None else mean * failures_per_year),
            "downtime_low_s": _rounded(low * failures_per_year),
            "downtime_high_s": _rounded(None if high is None else high * failures_per_year),
            "availability": _rounded(None if mean is None else _up(mean * failures_per_year)),
            "availability_low": _rounded(None if high is None else _up(high * failures_per_year)),
            "availability_high": _rounded(_up(low * failures_per_year)),
            "failures_in_budget": None if budget_s is None or not mean else round(budget_s / mean, 6),
            "budget_used": None if not budget_s or mean is None else round(mean * failures_per_year / budget_s, 9),
        }
    )
    return made.model_copy(update={"within_budget": _within(made), "text": _text(made, len(figures))})


def _reach(values: Sequence[float]) -> float:
    """Half the width of the 95 % interval of the mean."""
    n, mean = len(values), math.fsum(values) / len(values)
    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    return t_quantile(n - 1) * spread / math.sqrt(n)


def _up(down_s: float) -> float:
    return max(0.0, 1 - down_s / YEAR_S)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 9)


def _within(made: YearlyDowntime) -> bool | None:
    """Only where the whole interval says so."""
    if made.budget_s is None or made.downtime_low_s is None:
        return None
    if made.downtime_low_s > made.budget_s:
        return False
    return True if made.downtime_high_s is not None and made.downtime_high_s <= made.budget_s else None


def length(seconds: float) -> str:
    """A length of time within a year: "52.6 min", "3.1 h", "42 s"."""
    for unit, size in (("d", 86_400.0), ("h", 3_600.0), ("min", 60.0)):
        if seconds >= 2 * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds:.3g} s"


def _text(made: YearlyDowntime, trials: int) -> str:
    rate = f"{made.failures_per_year:g} failures a year (stated)"
    low = length(made.downtime_low_s or 0)
    if made.downtime_s is None or made.mean_rto_s is None:
        said = [f"more than {low} a year, at {rate}: a trial is censored, so that the mean RTO has no upper end"]
    else:
        spread = (
            f"{low} to {length(made.downtime_high_s)}, 95 % of the mean by Student's t and what measuring leaves open"
            if made.downtime_high_s is not None
            else "one trial does not tell how much they differ"
        )
        said = [f"{length(made.downtime_s)} a year ({spread}), at {rate} with a mean RTO of {made.mean_rto_s:.3g} s"]
        said.append(f"availability {_percent(made.availability or 0)}")
    said[-1] += f", from {made.n} {'trial' if made.n == 1 else 'trials'}"
    if made.n < trials:
        said[-1] += f" of {trials}; the others are invalid"
    if made.budget_s is not None and made.availability_target is not None:
        answer = {True: "kept", False: "exceeded", None: "not decided by so few trials"}[made.within_budget]
        used = "" if made.budget_used is None else f", of which {made.budget_used * 100:.3g} % would be used"
        many = "" if made.failures_in_budget is None else f"; it pays for {made.failures_in_budget:.3g} such failures"
        share = f"{made.availability_target * 100:.10g} %"
        said.append(f"the error budget of {share} is {length(made.budget_s)} a year{used}{many}: {answer}")
    return "; ".join(said)


def _percent(share: float) -> str:
    """Never rounded up."""
    return f"{math.floor(share * 1e7) / 1e5:.5f}".rstrip("0").rstrip(".") + " %"
