"""Labs of containers beside what people have: `python tests/benchmarks/bench_docker.py [--rounds 5] [--containers 3,10]`.

Up and down, in the same rounds, alternating, on the same engine, command line against command line: `docker-compose up -d` and
`down` (Debian package docker-compose), and `chaoskit lab up` and `lab down`, each from the same Compose file. It gives its
containers an init, as people do who know that `sleep` as PID 1 does not hear SIGTERM; without one each `down` waits ten seconds
more. chaoskit returns once every service runs. Both are in Python, and find their modules compiled, as installed programs do.

Then ten containers are cut into halves, measured from traffic as in bench_partition.py: by chaoskit, one transaction on the
switch, and as scripts do it: one exec of iptables by the engine in each container, one after the other. The image with
iptables is built by the engine the first time. The load average stands above the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench_lab_up_down import bare, shown
from bench_partition import HALF, NODES, Act, Seen, one_round, ours, show
from rich.console import Console
from rich.table import Table

from chaoskit.backends.docker import engine, images
from chaoskit.backends.docker.backend import DockerBackend
from chaoskit.backends.docker.lab import DockerLab
from chaoskit.model.container import ContainerSpec
from chaoskit.model.errors import LabUnavailable

COMMAND = ["sleep", "100000"]
IPTABLES = "RUN apt-get update && apt-get install -y --no-install-recommends iptables && rm -rf /var/lib/apt/lists/*"
Round = tuple[float, float]


def timed(argv: list[str], folder: Path) -> float:
    as_installed = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.monotonic()
    done = subprocess.run(argv, cwd=folder, env=as_installed, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit code {done.returncode}: {done.stdout}{done.stderr}")
    return time.monotonic() - began


def composed(folder: Path, count: int) -> None:
    """The file that both are given; the containers have an init, see above."""
    services = {f"n{number}": {"image": images.BASE, "command": COMMAND, "init": True} for number in range(count)}
    (folder / "docker-compose.yml").write_text(json.dumps({"version": "3.7", "services": services}))


def by_compose(folder: Path, count: int) -> Round:
    composed(folder, count)
    argv = ["docker-compose", "-p", f"bench{os.getpid()}"]
    try:
        up = timed([*argv, "up", "-d"], folder)
    finally:
        down = timed([*argv, "down"], folder)
    return up, down


def by_chaoskit(folder: Path, count: int) -> Round:
    composed(folder, count)
    # without clients of its own: they would be one container more than the other makes
    (folder / "lab.yaml").write_text(json.dumps({"name": "bench", "compose": "docker-compose.yml", "clients": "n0"}))
    argv = [str(Path(sys.executable).with_name("chaoskit")), "lab"]
    up = timed([*argv, "up", str(folder), "--name", "bench"], folder)  # nothing is left where it fails
    return up, timed([*argv, "down", "bench"], folder)


def labs(console: Console, counts: list[int], rounds: int, scratch: Path) -> None:
    ways: dict[str, Callable[[Path, int], Round]] = {"chaoskit": by_chaoskit}
    if shutil.which("docker-compose"):
        ways["docker-compose"] = by_compose
    table = Table(title=f"labs of containers, median of {rounds} rounds (least-greatest), {os.cpu_count()} cores")
    for heading in ("containers", *(f"{name} {what}" for name in ways for what in ("up", "down")), "ratio up", "ratio down"):
        table.add_column(heading, justify="right")
    for count in counts:
        seen: dict[str, list[Round]] = {name: [] for name in ways}
        for number in range(rounds + 1):  # the first one warms up
            for name, way in ways.items():
                folder = scratch / f"{name}-{count}"
                folder.mkdir(exist_ok=True)
                measured = way(folder, count)
                console.print(f"{name}, {count} containers: up {measured[0]:.2f} s, down {measured[1]:.2f} s", style="dim")
                if number:
                    seen[name].append(measured)
        figures = [[one[at] for one in seen[name]] for name in ways for at in (0, 1)]
        ratios = ["docker-compose is not installed", ""]
        if len(ways) == 2:
            ratios = [f"{statistics.median(figures[at]) / statistics.median(figures[at + 2]):.2f}" for at in (0, 1)]
        table.add_row(str(count), *(shown(one) for one in figures), *ratios)
    console.print(table)


def by_execs(lab: DockerLab, found: engine.Engine) -> tuple[Act, Act]:
    """One exec in each container, one after the other."""
    api = found.client.api
    addresses = [node.interfaces[0].address for node in lab.plan.nodes]
    of_node = {c["Labels"][engine.NODE]: c["Id"] for c in found.containers(chaoskit_lab=lab.lab_id)}

    def all_of(action: str) -> None:
        for at, node in enumerate(lab.plan.nodes):
            others = ",".join(addresses[HALF:] if at < HALF else addresses[:HALF])
            argv = ["iptables", action, "INPUT", "-s", others, "-j", "DROP"]
            made: Any = api.exec_create(of_node[node.name], argv)
            said = api.exec_start(made["Id"])
            if code := api.exec_inspect(made["Id"])["ExitCode"]:
                raise RuntimeError(f"{node.name}: {argv}: exit code {code}: {said}")

    return lambda: all_of("-A"), lambda: all_of("-D")


def partition(console: Console, rounds: int, scratch: Path) -> None:
    image = scratch / "image"
    image.mkdir()
    (image / "Dockerfile").write_text(f"FROM {images.BASE}\n{IPTABLES}\n")
    plan = bare(NODES)
    allowed = {"build": str(image), "container": ContainerSpec(cap_add=("NET_ADMIN",))}  # for those who cut from inside
    plan = plan.model_copy(update={"nodes": tuple(node.model_copy(update=allowed) for node in plan.nodes)})
    lab = DockerBackend().up(plan, f"bench-{os.getpid()}", "bench", scratch / "logs", detached=False, progress=console.print)
    found = engine.opened()
    try:
        places = [f"/proc/{(lab.inside() / node.name).read_text().strip()}/ns/net" for node in plan.nodes]
        ways = {"chaoskit, one transaction": ours(lab), "one exec of iptables in each container": by_execs(lab, found)}
        seen: dict[str, list[Seen]] = {name: [] for name in ways}
        for _ in range(rounds):
            for name, (cut, heal) in ways.items():
                seen[name].append(one_round(lab, places, cut, heal))
    finally:
        lab.down()
        found.close()
    show(console, seen)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--containers", default="3,10")
    parser.add_argument("--only", choices=("labs", "partition"))
    given = parser.parse_args()
    console = Console(width=150)
    try:
        found = engine.opened()
    except LabUnavailable as error:
        console.print(f"bench_docker: {error}")
        return
    there = images.has(found, images.BASE)
    found.close()
    if not there:
        console.print(f"bench_docker: the engine has no {images.BASE}: chaoskit image base")
        return
    console.print("load average", *(f"{one:.1f}" for one in os.getloadavg()))
    with tempfile.TemporaryDirectory(prefix="chaoskit-bench-") as scratch:
        os.environ["CHAOSKIT_STATE"] = f"{scratch}/state"
        if given.only != "partition":
            labs(console, [int(word) for word in given.containers.split(",")], given.rounds, Path(scratch))
        if given.only != "labs":
            partition(console, given.rounds, Path(scratch))


if __name__ == "__main__":
    main()
