"""Run directories -> labs/<lab>/measured.json, which the tables in the documentation are made of (`make docs`).

    .venv/bin/python tests/benchmarks/collect_measured.py reports/*

Runs of one experiment on one backend and kind of machine become one entry, in the order in which they were started; a run without
a result is left out, and said to be. Entries of the file for experiments that are not among the runs given are kept. `--add`
before the runs keeps their trials as well, and puts the new ones behind them.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from chaoskit.model.figures import Figure
from chaoskit.model.result import Result, TrialResult
from chaoskit.surfaces.measured import FILE, MEASURED, MeasuredExperiment, MeasuredTrial, measured_experiments

ROOT = Path(__file__).resolve().parents[2]


def worst_rto(trial: TrialResult) -> Figure:
    """The RTO of the fresh client that had it worst; an invalid one outranks all, a censored one every finite one."""
    fresh = [c.rto for c in trial.clients.values() if c.client_class == "fresh"]
    if not fresh:
        return Figure(valid=False)
    return max(fresh, key=lambda f: (not f.valid, f.censored, f.high if f.high is not None else f.low or 0.0))


def measured_trial(trial: TrialResult) -> MeasuredTrial:
    """What the tables need of a trial. Figures that are not valid are left out."""
    rto, rpo = worst_rto(trial), trial.rpo
    known = rpo is not None and rpo.lost.valid and rpo.lost.point is not None
    return MeasuredTrial(
        rto_point_s=rto.point if rto.valid else None,
        rto_low_s=rto.low if rto.valid else None,
        rto_high_s=rto.high if rto.valid else None,
        verdict=trial.verdict,
        lost=int(rpo.lost.point or 0) if known and rpo is not None else None,
        acknowledged=rpo.acknowledged if rpo is not None else None,
        availability={
            name: round(client.availability.point, 6)
            for name, client in sorted(trial.clients.items())
            if client.availability.valid and client.availability.point is not None
        },
        two_leaders_s=two_leaders_s(trial),
    )


def two_leaders_s(trial: TrialResult) -> tuple[float, float] | None:
    """The bounds of the time with more than one leader; None where they are not known."""
    time = trial.flapping.dual_owner_time if trial.flapping is not None else None
    if time is None or not time.valid or time.low is None or time.high is None:
        return None
    return round(time.low, 6), round(time.high, 6)


def machine(result: Result) -> str:
    """System, kernel version and processors, without anything that names one machine."""
    found = result.environment
    kernel = str(found.get("kernel", "")).partition("-")[0]
    memory = round(int(found.get("memory_bytes", 0)) / 2**30)
    return f"{found.get('system')}, Linux {kernel}, {found.get('machine')}, {found.get('cpus')} processors, {memory} GiB"


def experiment_file(result: Result) -> str:
    """The experiment's path from `experiments/` on."""
    parts = Path(result.experiment.path).parts
    if "experiments" not in parts:
        raise SystemExit(f"{result.run_id}: {result.experiment.path} lies in no folder `experiments`")
    return "/".join(parts[len(parts) - 1 - parts[::-1].index("experiments") :])


def entry(key: tuple[str, str, str, str], trials: tuple[MeasuredTrial, ...]) -> MeasuredExperiment:
    """One experiment on one backend of one kind of machine."""
    return MeasuredExperiment(experiment=key[0], backend=key[1], mode=key[2], machine=key[3], trials=trials)


def key_of(measured: MeasuredExperiment) -> tuple[str, str, str, str]:
    """What is replaced by newer runs of the same."""
    return measured.experiment, measured.backend, measured.mode, measured.machine


def main(places: list[str], root: Path = ROOT) -> None:
    adding, places = places[:1] == ["--add"], places[places[:1] == ["--add"] :]
    if not places:
        raise SystemExit(__doc__)
    results = []
    for place in places:
        file = Path(place) / "result.json"
        if not file.is_file():
            print(f"left out: {place} has no result.json", file=sys.stderr)
            continue
        results.append(Result.model_validate_json(file.read_bytes()))
    grouped: dict[str, dict[tuple[str, str, str, str], list[MeasuredTrial]]] = defaultdict(lambda: defaultdict(list))
    for result in sorted(results, key=lambda r: r.started):
        key = (experiment_file(result), result.lab.backend, result.lab.mode, machine(result))
        grouped[result.lab.name][key] += [measured_trial(t) for t in result.trials]
    for lab, entries in grouped.items():
        folder = root / "labs" / lab
        before = {key_of(m): m.trials for m in measured_experiments(folder)} if adding else {}
        made = {k: entry(k, (*before.get(k, ()), *trials)) for k, trials in entries.items()}
        kept = [m for m in measured_experiments(folder) if key_of(m) not in made]
        whole = sorted([*kept, *made.values()], key=key_of)
        (folder / FILE).write_bytes(MEASURED.dump_json(tuple(whole), indent=1) + b"\n")
        print(f"labs/{lab}/{FILE}: {len(whole)} entries, {sum(map(len, entries.values()))} trials from these runs")


if __name__ == "__main__":
    main(sys.argv[1:])
