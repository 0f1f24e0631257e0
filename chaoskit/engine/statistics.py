"""Figures over trials: order statistics with exact ranks, pooled losses. Pure (MEASUREMENT.md section 6)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from chaoskit.engine.order_statistics import (
    CONFIDENCE,
    median_coverage,
    median_ranks,
    share_below,
    tail_confidence,
    trials_needed,
    upper_rank,
)
from chaoskit.model.figures import Figure
from chaoskit.model.over_trials import LeftOut, PooledLosses, QuantileBound, Summary
from chaoskit.model.result import TrialMeasures

QUANTILES = (0.9, 0.95, 0.99)
NAMED = 10
"""So many trials are named one by one."""


def summary(figures: Sequence[Figure], trials: Sequence[int] | None = None) -> Summary:
    """The valid ones of some figures, one a trial. A censored one is +infinity; "none seen" counts as its upper bound.

    `trials`: the number of each figure's trial; 0, 1, 2 ... where left out.
    """
    numbers = range(len(figures)) if trials is None else trials
    valid = [f for f in figures if f.valid]
    left_out = tuple(LeftOut(trial=i, reasons=f.reasons) for i, f in zip(numbers, figures, strict=True) if not f.valid)
    values = sorted(trial_value(f) for f in valid)
    n = len(values)
    unit = figures[0].unit if figures else "s"
    if n == 0:
        words = f"no valid figure in {_trials(len(figures))}"
        return Summary(n=0, median=None, max=None, confidence=words, trials=len(figures), left_out=left_out, unit=unit)
    ranks = median_ranks(n)
    bounds = [(f.low if f.low is not None else trial_value(f), f.high if f.high is not None else trial_value(f)) for f in valid]
    known = all(math.isfinite(v) for v in values) and all(math.isfinite(high) for _, high in bounds)
    quantiles = tuple(_quantile_bound(values, quantile) for quantile in QUANTILES)
    return Summary(
        n=n,
        median=_finite((values[(n - 1) // 2] + values[n // 2]) / 2),
        max=_finite(values[-1]),
        ci=None if ranks is None else (_finite(values[ranks[0] - 1]), _finite(values[ranks[1] - 1])),
        confidence=_confidence(values, left_out, ranks, quantiles[1]),
        censored=sum(1 for f in valid if f.censored),
        trials=len(figures),
        left_out=left_out,
        unit=unit,
        min=_finite(values[0]),
        mean=_finite(math.fsum(values) / n) if known else None,
        mean_bounds=(_mean([low for low, _ in bounds]), _mean([high for _, high in bounds])) if known else None,
        ci_ranks=ranks,
        ci_confidence=None if ranks is None else round(median_coverage(n, ranks), 9),
        quantiles=quantiles,
    )


def trial_value(figure: Figure) -> float:
    """What one valid figure counts as in order statistics."""
    if figure.censored:
        return math.inf
    known = figure.point if figure.point is not None else figure.high
    return math.inf if known is None else known


def _mean(values: Sequence[float]) -> float:
    return round(math.fsum(values) / len(values), 9)


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else round(value, 9)


def _quantile_bound(values: Sequence[float], quantile: float) -> QuantileBound:
    n = len(values)
    rank = upper_rank(n, quantile)
    return QuantileBound(
        quantile=quantile,
        below=_finite(values[rank - 1]),
        rank=rank,
        confidence=round(tail_confidence(n, quantile, n - rank), 9),
        trials_needed=trials_needed(quantile),
    )


def percent_reached(share: float) -> str:
    """A confidence, never rounded up: 0.9489 is "94.8 %"."""
    return f"{math.floor(share * 1000 + 1e-9) / 10:g} %"


def named_trials(numbers: Sequence[int]) -> str:
    """ "trial 2", "trials 2, 5 and 7"; at most ten of them by number."""
    shown = [str(n) for n in numbers[:NAMED]]
    if len(numbers) > NAMED:
        return f"trials {', '.join(shown)} and {len(numbers) - NAMED} more"
    return f"trial {shown[0]}" if len(shown) == 1 else f"trials {', '.join(shown[:-1])} and {shown[-1]}"


def _trials(n: int) -> str:
    return f"{n} {'trial' if n == 1 else 'trials'}"


def _confidence(values: Sequence[float], left_out: Sequence[LeftOut], ranks: tuple[int, int] | None, p95: QuantileBound) -> str:
    n, words = len(values), []
    if left_out:
        which = named_trials([one.trial for one in left_out])
        words.append(f"{len(left_out)} of {n + len(left_out)} trials are invalid and left out ({which})")
    if ranks is None:
        words.append(f"{_trials(n)}: no 95 % interval of the median (it takes 6)")
    else:
        reached = percent_reached(median_coverage(n, ranks))
        words.append(f"95 % interval of the median: ranks {ranks[0]} and {ranks[1]} of {n} (exactly {reached})")
    which = "the largest" if p95.rank == n else f"rank {p95.rank} of {n}"
    if math.isinf(values[p95.rank - 1]):
        words.append(f"p95: no upper bound, {'one is' if math.isfinite(values[-2] if n > 1 else 0) else 'some are'} censored")
    elif p95.confidence >= CONFIDENCE:
        words.append(f"p95 at most {which} with {percent_reached(p95.confidence)} confidence")
    else:
        reached = percent_reached(p95.confidence)
        words.append(f"p95 at most {which} with {reached} confidence (95 % takes {p95.trials_needed} trials)")
    return "; ".join(words)


# -- losses ----------------------------------------------------------------------------------------------------------------


def pooled_losses(trials: Sequence[TrialMeasures]) -> PooledLosses | None:
    """All ledgers of all trials together; None where no trial kept one. Trials whose ledger is not valid are left out."""
    kept = [(t.index, t.rpo) for t in trials if t.rpo is not None]
    if not kept:
        return None
    valid = [rpo for _, rpo in kept if rpo.lost.valid]
    acknowledged = sum(rpo.acknowledged for rpo in valid)
    lost = [(round(rpo.lost.low or 0), round(rpo.lost.high if rpo.lost.high is not None else rpo.acknowledged)) for rpo in valid]
    surely, at_most = sum(low for low, _ in lost), sum(high for _, high in lost)
    lossy = sum(1 for _, high in lost if high > 0)
    rate = 3 / acknowledged if at_most == 0 and acknowledged >= 3 else share_below(acknowledged, at_most)
    made = PooledLosses(
        trials=len(valid),
        left_out=tuple(LeftOut(trial=index, reasons=rpo.lost.reasons) for index, rpo in kept if not rpo.lost.valid),
        trials_with_loss=lossy,
        acknowledged=acknowledged,
        lost=surely,
        lost_at_most=at_most,
        loss_rate_below=round(rate, 12),
        lossy_trials_below=round(share_below(len(valid), lossy), 9),
    )
    return made.model_copy(update={"text": _losses_text(made)})


def _losses_text(losses: PooledLosses) -> str:
    n, of = losses.acknowledged, _trials(losses.trials)
    if losses.trials == 0:
        return f"unknown: no ledger of {_trials(len(losses.left_out))} could be read back"
    left = f"; left out: {named_trials([one.trial for one in losses.left_out])}" if losses.left_out else ""
    trials_share = f"at most {losses.lossy_trials_below * 100:.3g} % of trials lose any (95 %)"
    if losses.lost_at_most == 0:
        share = (
            f"the loss rate lies below 3/{n} = {losses.loss_rate_below * 100:.2g} % (95 %)" if n >= 3 else "too few to say more"
        )
        return f"none of {n} acknowledged writes was lost in {of}: {share}, and {trials_share}{left}"
    counted = str(losses.lost) if losses.lost == losses.lost_at_most else f"{losses.lost} to {losses.lost_at_most}"
    share = f"the loss rate lies below {losses.loss_rate_below * 100:.2g} % (95 %, were losses spread evenly)"
    return f"{counted} of {n} acknowledged writes were lost, in {losses.trials_with_loss} of {of}: {share}, {trials_share}{left}"
