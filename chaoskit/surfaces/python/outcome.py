"""The result of a run as Python sees it: typed attributes over result.json, each figure an Amount that may be compared."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path

from chaoskit.engine.judging import blocked, blocking_reasons, worst
from chaoskit.measures.wording import unknown
from chaoskit.model.figures import ClientFigures, Figure, FlappingFigures, LedgerFigures
from chaoskit.model.result import ObjectiveOutcome, Result, TrialResult, Verdict
from chaoskit.surfaces.conducting import Conducted, report_of
from chaoskit.surfaces.python.amounts import Amount, UnknownAmount


class ClientOutcome:
    """What one client met in one trial."""

    def __init__(self, name: str, figures: ClientFigures, trial: TrialOutcome) -> None:
        self.name, self.figures, self._trial = name, figures, trial

    def _amount(self, what: str, figure: Figure) -> Amount:
        return self._trial.amount(f"{what} of {self.name}", figure, self.name)

    @property
    def rto(self) -> Amount:
        """From the first failed attempt of the longest outage to the first ok one of a lasting return, in seconds."""
        return self._amount("rto", self.figures.rto)

    @property
    def user_rto(self) -> Amount:
        """The same until the answer arrived."""
        return self._amount("user_rto", self.figures.user_rto)

    @property
    def fault_rto(self) -> Amount:
        """From the fault's effect to the first ok attempt of a lasting return, in seconds."""
        return self._amount("fault_rto", self.figures.fault_rto)

    @property
    def availability(self) -> Amount:
        """The share of its attempts that were ok."""
        return self._amount("availability", self.figures.availability)

    @property
    def errors(self) -> Mapping[str, int]:
        """Failed attempts by class."""
        return self.figures.errors

    @property
    def latency(self) -> Mapping[str, float | None]:
        """p50, p95, p99 and max of ok attempts, in seconds."""
        return self.figures.latency


class Losses:
    """What became of the acknowledged writes (RPO)."""

    def __init__(self, amount: Callable[[str, Figure], Amount], ledgers: LedgerFigures | None) -> None:
        self._amount, self.figures = amount, ledgers

    def _of(self, name: str, figure: Callable[[LedgerFigures], Figure], unit: str) -> Amount:
        found = unknown("no client keeps a ledger of writes", unit=unit) if self.figures is None else figure(self.figures)
        return self._amount(f"rpo.{name}", found)

    @property
    def lost(self) -> Amount:
        """Acknowledged writes that are gone."""
        return self._of("lost", lambda f: f.lost, "writes")

    @property
    def window(self) -> Amount:
        """How far back the lost writes reach, in seconds."""
        return self._of("window", lambda f: f.window, "s")

    @property
    def split_brain_acks(self) -> Amount:
        """Writes that a leader acknowledged after another one had taken over."""
        return self._of("split_brain_acks", lambda f: f.split_brain_acks, "writes")

    @property
    def acknowledged(self) -> int:
        """Writes that were acknowledged; UnknownAmount where no client keeps a ledger."""
        if self.figures is None:
            raise UnknownAmount("rpo.acknowledged is unknown: no client keeps a ledger of writes")
        return self.figures.acknowledged


class TrialOutcome:
    """One trial."""

    def __init__(self, trial: TrialResult, report: Path | None) -> None:
        self.figures, self._report = trial, report
        self._blockers = blocking_reasons(trial)

    @property
    def index(self) -> int:
        """From 0."""
        return self.figures.index

    @property
    def verdict(self) -> Verdict:
        """passed, failed or unknown."""
        return self.figures.verdict

    def amount(self, name: str, figure: Figure, client: str = "") -> Amount:
        """A figure of this trial with the gates it depends on; invalid where nothing of the trial may be judged."""
        gates = tuple(g for g in self.figures.gates if not g.client or not client or g.client == client)
        return Amount(name, blocked(figure, self._blockers), gates, self._report, self.index)

    @cached_property
    def clients(self) -> Mapping[str, ClientOutcome]:
        """By name."""
        return {name: ClientOutcome(name, figures, self) for name, figures in self.figures.clients.items()}

    @property
    def rto(self) -> Amount:
        """Of the client that had it worst, of those that meet outages as they are (class fresh, no retry policy)."""
        fresh = [c.rto for c in self.clients.values() if c.figures.measures_outages]
        if not fresh:
            return self.amount("rto", unknown("no client of class fresh and without a retry policy"))
        return _worst(fresh)

    @property
    def rpo(self) -> Losses:
        """Lost writes."""
        return Losses(self.amount, self.figures.rpo)

    def _stability(self, name: str, unit: str, of: Callable[[FlappingFigures], Figure]) -> Amount:
        figures = self.figures.flapping
        return self.amount(name, of(figures) if figures is not None else unknown("it was not measured", unit=unit))

    @property
    def flaps(self) -> Amount:
        """How often service went away again after it had come back."""
        return self._stability("flaps", "flaps", lambda f: f.flaps)

    @property
    def leader_changes(self) -> Amount:
        """Confirmed changes of the leader."""
        return self._stability("leader_changes", "changes", lambda f: f.leader_changes)

    @property
    def dual_owner_time(self) -> Amount:
        """How long two nodes led at once, in seconds."""
        return self._stability("dual_owner_time", "s", lambda f: f.dual_owner_time)


class RunResult:
    """A run: its verdict, its figures over all trials (the worst of each), and its trials one by one."""

    def __init__(self, result: Result, directory: Path, report: Path | None, kept_lab: str | None = None) -> None:
        self.result = result
        """The whole of result.json."""
        self.directory, self.report, self.kept_lab = directory, report, kept_lab
        self.trials = tuple(TrialOutcome(trial, report) for trial in result.trials)

    @classmethod
    def of(cls, conducted: Conducted) -> RunResult:
        """Of a run that has just ended."""
        return cls(conducted.result, conducted.directory, report_of(conducted.written), conducted.kept_lab)

    @classmethod
    def read(cls, directory: Path | str) -> RunResult:
        """Of a run that was recorded and judged."""
        place = Path(directory)
        result = Result.model_validate_json((place / "result.json").read_bytes())
        page = place / "report.html"
        return cls(result, place, page if page.exists() else None)

    def __repr__(self) -> str:
        return f"<{self.result.experiment.title}: {self.verdict}, rto {self.rto}>"

    @property
    def verdict(self) -> Verdict:
        """passed, failed or unknown."""
        return self.result.verdict

    @property
    def passed(self) -> bool:
        """Whether every objective was met. UnknownAmount where that is not known: unknown is never a pass, and no failure."""
        if self.verdict == "unknown":
            raise UnknownAmount("\n".join(["whether it passed is unknown", *self.lines()]))
        return self.verdict == "passed"

    @property
    def objectives(self) -> tuple[ObjectiveOutcome, ...]:
        """What was promised, and whether it was kept (`met`: True, False, or None: unknown)."""
        return self.result.objectives

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the verdict is what it is."""
        return tuple(dict.fromkeys((*self.result.reasons, *(r for o in self.objectives if o.met is None for r in o.reasons))))

    @cached_property
    def clients(self) -> Mapping[str, ClientOverTrials]:
        """By name, over all trials."""
        names = dict.fromkeys(name for trial in self.trials for name in trial.clients)
        return {name: ClientOverTrials(name, self) for name in names}

    @property
    def rto(self) -> Amount:
        """The worst of all trials."""
        return self.over_trials("rto", lambda trial: trial.rto)

    @property
    def rpo(self) -> LossesOverTrials:
        """Lost writes: the worst trial."""
        return LossesOverTrials(self)

    @property
    def flaps(self) -> Amount:
        """The most of all trials."""
        return self.over_trials("flaps", lambda trial: trial.flaps)

    @property
    def leader_changes(self) -> Amount:
        """The most of all trials."""
        return self.over_trials("leader_changes", lambda trial: trial.leader_changes)

    @property
    def dual_owner_time(self) -> Amount:
        """The longest of all trials."""
        return self.over_trials("dual_owner_time", lambda trial: trial.dual_owner_time)

    def over_trials(self, name: str, of: Callable[[TrialOutcome], Amount], *, least: bool = False) -> Amount:
        """The worst trial's; unknown where no trial was carried out, or the run ended before all of them were."""
        if not self.trials:
            return Amount(name, unknown("no trial was carried out"), report=self.report, said=self.reasons)
        found = _worst([of(trial) for trial in self.trials], least=least)
        if self.result.incomplete:
            return Amount(
                name, blocked(found.figure, (f"the run is incomplete: {self.result.incomplete}",)), found.gates, self.report
            )
        return found

    def lines(self) -> list[str]:
        """The verdict with its objectives, for people."""
        marks = {True: "met", False: "MISSED", None: "unknown"}
        lines = [f"{self.verdict.upper()}  {self.result.experiment.title}"]
        lines += [
            f"  {marks[o.met]:7} {' '.join(filter(None, (o.name, o.subject)))} {o.target}: {o.actual}" for o in self.objectives
        ]
        lines += [f"  because {reason}" for reason in self.reasons]
        return lines + ([f"  report: {self.report}"] if self.report is not None else [])


class ClientOverTrials:
    """One client over all trials: the worst of each figure."""

    def __init__(self, name: str, run: RunResult) -> None:
        self.name, self._run = name, run

    def _worst(self, what: str, of: Callable[[ClientOutcome], Amount], *, least: bool = False) -> Amount:
        def found(trial: TrialOutcome) -> Amount:
            client = trial.clients.get(self.name)
            name = f"{what} of {self.name}"
            return of(client) if client is not None else trial.amount(name, unknown("it was not measured in this trial"))

        return self._run.over_trials(f"{what} of {self.name}", found, least=least)

    @property
    def rto(self) -> Amount:
        """The worst of all trials, in seconds."""
        return self._worst("rto", lambda client: client.rto)

    @property
    def user_rto(self) -> Amount:
        """The worst of all trials, in seconds."""
        return self._worst("user_rto", lambda client: client.user_rto)

    @property
    def fault_rto(self) -> Amount:
        """The worst of all trials, in seconds."""
        return self._worst("fault_rto", lambda client: client.fault_rto)

    @property
    def availability(self) -> Amount:
        """The least of all trials: the share of attempts that were ok."""
        return self._worst("availability", lambda client: client.availability, least=True)


class LossesOverTrials:
    """Lost writes: the worst trial of each."""

    def __init__(self, run: RunResult) -> None:
        self._run = run

    @property
    def lost(self) -> Amount:
        """The most acknowledged writes that a trial lost."""
        return self._run.over_trials("rpo.lost", lambda trial: trial.rpo.lost)

    @property
    def window(self) -> Amount:
        """How far back lost writes reach, in seconds."""
        return self._run.over_trials("rpo.window", lambda trial: trial.rpo.window)

    @property
    def split_brain_acks(self) -> Amount:
        """Writes that a superseded leader acknowledged."""
        return self._run.over_trials("rpo.split_brain_acks", lambda trial: trial.rpo.split_brain_acks)

    @property
    def acknowledged(self) -> int:
        """Writes that were acknowledged in all trials together."""
        return sum(trial.rpo.acknowledged for trial in self._run.trials)


def _worst(amounts: Iterable[Amount], *, least: bool = False) -> Amount:
    """By the rule of the judge: an invalid one outranks all, a censored one every finite one. `least`: smaller is worse."""
    found = list(amounts)
    if least:
        return min(found, key=lambda a: (a.valid, a.low if a.low is not None else 0.0))
    chosen = worst([amount.figure for amount in found])
    return next(amount for amount in found if amount.figure is chosen)
