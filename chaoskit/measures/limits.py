"""How a figure with bounds is held against a limit: the rule that every objective shares.

Met only where the whole of the figure's bounds keeps the limit, missed only where none of it does; in between, and where the
figure is invalid, it is unknown. Unknown is never a pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from chaoskit.model.figures import ClientFigures, Figure
from chaoskit.model.result import ObjectiveOutcome, TrialMeasures
from chaoskit.model.units import Bound, Duration, Fraction

CEILINGS = ("<=", "<", "==")
FLOORS = (">=", ">", "==")
Quantity = type[Duration] | type[Fraction] | None


def ceiling(value: Any, quantity: Quantity) -> Bound:
    """A limit from above, such as "<= 30s". ValueError where `value` is none."""
    bound = Bound.parse(value, quantity)
    if bound.operator not in CEILINGS:
        raise ValueError(
            f"smaller is better here: write a limit from above, such as '<= {bound.text.split()[-1]}', not {bound.text!r}"
        )
    return bound


def floor(value: Any, quantity: Quantity) -> Bound:
    """A limit from below, such as ">= 99%". ValueError where `value` is none."""
    bound = Bound.parse(value, quantity)
    if bound.operator not in FLOORS:
        raise ValueError(
            f"more is better here: write a limit from below, such as '>= {bound.text.split()[-1]}', not {bound.text!r}"
        )
    return bound


def judged(bound: Bound, figure: Figure) -> tuple[bool | None, tuple[str, ...]]:
    """Whether `figure` keeps `bound`: True, False, or None (unknown) with the reason."""
    if not figure.valid:
        return None, figure.reasons or ("the figure is invalid",)
    low, high = figure.low, figure.high
    if low is None and high is None:
        return None, ("the figure has no bounds",)
    # The bound nearer to missing decides that it is met, the one nearer to keeping that it is missed.
    worst, best = (high, low) if bound.is_ceiling else (low, high)
    if bound.operator == "==" and low is not None and high is not None:
        if low == high == bound.limit:
            return True, ()
        return (False, ()) if not low <= bound.limit <= high else (None, (f"its bounds do not tell: {figure.text}",))
    if worst is not None and bound.holds(worst):
        return True, ()
    if best is not None and not bound.holds(best):
        return False, figure.reasons
    if figure.censored:
        return None, (*figure.reasons, f"censored before the limit {bound.text} was reached")
    return None, (f"the limit {bound.text} lies within the bounds: {figure.text}",)


def checked_clients(names: Sequence[str], clients: Sequence[str]) -> None:
    """ValueError for a name that is no client of the experiment."""
    for name in names:
        if name not in clients:
            raise ValueError(f"{name!r} is no client of this experiment; it has {', '.join(clients) or 'none'}")


def per_client(limit: Any, trial: TrialMeasures) -> tuple[tuple[str, ClientFigures | None, Any], ...]:
    """(client, its figures, its limit): those a mapping names, or every client of class fresh without a policy."""
    if isinstance(limit, Mapping):
        return tuple((name, trial.clients.get(name), value) for name, value in limit.items())
    return tuple((name, f, limit) for name, f in sorted(trial.clients.items()) if f.measures_outages)


def outcome(name: str, bound: Bound | str, figure: Figure, trial: TrialMeasures, subject: str = "") -> ObjectiveOutcome:
    """The outcome of one figure; a bound given as text ("none") is judged as "nothing was seen"."""
    if isinstance(bound, str):
        met, reasons = nothing_seen(figure)
        target = bound
    else:
        (met, reasons), target = judged(bound, figure), bound.text
    return ObjectiveOutcome(
        name=name, target=target, actual=figure.text or "unknown", met=met, reasons=reasons, trial=trial.index, subject=subject
    )


def nothing_seen(figure: Figure) -> tuple[bool | None, tuple[str, ...]]:
    """Whether a figure says that nothing happened: as far as attempts or samples could tell, which its text states."""
    if not figure.valid:
        return None, figure.reasons or ("the figure is invalid",)
    if figure.low is None:
        return None, ("the figure has no lower bound",)
    if figure.low > 0 or (figure.point or 0) > 0 or figure.censored:
        return False, figure.reasons
    return True, ()


def missing(name: str, target: str, why: str, trial: TrialMeasures, subject: str = "") -> ObjectiveOutcome:
    """The outcome where there is no figure to judge."""
    return ObjectiveOutcome(
        name=name, target=target, actual="unknown", met=None, reasons=(why,), trial=trial.index, subject=subject
    )
