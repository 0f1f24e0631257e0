"""Measured amounts that may be compared, and whose comparisons never lie.

`result.rto <= 30` is True only where the whole of the figure's bounds keeps the limit, and False only where none of it does. In
between, and where the figure is invalid, unknown or censored before the limit, comparing raises UnknownAmount: it is neither.
So `not result.rto <= 30` proves what it says as well.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from chaoskit.measures.limits import judged
from chaoskit.model.errors import ChaoskitError
from chaoskit.model.figures import Figure, Gate
from chaoskit.model.units import Bound, Duration, Fraction, Operator

Limit = float | int | str | datetime.timedelta
"""A number in the figure's unit (seconds, a share, a count), "30s" or "99.9%", or a timedelta."""
MOST_GATES = 6


class UnknownAmount(ChaoskitError):
    """What was asked of a figure cannot be answered: neither yes nor no would be true."""


@dataclass(frozen=True, eq=False)
class Amount:
    """A figure with its bounds, and whose it is."""

    name: str
    """Such as `rto of orders`."""
    figure: Figure
    gates: tuple[Gate, ...] = ()
    report: Path | None = None
    trial: int | None = None
    said: tuple[str, ...] = field(default=(), repr=False)
    """What must be said with it, beyond the figure's own reasons."""

    @property
    def point(self) -> float | None:
        """The best estimate; None where there is none (nothing seen, censored, invalid)."""
        return self.figure.point

    @property
    def low(self) -> float | None:
        """It is at least this; None where it is not known."""
        return self.figure.low

    @property
    def high(self) -> float | None:
        """It is at most this; None where it is censored or not known."""
        return self.figure.high

    @property
    def unit(self) -> str:
        """`s`, `share`, or what is counted."""
        return self.figure.unit

    @property
    def valid(self) -> bool:
        """Whether it may be judged at all."""
        return self.figure.valid

    @property
    def censored(self) -> bool:
        """Whether it did not end while somebody looked: it is more than `low`."""
        return self.figure.censored

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is invalid, or what must be said with it."""
        return (*self.figure.reasons, *self.said)

    def __str__(self) -> str:
        return self.figure.text or "unknown"

    def __repr__(self) -> str:
        return f"<{self.name}: {self}>"

    # -- comparing -----------------------------------------------------------------------------------------------------

    def __le__(self, limit: Limit) -> bool:
        __tracebackhide__ = True
        return self._keeps("<=", limit)

    def __lt__(self, limit: Limit) -> bool:
        __tracebackhide__ = True
        return self._keeps("<", limit)

    def __ge__(self, limit: Limit) -> bool:
        __tracebackhide__ = True
        return self._keeps(">=", limit)

    def __gt__(self, limit: Limit) -> bool:
        __tracebackhide__ = True
        return self._keeps(">", limit)

    def __eq__(self, limit: object) -> bool:
        __tracebackhide__ = True
        if isinstance(limit, (int, float, str, datetime.timedelta)):
            return self._keeps("==", limit)
        return NotImplemented

    def __ne__(self, limit: object) -> bool:
        __tracebackhide__ = True
        if isinstance(limit, (int, float, str, datetime.timedelta)):
            return not self._keeps("==", limit)
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]  # equal to a range of numbers: no key of anything

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self.name} is a figure with bounds, neither true nor false: compare it, as in `{self.name} <= 30`")

    def _keeps(self, operator: Operator, limit: Limit) -> bool:
        __tracebackhide__ = True
        bound = self._bound(operator, limit)
        kept, reasons = judged(bound, self.figure)
        if kept is None:
            raise UnknownAmount("\n".join(self.lines(bound.text, "unknown", reasons)))
        return kept

    def _bound(self, operator: Operator, limit: Limit) -> Bound:
        if isinstance(limit, bool):
            raise TypeError(f"{self.name} is compared with a number, not with {limit}")
        if isinstance(limit, datetime.timedelta):
            if self.unit != "s":
                raise TypeError(f"{self.name} counts {self.unit}, and a time is none")
            return Bound(operator=operator, limit=limit.total_seconds(), text=f"{operator} {limit.total_seconds():g}s")
        if isinstance(limit, str):
            quantity = {"s": Duration, "share": Fraction}.get(self.unit)
            return Bound.parse(f"{operator} {limit}", quantity)
        shown = f"{limit:g} {self.unit}".replace(" s", "s") if self.unit in ("s", "share") else f"{limit:g}"
        return Bound(operator=operator, limit=float(limit), text=f"{operator} {shown}")

    # -- telling -------------------------------------------------------------------------------------------------------

    def lines(self, wanted: str = "", verdict: str = "", reasons: Sequence[str] = ()) -> list[str]:
        """All that belongs to the figure, for people: point, bounds, gates, the report."""
        head = f"{self.name}{f' {wanted}' if wanted else ''}{f' is {verdict}' if verdict else ''}"
        text = str(self).removeprefix("unknown: ") if verdict == "unknown" else str(self)
        lines = [f"{head}: {text}", f"  {self.bounds()}"]
        if self.trial is not None:
            lines.append(f"  trial: {self.trial}")
        lines += [f"  because {reason}" for reason in dict.fromkeys((*reasons, *self.reasons))]
        lines += [f"  gates: {line}" for line in self._gate_lines()]
        if self.figure.rule:
            lines.append(f"  rule: {self.figure.rule}")
        if self.report is not None:
            lines.append(f"  report: {self.report}")
        return lines

    def bounds(self) -> str:
        """Point, bounds and samples in one line."""
        unit = f" {self.unit}" if self.unit else ""
        point = "none" if self.point is None else f"{self.point:.6g}{unit}"
        low = "not known" if self.low is None else f"{self.low:.6g}{unit}"
        high = "unbounded" if self.censored else "not known" if self.high is None else f"{self.high:.6g}{unit}"
        return f"point: {point}; bounds: {low} to {high}; samples: {self.figure.n}"

    def _gate_lines(self) -> list[str]:
        unmet = [gate for gate in self.gates if not gate.met]
        met = len(self.gates) - len(unmet)
        lines = [f"{met} of {len(self.gates)} met"] if self.gates else []
        return lines + [
            f"NOT met: {g.name}{f' of {g.client}' if g.client else ''}: {g.seen}; wanted {g.wanted}" for g in unmet[:MOST_GATES]
        ]
