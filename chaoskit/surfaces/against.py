"""`run --against NAME`: the run that has just ended, held against a named baseline."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from chaoskit.archive.baselines import baseline, runs_of
from chaoskit.engine.comparing import Recorded, compare, forbidding, recorded
from chaoskit.engine.judging import series
from chaoskit.engine.run_directory import RunDirectory
from chaoskit.engine.shifts import trials_against
from chaoskit.model.comparison import Comparison
from chaoskit.model.errors import InputError, Problem
from chaoskit.model.plan import Plan

COMPARISON_FILE = "comparison.json"
CODES = {"equivalent": 0, "improved": 0, "regressed": 1, "inconclusive": 3}


@dataclass(frozen=True)
class Against:
    """A baseline that was read, and found comparable, before anything started."""

    name: str
    runs: list[Recorded]
    tolerance: str | None

    def comparison(self, run: Path) -> Comparison:
        """The run's trials against the baseline's; kept in the run directory as well. InputError where it was not judged."""
        label = f"baseline {self.name}"
        made = compare([(label, self.runs), (run.name, [recorded(run)])], "rto", self.tolerance)
        RunDirectory(run).write_text(COMPARISON_FILE, made.model_dump_json(by_alias=True, indent=1) + "\n")
        return made


def against(reports: Path, name: str, tolerance: str | None, plan: Plan) -> Against:
    """InputError where there is no such baseline, where it asked something else, or has no figure or the tolerance is none."""
    kept = baseline(reports, name, "--against")
    runs = [recorded(path) for path in runs_of(reports, name)]
    found = Against(name, runs, tolerance or kept.tolerance)
    different = forbidding(runs[0], json.loads(plan.model_dump_json(by_alias=True)))
    if different:
        message = f"the baseline {name!r} asked something else; a shift from it would say nothing"
        problems = [Problem(message=f"{what} differs", value=here, allowed=(there,)) for what, there, here in different[:20]]
        raise InputError([Problem(message=message, path="--against", value=name), *problems])
    compare([(name, runs), (name, runs)], "rto", found.tolerance)  # whatever could not be compared later is refused now
    return found


def expectations(found: Against, trials: int) -> tuple[str, ...]:
    """What is known before the run: that so few trials can give no verdict; nothing where they can."""
    valid = sum(1 for run in found.runs for _, f in series(run.result.trials).get("rto", ()) if f.valid)
    needed = trials_against(valid)
    if needed is None:
        return (f"the baseline {found.name!r} has no valid trial: no verdict against it is possible",)
    if trials >= needed:
        return ()
    against_it = f"{valid} v {trials} trials give no verdict against {found.name!r}, whatever they are"
    return (f"{against_it}: it takes {needed} of them (--repeat {needed})",)


def code_against(code: int, verdict: str) -> int:
    """The exit code of a verdict and a comparison: 1 for a miss or a regression, then 3 for what is not known."""
    compared = CODES[verdict]
    return next((worst for worst in (1, 3) if worst in (code, compared)), code)
