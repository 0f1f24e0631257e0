"""Figures over the trials of a run: order statistics with the confidence that was reached, pooled losses (MEASUREMENT.md 6)."""

from __future__ import annotations

from chaoskit.model.record import Record


class LeftOut(Record):
    """A trial that has no valid figure: it counts nowhere, and is named."""

    trial: int
    reasons: tuple[str, ...] = ()


class QuantileBound(Record):
    """An upper bound of a quantile: the order statistic that has it with at least 95 %, else the largest with what it has."""

    quantile: float
    below: float | None
    """The quantile is at most this; None where that trial is censored, so that there is no upper bound."""
    rank: int
    """Which of the sorted trials this is, from 1."""
    confidence: float
    """Of the statement, exact: 1 - q^n for the largest of n."""
    trials_needed: int
    """As many trials, all below, give 95 %."""


class Summary(Record):
    """A figure over trials: order statistics, no bootstrap. A censored trial counts as infinite."""

    n: int
    """Trials with a valid figure."""
    median: float | None
    max: float | None
    ci: tuple[float | None, float | None] | None = None
    """Interval of the median; None below 6 trials, an end of None is infinite."""
    confidence: str = ""
    """What is claimed, with which confidence, in words."""
    censored: int = 0
    trials: int = 0
    """All that were carried out, the invalid ones included."""
    left_out: tuple[LeftOut, ...] = ()
    unit: str = "s"
    min: float | None = None
    mean: float | None = None
    """None where a trial is censored: the mean is then not known."""
    mean_bounds: tuple[float, float] | None = None
    """The mean of the trials' lower bounds and that of their upper ones: what measuring alone leaves open."""
    ci_ranks: tuple[int, int] | None = None
    """Which of the sorted trials are the ends of `ci`, from 1."""
    ci_confidence: float | None = None
    """The exact confidence of `ci`, 0.95 or more."""
    quantiles: tuple[QuantileBound, ...] = ()


class PooledLosses(Record):
    """The ledgers of all trials together."""

    trials: int
    """Trials whose ledgers could be read back."""
    left_out: tuple[LeftOut, ...] = ()
    trials_with_loss: int
    acknowledged: int
    lost: int
    lost_at_most: int
    """Doubtful writes counted as lost."""
    loss_rate_below: float
    """95 % bound of the share of acknowledged writes that is lost: 3/n where none was."""
    lossy_trials_below: float
    """95 % bound of the share of trials that lose any write, exact."""
    text: str = ""


class YearlyDowntime(Record):
    """Failures a year, as stated, times the mean measured RTO. Seconds a year; None as a bound: unknown, or infinite."""

    failures_per_year: float
    n: int
    """Trials with a valid RTO."""
    mean_rto_s: float | None = None
    """None where a trial is censored."""
    mean_low_s: float | None = None
    """95 % interval of the mean by Student's t, widened by the trials' own bounds."""
    mean_high_s: float | None = None
    downtime_s: float | None = None
    downtime_low_s: float | None = None
    downtime_high_s: float | None = None
    availability: float | None = None
    availability_low: float | None = None
    availability_high: float | None = None
    availability_target: float | None = None
    budget_s: float | None = None
    """Downtime a year that the target allows."""
    budget_used: float | None = None
    """The share of the budget that such failures use up."""
    failures_in_budget: float | None = None
    """So many failures a year the budget pays for."""
    within_budget: bool | None = None
    """Where the whole interval says so; None: not decided."""
    text: str = ""
