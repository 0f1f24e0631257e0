"""Delay asked and felt, and what one TCP stream still gets through: `python tests/benchmarks/bench_delay.py [--rounds 3]`.

Two nodes of a bare lab; frames from the first to the second are delayed, answers are not. UDP probes carry the instant they
were sent and are stamped by the receiving kernel; each figure is of all probes of all rounds. "Loaded": beside a TCP stream
on the same link that sends as fast as it can. Throughput is that of one TCP stream after its first two seconds, with the
machine's own buffer limits, beside the same without any shape, alternating in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from bench_lab_up_down import bare
from rich.console import Console
from rich.table import Table

from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.capability import NETWORK_SHAPE
from chaoskit.model.lab import LabSpec, NodeGroup
from chaoskit.model.steps import Exec, JoinLinks, Link, LinkShape, ShapeLinks

ASKED_S = (0.001, 0.010, 0.050, 0.200)
PROBES, EVERY_S = 200, 0.005
STREAM_S, WARM_UP_S = 8.0, 2.0
GOOD_SHARE, GOOD_S, GOOD_MBIT_PER_S = 0.05, 0.0005, 400

HEAR = """
import socket, struct
ear = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ear.setsockopt(socket.SOL_SOCKET, 35, 1)
ear.bind(("", 5002))
ear.settimeout({wait_s})
try:
    while True:
        data, ancillary, _, _ = ear.recvmsg(64, 64)
        seconds, nanoseconds = struct.unpack("=qq", ancillary[0][2])
        print(seconds * 10**9 + nanoseconds - int(data))
except TimeoutError:
    pass
"""
ASK = """
import random, socket, time
mouth = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mouth.sendto(str(time.time_ns()).encode(), ({to!r}, 5003))  # whoever has no answer yet is resolved first
time.sleep({first_s})
for _ in range({count}):
    mouth.sendto(str(time.time_ns()).encode(), ({to!r}, 5002))
    time.sleep({every_s} * random.uniform(0.5, 1.5))
"""
RECEIVE = """
import socket, time
ear = socket.create_server(("", 5001))
made, _ = ear.accept()
room, began, got, since = bytearray(1 << 20), time.monotonic(), 0, None
while n := made.recv_into(room):
    if since is None and time.monotonic() - began > {warm_up_s}:
        since = time.monotonic()
    elif since is not None:
        got += n
        last = time.monotonic()
print(got * 8e-6 / (last - since))
"""
SEND = """
import socket, time
deadline = time.monotonic() + 10
while True:
    try:
        made = socket.create_connection(({to!r}, 5001), 10)
        break
    except ConnectionRefusedError:
        if time.monotonic() > deadline:
            raise
        time.sleep(0.02)
end, chunk = time.monotonic() + {seconds}, bytes(1 << 18)
while time.monotonic() < end:
    made.sendall(chunk)
made.close()
"""


def python(lab: NamespaceLab, node: str, code: str) -> str:
    return lab.perform(Exec(node=node, argv=(sys.executable, "-c", code), timeout_s=60.0)).output


def both(lab: NamespaceLab, there: str, here: str) -> str:
    """Run `there` on n1 and `here` on n0; the output of the former."""
    heard: list[str] = []
    hearing = threading.Thread(target=lambda: heard.append(python(lab, "n1", there)))
    hearing.start()
    time.sleep(0.3)
    python(lab, "n0", here)
    hearing.join()
    return heard[0]


def delays_s(lab: NamespaceLab, asked_s: float) -> list[float]:
    to = lab.plan.addresses()["n1"]
    ask = ASK.format(to=to, first_s=0.2 + asked_s, count=PROBES, every_s=EVERY_S)
    said = both(lab, HEAR.format(wait_s=1.5 + asked_s), ask)
    found = [int(line) / 1e9 for line in said.split()]
    if len(found) < PROBES * 0.95:
        raise RuntimeError(f"only {len(found)} of {PROBES} probes arrived")
    return found


def stream(lab: NamespaceLab, seconds: float = STREAM_S) -> float:
    """Mbit/s."""
    to = lab.plan.addresses()["n1"]
    return float(both(lab, RECEIVE.format(warm_up_s=WARM_UP_S), SEND.format(to=to, seconds=seconds)))


def loaded(lab: NamespaceLab, asked_s: float) -> tuple[list[float], float]:
    rates: list[float] = []
    streaming = threading.Thread(target=lambda: rates.append(stream(lab, STREAM_S)))
    streaming.start()
    time.sleep(WARM_UP_S + 1.0)
    found = delays_s(lab, asked_s)
    streaming.join()
    return found, rates[0]


def shape(lab: NamespaceLab, delay_s: float) -> None:
    link = Link(source="n0", destination="n1")
    lab.perform(ShapeLinks(tag="bench", links=(link,), shape=LinkShape(delay_s=delay_s)))


def row(asked_s: float, load: str, found: list[float], rate: float | None) -> list[str]:
    found = sorted(found)
    median, late = statistics.median(found), found[int(len(found) * 0.99)]
    good = abs(median - asked_s) <= max(GOOD_SHARE * asked_s, GOOD_S)
    beside = f"{rate:.0f} Mbit/s" if rate is not None else "-"
    cells = [f"{asked_s * 1e3:g} ms", load, beside, str(len(found)), f"{median * 1e3:.3f} ms", f"{late * 1e3:.3f} ms"]
    return [*cells, f"{(median - asked_s) * 1e3:+.3f} ms", "yes" if good else "NO"]


def measure(lab: NamespaceLab, rounds: int) -> tuple[Table, Table]:
    quiet: dict[float, list[float]] = {asked_s: [] for asked_s in ASKED_S}
    busy: dict[float, tuple[list[float], list[float]]] = {asked_s: ([], []) for asked_s in ASKED_S}
    free: list[float] = []
    slow: list[float] = []
    for _ in range(rounds):
        free.append(stream(lab))
        shape(lab, 0.050)
        slow.append(stream(lab))
        for asked_s in ASKED_S:
            shape(lab, asked_s)
            quiet[asked_s] += delays_s(lab, asked_s)
            found, rate = loaded(lab, asked_s)
            busy[asked_s][0].extend(found)
            busy[asked_s][1].append(rate)
        lab.perform(JoinLinks(tag="bench"))
    delays = Table(title=f"one-way delay, {rounds} rounds")
    for heading in ("asked", "link", "beside", "probes", "median", "p99", "off by", "within 5 % or 0.5 ms"):
        delays.add_column(heading, justify="right")
    for asked_s in ASKED_S:
        delays.add_row(*row(asked_s, "idle", quiet[asked_s], None))
        delays.add_row(*row(asked_s, "loaded", busy[asked_s][0], statistics.median(busy[asked_s][1])))
    through = Table(title=f"one TCP stream, median of {rounds} rounds (least-greatest)")
    for heading in ("link", "Mbit/s", f"over {GOOD_MBIT_PER_S}"):
        through.add_column(heading, justify="right")
    for name, figures in (("not shaped", free), ("50 ms one way", slow)):
        middle = statistics.median(figures)
        good = "yes" if middle > GOOD_MBIT_PER_S else "NO"
        through.add_row(name, f"{middle:.0f} ({min(figures):.0f}-{max(figures):.0f})", good)
    through.add_row("ratio", f"{statistics.median(slow) / statistics.median(free):.3f}", "")
    return delays, through


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaoskit-bench-", dir="/var/tmp") as scratch:
        os.environ["CHAOSKIT_STATE"] = scratch
        backend = NamespaceBackend()
        survey = backend.survey(LabSpec(name="bench", nodes={"n": NodeGroup()}))
        console = Console(width=130)
        console.print(f"{NETWORK_SHAPE}: {survey.reason(NETWORK_SHAPE)}; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
        if not survey.has(NETWORK_SHAPE):
            return
        lab = backend.up(bare(2), "bench-delay", "bench", Path(scratch, "logs"), detached=False, progress=lambda _: None)
        try:
            tables = measure(lab, options.rounds)
            for event in lab.events():
                console.print(event.kind, event.data)
        finally:
            lab.down()
        for table in tables:
            console.print(table)


if __name__ == "__main__":
    main()
