"""Rendering the report of a million samples: `python tests/benchmarks/bench_render.py [--factor 160] [--rounds 3]`.

A run of a failover, recorded at so many times the usual rate, is rendered to HTML by a new process each round; its time counts
from the call to the return of `render`, with imports done. Beside it, for scale, the time in which the same process's SQLite
hands over all columns of all samples, and does nothing with them. The pages must be the same to the byte.
"""

from __future__ import annotations

import argparse
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from tests.reporting.recorded_runs import Shape, write_run

RENDER = """
import json, sqlite3, sys, time
from contextlib import closing
from pathlib import Path
from chaoskit.reporting.render import render
run = Path(sys.argv[1])
def timed(act):
    cpu, began = time.process_time(), time.perf_counter()
    act()
    return {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
def handed_over():
    with closing(sqlite3.connect(run / "samples.sqlite")) as db:
        for _ in db.execute("SELECT * FROM samples"):
            pass
print(json.dumps({"read": timed(handed_over), "render": timed(lambda: render(run, ("html",)))}))
"""


def main() -> int:
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--factor", type=float, default=160.0, help="160: a little over a million samples")
    wanted.add_argument("--rounds", type=int, default=3)
    given = wanted.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaoskit-bench-") as place:
        run = write_run(Path(place) / "run", Shape(rate_factor=given.factor))
        with closing(sqlite3.connect(run / "samples.sqlite")) as database:
            (count,) = database.execute("SELECT count(*) FROM samples").fetchone()
        print(f"{count} samples, {given.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
        rounds, pages = [], set()
        for _ in range(given.rounds):
            done = subprocess.run([sys.executable, "-c", RENDER, str(run)], capture_output=True, text=True, check=True)
            rounds.append(json.loads(done.stdout))
            pages.add((run / "report.html").read_bytes())
        for what in ("read", "render"):
            for key in ("wall_s", "cpu_s"):
                values = sorted(one[what][key] for one in rounds)
                print(f"{what} {key}: median {statistics.median(values):.2f} s ({values[0]:.2f} to {values[-1]:.2f})")
        ratio = statistics.median(one["render"]["wall_s"] / one["read"]["wall_s"] for one in rounds)
        print(f"rendering takes {ratio:.2f} x what handing all samples over does")
        print(f"page: {len(next(iter(pages)))} bytes; {len(pages)} different of {given.rounds}; load {os.getloadavg()[0]:.1f}")
    return 0 if len(pages) == 1 else 1


if __name__ == "__main__":
    sys.exit(main())
