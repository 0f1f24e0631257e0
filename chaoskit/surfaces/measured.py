"""Tables of measured recovery times, from labs/<lab>/measured.json beside what each experiment promises.

`tests/benchmarks/collect_measured.py` writes that file from recorded runs, so that no figure is typed by hand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pydantic import TypeAdapter
from ruamel.yaml import YAML

from chaoskit.engine.labfile import read_lab
from chaoskit.engine.predicting import predicted_rto_s
from chaoskit.model.experiment import Experiment
from chaoskit.model.lab import LabSpec
from chaoskit.model.record import Record
from chaoskit.model.result import Verdict


class MeasuredTrial(Record):
    """One trial: the RTO of the fresh client that had it worst, in seconds.

    No point with a high bound: no outage was seen, or a shorter one. No high bound: censored. Neither bound: no valid figure.
    """

    rto_point_s: float | None = None
    rto_low_s: float | None = None
    rto_high_s: float | None = None
    verdict: Verdict
    lost: int | None = None
    """Acknowledged writes that are gone; None where that is not known."""
    acknowledged: int | None = None
    availability: dict[str, float] = {}
    """Client -> share of its attempts that were ok, fault and recovery included."""
    two_leaders_s: tuple[float, float] | None = None
    """The least and the most time with more than one leader; None where nobody watched. A least of 0: none was seen."""


class MeasuredExperiment(Record):
    """Trials of one experiment on one kind of machine."""

    experiment: str
    """Its file, relative to the repository."""
    trials: tuple[MeasuredTrial, ...]
    backend: str = "namespace"
    mode: str
    """How the backend worked: on namespaces root or rootless."""
    machine: str


MEASURED: TypeAdapter[tuple[MeasuredExperiment, ...]] = TypeAdapter(tuple[MeasuredExperiment, ...])
FILE = "measured.json"


def measured_experiments(lab: Path) -> tuple[MeasuredExperiment, ...]:
    """What was measured on a lab (its folder); empty where nothing was."""
    file = lab / FILE
    return MEASURED.validate_json(file.read_bytes()) if file.is_file() else ()


def blocks(root: Path) -> dict[str, str]:
    """`experiments.<lab>` and `measured.<lab>` for every lab that has experiments, and `compared.backends`."""
    made = {"compared.backends": _compared(root)}
    for folder in sorted(p.parent for p in root.glob("labs/*/lab.yaml")):
        files = sorted(root.glob(f"experiments/{folder.name}/*.yaml"))
        if files:
            found = measured_experiments(folder)
            made[f"experiments.{folder.name}"] = _experiments(root, files, found)
            made[f"measured.{folder.name}"] = _measured(root, folder, files, found)
    return made


def _read(file: Path) -> Experiment:
    return Experiment.model_validate(YAML(typ="safe").load(file.read_text(encoding="utf-8")))


def _experiments(root: Path, files: Sequence[Path], found: Sequence[MeasuredExperiment]) -> str:
    lines = ["| Experiment | What it promises | RTO measured |", "| --- | --- | --- |"]
    for file in files:
        name, experiment = str(file.relative_to(root)), _read(file)
        seen = [f"{_span(m.trials)}{_where(m)}" for m in found if m.experiment == name]
        lines.append(f"| `{name}`: {experiment.title} | {_promises(experiment)} | {'; '.join(seen) or 'not measured yet'} |")
    return "\n".join(lines) + "\n"


def _where(entry: MeasuredExperiment) -> str:
    """Told where it is not the default, namespaces as root."""
    if entry.backend != "namespace":
        return f" ({entry.backend})"
    return "" if entry.mode == "root" else f" ({entry.mode})"


def _compared(root: Path) -> str:
    """Experiments that were measured on Docker beside the same ones on namespaces as root: one row each."""
    titles = (
        "Experiment",
        "Predicted RTO",
        "Backend",
        "RTO, one line a trial",
        "Lost of acknowledged",
        "Verdicts",
        "Spans overlap",
    )
    lines = [f"| {' | '.join(titles)} |", "| --- |" + " --- |" * (len(titles) - 1)]
    for folder in sorted(p.parent for p in root.glob("labs/*/lab.yaml")):
        found = measured_experiments(folder)
        for there in (m for m in found if m.backend == "docker"):
            here = [m for m in found if (m.experiment, m.backend, m.mode) == (there.experiment, "namespace", "root")]
            if not here:
                continue
            predicted = _predicted(folder, _read(root / there.experiment))
            for entry in (*here, there):
                overlap = "" if entry is there else _overlap(entry.trials, there.trials)
                cells = ["<br>".join(cell(t) for t in entry.trials) for cell in (_rto, _lost, _verdict)]
                lines.append(f"| `{entry.experiment}` | {predicted} | {entry.backend} | {' | '.join(cells)} | {overlap} |")
    return "\n".join(lines) + "\n"


def _overlap(one: Sequence[MeasuredTrial], other: Sequence[MeasuredTrial]) -> str:
    """Whether the spans of two series of trials, from the least low bound to the greatest high one, have anything in common."""
    if any(t.rto_low_s is None or t.rto_high_s is None for t in (*one, *other)):
        return "unknown"
    spans = [(min(t.rto_low_s or 0.0 for t in trials), max(t.rto_high_s or 0.0 for t in trials)) for trials in (one, other)]
    return "yes" if max(low for low, _ in spans) <= min(high for _, high in spans) else "no"


def _promises(experiment: Experiment) -> str:
    said = []
    for name, limit in experiment.objectives.items():
        if isinstance(limit, dict):
            values = dict.fromkeys(str(v) for v in limit.values())
            short = next(iter(values)) if len(values) == 1 and name != "rpo" else ", ".join(f"{k} {v}" for k, v in limit.items())
        else:
            short = str(limit)
        said.append(f"{name} {short}".replace("<", "&lt;"))
    return "; ".join(said)


def _span(trials: Sequence[MeasuredTrial]) -> str:
    """All trials in one cell: from the least low bound to the greatest high one."""
    count = f"{len(trials)} {'trial' if len(trials) == 1 else 'trials'}"
    valid = [t for t in trials if t.rto_low_s is not None]
    if len(valid) < len(trials):
        return f"{len(trials) - len(valid)} of {count} without a valid figure"
    if any(t.rto_high_s is None for t in valid):
        return f"not recovered by itself in {sum(t.rto_high_s is None for t in valid)} of {count}"
    high = max(t.rto_high_s or 0.0 for t in valid)
    if all(t.rto_point_s is None for t in valid):
        return f"none seen, or shorter than {_time(high)}; {count}"
    return f"{_time(min(t.rto_low_s or 0.0 for t in valid))} to {_time(high)}; {count}"


def _measured(root: Path, folder: Path, files: Sequence[Path], found: Sequence[MeasuredExperiment]) -> str:
    columns = [(title, cell) for title, is_there, cell in _COLUMNS if any(is_there(t) for m in found for t in m.trials)]
    titles = ["Experiment", "Predicted RTO", "Measured RTO, one line a trial", *(t for t, _ in columns), "Verdicts", "Backend"]
    lines = [f"| {' | '.join(titles)} |", "| --- |" + " --- |" * (len(titles) - 1)]
    for file in files:
        name = str(file.relative_to(root))
        entries = [m for m in found if m.experiment == name]
        predicted = _predicted(folder, _read(file))
        if not entries:
            lines.append(f"| `{file.name}` | {predicted} | not measured yet |" + " |" * (len(titles) - 3))
        for entry in entries:
            shown = [_rto, *(cell for _, cell in columns), _verdict]
            cells = ["<br>".join(cell(t) for t in entry.trials) for cell in shown]
            lines.append(f"| `{file.name}` | {predicted} | {' | '.join(cells)} | {entry.backend} ({entry.mode}) |")
    machines = sorted({m.machine for m in found})
    return "\n".join(lines) + "\n" + (f"\nMeasured on: {'; '.join(machines)}.\n" if machines else "")


def _verdict(trial: MeasuredTrial) -> str:
    return trial.verdict


def _lost(trial: MeasuredTrial) -> str:
    return "unknown" if trial.lost is None else f"{trial.lost} of {trial.acknowledged}"


def _availability(trial: MeasuredTrial) -> str:
    return ", ".join(f"{client} {share * 100:.2f} %" for client, share in trial.availability.items())


def _two_leaders(trial: MeasuredTrial) -> str:
    if trial.two_leaders_s is None:
        return "unknown"
    low, high = trial.two_leaders_s
    return f"{_time(low)} to {_time(high)}" if low > 0 else f"none seen, or shorter than {_time(high)}"


_COLUMNS: Sequence[tuple[str, Callable[[MeasuredTrial], bool], Callable[[MeasuredTrial], str]]] = (
    ("Lost of acknowledged", lambda t: t.acknowledged is not None, _lost),
    ("Availability", lambda t: bool(t.availability), _availability),
    ("Two leaders at once", lambda t: t.two_leaders_s is not None, _two_leaders),
)
"""Columns that are shown where any trial of the lab has something to say in them."""


def _predicted(folder: Path, experiment: Experiment) -> str:
    """What the lab predicts, for experiments that take its leader away; for others it says nothing."""
    lab = read_lab(folder, experiment.lab.variant, experiment.lab.settings)
    span = predicted_rto_s(lab.spec, lab.document)
    if span is None or not takes_the_leader(experiment, lab.spec):
        return "nothing"
    return f"{_time(span[0])} to {_time(span[1])}"


def takes_the_leader(experiment: Experiment, lab: LabSpec) -> bool:
    """Whether a node or network fault hits whoever leads."""
    return any(
        a.target.role == lab.leader is not None and a.inject.partition(".")[0] in ("node", "network") for a in experiment.method
    )


def _rto(trial: MeasuredTrial) -> str:
    if trial.rto_low_s is None:
        return "no valid figure"
    if trial.rto_high_s is None:
        return f"more than {_time(trial.rto_low_s)}: not recovered by itself"
    if trial.rto_point_s is None:
        return f"none seen, or shorter than {_time(trial.rto_high_s)}"
    return f"{_time(trial.rto_point_s)} ({_time(trial.rto_low_s)} to {_time(trial.rto_high_s)})"


def _time(value_s: float) -> str:
    return f"{value_s * 1000:.3g} ms" if value_s < 1 else f"{value_s:.2f} s"
