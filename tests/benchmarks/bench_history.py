"""The index of many run directories: `python tests/benchmarks/bench_history.py [--runs 10000] [--rounds 3]`.

Run directories are made from the recorded sample in reports/ (plan, result, undo journal). Timed, each as a process with its
start and imports: `history rebuild`, which reads all of them and writes the page; `history`, which compares index and
directories and lists 20; the same after one more run; `history trend` of one experiment with 1 run in 20; `prune --dry-run`.
Ratios, in CPU time: of rebuilding to reading and parsing the same files once, and of listing with an index to listing without.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SAMPLE = Path(__file__).parents[2] / "reports" / "sample"
EXPERIMENTS = 20


def write(folder: Path, number: int) -> None:
    """One run directory like the sample; started an hour after the one before it."""
    result, plan = (json.loads((SAMPLE / name).read_bytes()) for name in ("result.json", "plan.json"))
    name = f"run-{number:06}"
    started = time.strftime("%Y-%m-%dT%H:%M:%S.000000Z", time.gmtime(1_700_000_000 + number * 3600))
    path = f"experiments/bench/{number % EXPERIMENTS:02}.yaml"
    result.update(run_id=name, started=started)
    result["experiment"].update(title=f"Experiment {number % EXPERIMENTS}", path=path)
    run = folder / name
    run.mkdir()
    (run / "result.json").write_text(json.dumps(result, indent=1, sort_keys=True))
    (run / "plan.json").write_text(json.dumps(plan, indent=1))
    (run / "undo.jsonl").write_bytes((SAMPLE / "undo.jsonl").read_bytes())
    (run / "report.html").write_text("")


def cpu_s() -> float:
    """Of this process and those it waited for: says more than the clock where the machine has other work."""
    return sum(r.ru_utime + r.ru_stime for r in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)))


def took_s(act: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds."""
    began, cpu = time.perf_counter(), cpu_s()
    act()
    return time.perf_counter() - began, cpu_s() - cpu


def command(folder: Path, *words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "chaoskit.surfaces.cli", *words, "--reports", str(folder)], stdout=subprocess.DEVNULL, check=True
    )


def read_all(folder: Path) -> None:
    """What any index must at least do."""
    for run in folder.glob("run-*"):
        for name in ("result.json", "plan.json"):
            json.loads((run / name).read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"{given.runs} run directories, {given.rounds} rounds, load average {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for number in range(given.runs):
            write(folder, number)
        found: dict[str, list[tuple[float, float]]] = {}

        def timed(what: str, act: Callable[[], object]) -> None:
            found.setdefault(what, []).append(took_s(act))

        for round_ in range(given.rounds):
            timed("reading and parsing every file", lambda: read_all(folder))
            timed("chaoskit --version", lambda: command_without_folder("--version"))
            timed("history rebuild", lambda: command(folder, "history", "rebuild"))
            timed("history", lambda: command(folder, "history"))
            write(folder, given.runs + round_)
            timed("history after one more run", lambda: command(folder, "history"))
            timed("history trend", lambda: command(folder, "history", "trend", "Experiment 7"))
            timed("history prune --dry-run", lambda: command(folder, "history", "prune", "--keep", "100", "--dry-run"))
        size = (folder / "index.sqlite").stat().st_size
    medians = {what: statistics.median(cpu for _, cpu in values) for what, values in found.items()}
    for what, values in found.items():
        walls = [wall for wall, _ in values]
        print(f"{what:<32} {statistics.median(walls):7.2f} s  ({min(walls):.2f} to {max(walls):.2f}), CPU {medians[what]:.2f} s")
    print(f"{'index.sqlite':<32} {size / 1e6:7.1f} MB")
    print(f"rebuild : reading and parsing = {medians['history rebuild'] / medians['reading and parsing every file']:.1f}")
    print(f"rebuild : list with an index  = {medians['history rebuild'] / medians['history']:.1f}")


def command_without_folder(*words: str) -> None:
    subprocess.run([sys.executable, "-m", "chaoskit.surfaces.cli", *words], stdout=subprocess.DEVNULL, check=True)


if __name__ == "__main__":
    main()
