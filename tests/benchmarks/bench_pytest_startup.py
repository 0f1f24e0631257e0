"""What the plugin adds to a pytest that uses none of it: `pytest --collect-only` of one empty test, with and without, in turn.

    python tests/benchmarks/bench_pytest_startup.py [--rounds 15]

Prints the median of the user and system time of each, their ratio, and the load of the machine.
"""

from __future__ import annotations

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def cpu_s(folder: Path, *words: str) -> float:
    """Processor time of one pytest; unlike the time on the clock it says little about the machine's other work."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    argv = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words]
    subprocess.run(argv, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "test_nothing.py").write_text("def test_nothing():\n    pass\n")
        ways = {"without": ("-p", "no:chaoskit"), "with": ()}
        for words in ways.values():
            cpu_s(folder, *words)  # byte code is compiled once
        taken: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, words in ways.items():
                taken[way].append(cpu_s(folder, *words))
    medians = {way: statistics.median(found) for way, found in taken.items()}
    for way, found in taken.items():
        print(f"{way:8} {medians[way] * 1000:7.1f} ms  ({min(found) * 1000:.1f} to {max(found) * 1000:.1f}, {rounds} rounds)")
    print(f"ratio    {medians['with'] / medians['without']:.3f}")
    print(f"load     {' '.join(f'{load:.1f}' for load in os.getloadavg())}")


if __name__ == "__main__":
    main()
