"""How long bare labs take to come up and go down: `python tests/benchmarks/bench_lab_up_down.py [--rounds 7] [--nodes 3,10,30]`.

Measured from the call of `up()` in a process that has imported chaoskit to its return, when every node has its address on
the switch; then from `down()` to its return, when nothing is left. Each figure is the median of the rounds, with the least
and the greatest. Where mininet is installed (Debian packages `mininet` and `bridge-utils`; needs root), the same number of
its hosts on one Linux bridge is started and stopped in the same rounds, alternating, by its own Python API in a process that
has imported it. mininet's hosts have a network namespace of their own and share everything else with the machine; a node
here has its own files, processes, host name and IPC too.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.model.facts import ReachQuery
from chaoskit.model.lab import ImageSpec, InterfacePlan, LabPlan, NodePlan, ReadySpec

SUBNET = ipaddress.ip_network("198.18.0.0/24")

MININET = """
import json, sys, time
from mininet.net import Mininet
from mininet.nodelib import LinuxBridge
from mininet.topo import SingleSwitchTopo
for line in sys.stdin:
    count = int(line)
    began = time.monotonic()
    net = Mininet(topo=SingleSwitchTopo(count), switch=LinuxBridge, controller=None)
    net.start()
    up = time.monotonic()
    net.stop()
    print(json.dumps([up - began, time.monotonic() - up]), flush=True)
"""


def bare(count: int) -> LabPlan:
    """`count` nodes on one network, without services."""
    nodes = []
    for number in range(count):
        address = SUBNET[number + 1]
        mac = "02:c5:" + ":".join(f"{byte:02x}" for byte in address.packed)
        interface = InterfacePlan(device="eth0", network="lan", address=str(address), prefix=SUBNET.prefixlen, mac=mac)
        nodes.append(NodePlan(name=f"n{number}", group="n", interfaces=(interface,), volumes={}, services=()))
    return LabPlan(
        name="bare", nodes=tuple(nodes), networks={"lan": str(SUBNET)}, roles={}, ready=ReadySpec(), image=ImageSpec(), clients=()
    )


def chaoskit_round(count: int, number: int, logs: Path) -> tuple[float, float]:
    """(seconds up, seconds down) of one lab; every round checks that the last node really can be reached."""
    plan = bare(count)
    began = time.monotonic()
    lab = NamespaceBackend().up(plan, f"bench-{count}-{number}", "bench", logs, detached=False, progress=lambda _: None)
    up = time.monotonic()
    reach = lab.read(ReachQuery(source="n0", destination=f"n{count - 1}")).value
    going = time.monotonic()
    lab.down()
    gone = time.monotonic()
    if reach != "answered":
        raise RuntimeError(f"n{count - 1} could not be reached after up(): {reach}")
    return up - began, gone - going


def mininet_process() -> subprocess.Popen[str] | None:
    """mininet in an interpreter that has it (Debian installs it for the system's); None where there is none."""
    if os.geteuid() != 0:
        return None
    for interpreter in (sys.executable, shutil.which("python3", path="/usr/bin") or ""):
        if (
            interpreter
            and subprocess.run([interpreter, "-c", "import mininet.net"], capture_output=True, check=False).returncode == 0
        ):
            return subprocess.Popen([interpreter, "-c", MININET], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return None


def mininet_round(process: subprocess.Popen[str], count: int) -> tuple[float, float]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{count}\n")
    process.stdin.flush()
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"mininet ended with exit code {process.wait()}")
    up, down = json.loads(line)
    return up, down


def shown(figures: list[float]) -> str:
    return f"{statistics.median(figures):.3f} s ({min(figures):.3f}-{max(figures):.3f})"


Rounds = list[tuple[float, float]]


def measured(count: int, rounds: int, mininet: subprocess.Popen[str] | None, logs: Path) -> tuple[Rounds, Rounds]:
    """(chaoskit's rounds, mininet's), alternating; one more before them warms the page cache."""
    ours: Rounds = []
    theirs: Rounds = []
    for number in range(rounds + 1):
        ours.append(chaoskit_round(count, number, logs))
        if mininet is not None:
            theirs.append(mininet_round(mininet, count))
    return ours[1:], theirs[1:]


def row(count: int, ours: Rounds, theirs: Rounds) -> list[str]:
    cells = [str(count), shown([up for up, _ in ours]), shown([down for _, down in ours])]
    if not theirs:
        return [*cells, "not installed" if os.geteuid() == 0 else "needs root", "", ""]
    ratio = statistics.median(up for up, _ in ours) / statistics.median(up for up, _ in theirs)
    return [*cells, shown([up for up, _ in theirs]), shown([down for _, down in theirs]), f"{ratio:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--nodes", default="3,10,30")
    options = parser.parse_args()
    mininet = mininet_process()
    table = Table(title=f"labs of bare nodes, median of {options.rounds} rounds (least-greatest), {os.cpu_count()} cores")
    for heading in ("nodes", "chaoskit up", "chaoskit down", "mininet up", "mininet down", "up: chaoskit/mininet"):
        table.add_column(heading, justify="right")
    with tempfile.TemporaryDirectory(prefix="chaoskit-bench-", dir="/var/tmp") as scratch:
        os.environ["CHAOSKIT_STATE"] = scratch
        for count in (int(word) for word in options.nodes.split(",")):
            table.add_row(*row(count, *measured(count, options.rounds, mininet, Path(scratch, "logs"))))
    if mininet is not None and mininet.stdin is not None:
        mininet.stdin.close()
        mininet.wait(10)
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
