"""What is said of all trials together, on a terminal."""

from __future__ import annotations

from chaoskit.model.over_trials import Summary
from chaoskit.model.result import Result
from chaoskit.surfaces.terminal import say, say_table

BUDGET_STYLES = {True: "good", False: "bad", None: ""}
SHOWN = ("rto", "rpo_window", "flaps")


def say_over_trials(result: Result) -> None:
    """A line for each figure over the trials, where there are several; then what is claimed of the worst of them."""
    if result.yearly is not None:
        say()
        say(f"yearly downtime: {result.yearly.text}", BUDGET_STYLES[result.yearly.within_budget])
    if len(result.trials) < 2:
        return
    say()
    say(f"over {len(result.trials)} trials", "head")
    shown = {name: s for name, s in result.summary.items() if name in SHOWN or name.startswith("rto:")}
    if len([name for name in shown if name.startswith("rto:")]) == 1:
        shown = {name: s for name, s in shown.items() if not name.startswith("rto:")}  # the same as `rto`
    rows = [(f"  {name}", str(s.n), value(s, s.median), interval(s), value(s, s.max)) for name, s in shown.items()]
    if rows:
        say_table(("  figure", "n", "median", "95 % interval of the median", "worst"), rows)
    if "rto" in shown:
        say(f"  rto: {shown['rto'].confidence}")
    if result.losses is not None:
        say(f"  writes: {result.losses.text}")
    if result.stopped is not None:
        say(f"  stopped: {result.stopped}")


def value(summary: Summary, number: float | None) -> str:
    """A number of a summary with its unit; a missing one is infinite where a trial is censored, else unknown."""
    if number is None:
        return "infinite" if summary.censored else "unknown"
    return f"{number:.3g} {summary.unit}" if abs(number) < 1 else f"{number:.2f} {summary.unit}"


def interval(summary: Summary) -> str:
    """The interval of the median, or why there is none."""
    if summary.ci is None:
        return "none: it takes 6 trials"
    return f"{value(summary, summary.ci[0])} to {value(summary, summary.ci[1])}"
