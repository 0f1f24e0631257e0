"""Recording and measuring a million samples: `python tests/benchmarks/bench_samples.py [--samples 1000000] [--rounds 3]`.

Recording: rows are handed to the spool of a probe as fast as one thread can, each round to a new file; counted are the rows that
the file holds afterwards, and the time until all of them are committed; then the same of attempts on bare sockets, which are
handed on by the thousand, and the time until they are rows of samples.sqlite. Measuring: a run of one client, with one outage, is
recorded; a new process reads and measures it with every registered measure and writes measures.json. Its time counts from the
call to the return of `measure_run`, with imports done; its peak memory is the whole process's, as the kernel
tells it (VmHWM: ru_maxrss would count that of the process that started it).
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from chaoskit.agents.hiccups import HiccupWatch
from chaoskit.agents.spool import Spool
from chaoskit.clients.tally import Tally
from chaoskit.clients.wire.attempt import WireAttempt
from chaoskit.clients.wire.rows import WireRows
from chaoskit.engine.store import merge_spool
from tests.clients.probing import config
from tests.measures.recorded import client, event, plan, trial
from tests.measures.run_directories import write_run

RATE = 100.0
MEASURE = """
import json, re, sys, time
from pathlib import Path
from chaoskit.engine.measuring import measure_run, registered
registered()
cpu, began = time.process_time(), time.perf_counter()
(measured,) = measure_run(Path(sys.argv[1]))
took = {"wall_s": time.perf_counter() - began, "cpu_s": time.process_time() - cpu}
peak_kib = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
print(json.dumps({**took, "peak_mib": peak_kib / 1024, "rto": measured.clients["orders"].rto.text}))
"""


def recorded(samples: int, folder: Path) -> tuple[float, int]:
    """Seconds until all rows are committed, and how many the file holds."""
    file = folder / "spool.sqlite"
    failures: list[str] = []
    spool = Spool(file, failures.append)
    began = time.perf_counter()
    for n in range(samples):
        q = 1_000_000_000_000 + n * 50_000
        spool.put(
            "samples",
            (0, "orders", n % 20, "fresh", "get", "app", "web", n, f"r1.orders.0.{n}", q, q + 20_000, q + 200_000, q + 400_000,
             q + 500_000, "ok", "ok", "web1", None, "200", None, 3, 0, None),
        )  # fmt: skip
    spool.close(600.0)
    took = time.perf_counter() - began
    with closing(sqlite3.connect(file)) as database:
        (count,) = database.execute("SELECT count(*) FROM samples").fetchone()
    file.unlink()
    if failures:
        raise SystemExit(f"recording failed: {failures}")
    return took, count


def recorded_bare(samples: int, folder: Path) -> tuple[float, float, int]:
    """Seconds until attempts on bare sockets are committed, seconds to merge them, and how many there are then."""
    run = folder / "bare"
    given = config(run / "spool" / "0-orders.sqlite", 80, client_class="pooled")
    failures: list[str] = []
    spool, hiccups = Spool(Path(given.spool), failures.append), HiccupWatch(10**9, lambda *_: None)
    rows = WireRows(given, spool, hiccups, Tally("orders", 10**9))
    began = time.perf_counter()
    for n in range(samples):
        q = 1_000_000_000_000 + n * 50_000
        attempt = WireAttempt(n, q, 3)
        attempt.t_send, attempt.t_first_byte, attempt.t_end = q + 20_000, q + 400_000, q + 400_000
        attempt.answered_by, attempt.value = "web1", "200"
        rows.add(attempt)
        if n % 1000 == 999:
            rows.settle(all_of_them=True)
    rows.settle(all_of_them=True)
    spool.close(600.0)
    hiccups.close()
    recorded = time.perf_counter()
    merge_spool(run)
    took = time.perf_counter() - recorded
    with closing(sqlite3.connect(run / "samples.sqlite")) as database:
        (count,) = database.execute("SELECT count(*) FROM samples").fetchone()
    shutil.rmtree(run)
    if failures:
        raise SystemExit(f"recording failed: {failures}")
    return recorded - began, took, count


def made_run(samples: int, folder: Path) -> Path:
    """A recorded run of one client with so many samples, at 100/s, and one outage of 10 s."""
    until_s = samples / RATE - 31.0
    one = client("orders", down=[(2.0, 12.0)], operation="get", until_s=until_s)
    made = trial(one, planned=plan(), read_backs=())
    run = folder / "run"
    write_run(run, made.plan, made)
    with (run / "events.jsonl").open("a") as events:  # observation lasts as long as the samples do
        events.write(event(until_s, "note", text="end", author="bench").model_dump_json() + "\n")
    return run


def main() -> int:
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--samples", type=int, default=1_000_000)
    wanted.add_argument("--rounds", type=int, default=3)
    given = wanted.parse_args()
    print(f"{given.samples} samples, {given.rounds} rounds, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="chaoskit-bench-") as place:
        folder = Path(place)
        rounds = [recorded(given.samples, folder) for _ in range(given.rounds)]
        seconds = sorted(took for took, _ in rounds)
        lost = [given.samples - count for _, count in rounds]
        mid = statistics.median(seconds)
        print(f"recording: median {mid:.2f} s ({seconds[0]:.2f} to {seconds[-1]:.2f}), {given.samples / mid:.0f}/s; lost {lost}")
        bare = [recorded_bare(given.samples, folder) for _ in range(given.rounds)]
        lost += [given.samples - count for *_, count in bare]
        for what, values in (("recording, bare sockets", [b[0] for b in bare]), ("merging them", [b[1] for b in bare])):
            print(f"{what}: median {statistics.median(values):.2f} s ({min(values):.2f} to {max(values):.2f}); lost {lost[-1]}")
        run = made_run(given.samples, folder)
        measured = [
            json.loads(
                subprocess.run([sys.executable, "-c", MEASURE, str(run)], capture_output=True, text=True, check=True).stdout
            )
            for _ in range(given.rounds)
        ]
        for key, unit in (("wall_s", "s"), ("cpu_s", "s"), ("peak_mib", "MiB")):
            values = sorted(m[key] for m in measured)
            print(f"measuring {key}: median {statistics.median(values):.2f} {unit} ({values[0]:.2f} to {values[-1]:.2f})")
        print(f"measuring: RTO {measured[0]['rto']}")
    print(
        f"this process: peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB; load {os.getloadavg()[0]:.1f}"
    )
    return 1 if any(lost) else 0


if __name__ == "__main__":
    sys.exit(main())
