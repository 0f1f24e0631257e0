"""The run in words: what a figure says, and the one sentence that answers what users felt and what was lost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Literal

from chaoskit.model.errors import ChaoskitError
from chaoskit.model.figures import ClientFigures, Figure, LedgerFigures
from chaoskit.model.result import TrialResult
from chaoskit.model.units import Bound, Duration
from chaoskit.reporting.text import NO_BREAK, count, number, percent, resolution, seconds, span
from chaoskit.reporting.view import View

State = Literal["measured", "none", "censored", "invalid", "missing"]


@dataclass(frozen=True, slots=True)
class Words:
    """A figure for people. `main` is never an empty string and never a 0 that was not measured."""

    state: State
    main: str
    detail: str = ""

    @property
    def parts(self) -> tuple[str, str]:
        """`main` as the number and, in brackets, its bounds; ("none seen", "") where there are none."""
        head, bracket, rest = self.main.partition(" (")
        return (head, f"({rest}") if bracket and rest.endswith(")") else (self.main, "")


def _bounds(low: float, high: float) -> str:
    """Bounds in the unit of the point beside them."""
    return span(low, high).removesuffix(f"{NO_BREAK}s") if abs(high) >= 0.9995 else span(low, high)


def _plain(figure: Figure) -> str:
    """Point and bounds, where the figure brings no words of its own."""
    point, low, high = figure.point, figure.low, figure.high
    if figure.unit == "s":
        if point is None:
            return span(low, high)
        decimals = None if abs(point) < 0.9995 else resolution(low, high)
        bounds = f" ({_bounds(low, high)})" if low is not None and high is not None and (low, high) != (point, point) else ""
        return seconds(point, decimals) + bounds
    shown = percent if figure.unit in ("share", "fraction", "%") else number
    unit = "" if shown is percent or figure.unit in ("", "1") else f" {figure.unit}"
    if point is None:
        return f"{shown(low)} to {shown(high)}{unit}"
    bounds = f" ({shown(low)} to {shown(high)})" if low is not None and high is not None and (low, high) != (point, point) else ""
    return f"{shown(point)}{unit}{bounds}"


def words(figure: Figure | None) -> Words:
    """What to print for a figure: invalid, censored and missing ones say so, with the reason."""
    if figure is None:
        return Words("missing", "not measured")
    because = "; ".join(figure.reasons)
    has_number = any(v is not None for v in (figure.point, figure.low, figure.high))
    seen = figure.text or (_plain(figure) if has_number else "")
    if not figure.valid:
        return _void(figure, because or "no reason was recorded", seen)
    if figure.censored:
        return Words("censored", seen if figure.text else f"more than {seconds(figure.low)}", because or "not over at the end")
    if figure.point is None:
        return Words("none" if seen else "missing", seen or "not measured", because)
    return Words("measured", seen, because)


def _void(figure: Figure, because: str, seen: str) -> Words:
    """An invalid figure: what was seen is said with it, and never alone."""
    seen = seen.removeprefix("invalid: ")
    if seen.startswith("unknown"):
        return Words("invalid", "unknown", because)
    return Words("invalid", "invalid" if seen else "unknown", f"{because} (seen: {seen})" if seen else because)


def figure_text(figure: Figure | None) -> str:
    """`words` on one line."""
    said = words(figure)
    return f"{said.main}: {said.detail}" if said.state == "invalid" else said.main


def limit_s(target: str) -> float | None:
    """The seconds of a limit such as "<= 30s"; None where the text is no limit on a time."""
    try:
        return Bound.parse(target, Duration).limit
    except (ValueError, ChaoskitError):
        return None


def rto_limit(view: View) -> tuple[float | None, str]:
    """The strictest promised RTO and its words, for the pictures."""
    outcomes = [*view.result.objectives, *(o for t in view.result.trials for o in t.objectives)]
    found = [(limit, o.target) for o in outcomes if o.name.split(".")[0] == "rto" and (limit := limit_s(o.target)) is not None]
    return min(found) if found else (None, "")


@dataclass(frozen=True, slots=True)
class _Felt:
    client: str
    trial: TrialResult
    figures: ClientFigures

    @property
    def rank(self) -> float:
        rto = self.figures.rto
        return float("inf") if rto.censored else rto.point if rto.point is not None else -1.0


def _felt(trials: Sequence[TrialResult]) -> list[_Felt]:
    return [_Felt(name, trial, figures) for trial in trials for name, figures in trial.clients.items()]


def came_back(client: ClientFigures) -> bool:
    """Whether service returned in the end: where the RTO is censored all the same, it was the heal that brought it back."""
    return bool(client.outages) and all(outage.recovered_s is not None for outage in client.outages)


def downtime_sentence(view: View) -> str:
    """How long users were down, at worst; or why that cannot be said."""
    trials = view.result.trials
    every = _felt(trials)
    felt = [f for f in every if f.figures.measures_outages] or every
    if not felt:
        return f"How long users were down is unknown: {view.result.incomplete or 'no client was measured'}."
    valid = [f for f in felt if f.figures.rto.valid]
    if not valid:
        reasons = next((f.figures.rto.reasons for f in felt if f.figures.rto.reasons), ("no valid figure",))
        return f"How long users were down is unknown: {'; '.join(reasons)}."
    worst = max(valid, key=lambda f: f.rank)
    where = f"{worst.client}, trial {worst.trial.index}" if len(trials) > 1 else worst.client
    rto = worst.figures.rto
    unknown = len(felt) - len(valid)
    rest = f" For {unknown} of {len(felt)} figures it is unknown." if unknown else ""
    later = _later(worst, every)
    if rto.censored and came_back(worst.figures):
        user_rto = worst.figures.user_rto
        length_s = rto.low if user_rto.point is None else user_rto.point
        return f"Users were down for {seconds(length_s)} ({where}): service came back only with the heal.{rest}"
    if rto.censored:
        return f"Users were still down when observation ended, after more than {seconds(rto.low)} ({where}).{rest}"
    if rto.point is None:
        return f"Users saw no outage ({words(rto).main}; {where}){later}.{rest}"
    decimals = None if rto.point < 0.9995 else resolution(rto.low, rto.high)
    bounds = f", {span(rto.low, rto.high)}" if rto.low is not None and rto.high is not None else ""
    at_worst = "At worst, users" if len(trials) > 1 else "Users"
    return f"{at_worst} were down for {seconds(rto.point, decimals)} ({where}{bounds}){later}.{rest}"


def _later(worst: _Felt, every: Sequence[_Felt]) -> str:
    """Said of the client that came back last, where that is another class of client than the one that RTO is stated for."""
    others = [
        f
        for f in every
        if f.figures.rto.valid and f.trial is worst.trial and f.figures.client_class != worst.figures.client_class
    ]
    last = max(others, key=lambda f: f.rank, default=None)
    if last is None or last.rank <= (worst.figures.rto.high or 0.0):
        return ""
    who = f"the {last.figures.client_class} client {last.client}"
    if last.figures.rto.censored:
        return f"; {who} until the heal" if came_back(last.figures) else f"; {who} never came back"
    return f"; {who} for {seconds(last.figures.rto.point, resolution(last.figures.rto.low, last.figures.rto.high))}"


def loss_sentence(view: View) -> str:
    """How many acknowledged writes are gone; or why that cannot be said."""
    ledgers = [t.rpo for t in view.result.trials if t.rpo is not None]
    if not ledgers:
        return "Whether acknowledged writes were lost was not measured."
    valid = [r for r in ledgers if r.lost.valid and r.lost.point is not None]
    if not valid:
        reasons = next((r.lost.reasons for r in ledgers if r.lost.reasons), ("no valid figure",))
        return f"Whether acknowledged writes were lost is unknown: {'; '.join(reasons)}."
    lost, acknowledged = sum(r.lost.point or 0 for r in valid), sum(r.acknowledged for r in valid)
    in_trials = f" in {len(valid)} trials" if len(valid) > 1 else ""
    rest = f" In {len(ledgers) - len(valid)} trials it is unknown." if len(valid) < len(ledgers) else ""
    if not lost:
        return f"None of {count(acknowledged)} acknowledged writes{in_trials} was lost.{rest}"
    return f"{count(lost)} of {count(acknowledged)} acknowledged writes{in_trials} were lost{_window(valid)}.{rest}"


def _window(ledgers: Sequence[LedgerFigures]) -> str:
    windows = [r.window for r in ledgers if r.window.valid and r.window.point]
    if not windows:
        return ""
    widest = max(windows, key=lambda w: w.point or 0)
    return f", a window of {seconds(widest.point)}"


VERDICT_WORDS = {"passed": "Passed", "failed": "Failed", "unknown": "Unknown"}


def objectives_sentence(view: View) -> str:
    """How many objectives were met."""
    outcomes = view.result.objectives or tuple(o for t in view.result.trials for o in t.objectives)
    if not outcomes:
        return "No objective was judged."
    met, missed = sum(o.met is True for o in outcomes), sum(o.met is False for o in outcomes)
    unknown = len(outcomes) - met - missed
    parts = [f"{missed} missed"] * bool(missed) + [f"{unknown} unknown"] * bool(unknown) + [f"{met} met"] * bool(met)
    noun = "objective" if len(outcomes) == 1 else "objectives"
    return f"Of {len(outcomes)} {noun}, {', '.join(parts)}." if len(parts) > 1 else f"{len(outcomes)} {noun}: {parts[0]}."


def leader_role(view: View) -> str | None:
    """The role whose holder leads, as the lab names it; else the only role that is watched."""
    return leader_named(view.plan, {r.role for t in view.trials for r in t.roles})


def leader_named(plan: Mapping[str, Any], watched: Set[str]) -> str | None:
    lab = plan.get("lab")
    named = lab.get("leader") if isinstance(lab, dict) else None
    if isinstance(named, str) and named in watched:
        return named
    return next(iter(watched)) if len(watched) == 1 else None
