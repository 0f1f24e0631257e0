"""How fast, and how much at once, a partition of ten nodes into halves comes and goes.

    python tests/benchmarks/bench_partition.py [--rounds 7] [--tool nft|iptables]

Measured from traffic. A process beside the lab sends small UDP datagrams over every directed link between the halves, again and
again, by sockets inside the nodes, each stamped with the time of sending. A link was cut between the last one that arrived
and the first one that was lost, and joined before the first one that arrived after the heal. `last cut` runs from the call of
`perform` until every link has lost one; `spread` is between the first and the last link's last arrival. Both hold to within the
pause between two datagrams of a link, which is shown. Each figure is the median of the rounds, with the least and the greatest.

In the same rounds, alternating, the same halves are cut as scripts do it: one exec of nft or iptables in each node, one after
the other, which drops what comes from the other half. Where this machine has neither, the lab gets iptables as a Debian package,
which takes a while the first time.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from bench_lab_up_down import bare
from rich.console import Console
from rich.table import Table

from chaoskit.backends.linux_host.held_lab import HeldLab
from chaoskit.backends.linux_host.state import processes_of
from chaoskit.backends.namespace.backend import NamespaceBackend
from chaoskit.backends.namespace.lab import NamespaceLab
from chaoskit.model.capability import PACKAGES_DEBIAN
from chaoskit.model.lab import ImageSpec, LabSpec, NodeGroup
from chaoskit.model.steps import CutLinks, Exec, JoinLinks, Link

NODES, HALF, PORT = 10, 5, 9000
CLONE_NEWNET = 0x40000000
WARM_S, HELD_S, AFTER_S = 0.2, 0.3, 0.3
STAMP = struct.Struct("!BBQ")
Act = Callable[[], object]


def namespaces(lab: NamespaceLab) -> list[str]:
    """Each node's network namespace, by the process that has its address."""
    wanted = {f"|-- {node.interfaces[0].address}\n": at for at, node in enumerate(lab.plan.nodes)}
    found: dict[int, str] = {}
    for pid in processes_of(lab.lab_id):
        routes = Path(f"/proc/{pid}/net/fib_trie").read_text(encoding="ascii")
        for line, at in wanted.items():
            if line in routes and "host LOCAL" in routes.split(line, 1)[1].split("|--")[0]:
                found[at] = f"/proc/{pid}/ns/net"
    return [found[at] for at in range(len(lab.plan.nodes))]


def probe(places: Sequence[str], addresses: Sequence[str]) -> None:
    """The prober: until its standard input closes; then what arrived, and the pauses, as JSON on standard output."""
    libc = ctypes.CDLL(None, use_errno=True)
    sockets = []
    for place, address in zip(places, addresses, strict=True):
        with open(place, encoding="ascii") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
        made.bind((address, PORT))
        sockets.append(made)
    links = [(a, b) for a in range(NODES) for b in range(NODES) if (a < HALF) != (b < HALF)]
    ways = {(a, b): (addresses[b], PORT) for a, b in links}
    arrived: dict[tuple[int, int], list[int]] = {link: [] for link in links}
    sent: dict[tuple[int, int], list[int]] = {link: [] for link in links}
    stop = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), stop.set()), daemon=True).start()
    print("ready", flush=True)
    rounds_ns = [time.monotonic_ns()]
    while not stop.is_set():
        for a, b in links:
            try:
                sent[a, b].append(time.monotonic_ns())
                sockets[a].sendto(STAMP.pack(a, b, sent[a, b][-1]), ways[a, b])
            except OSError:
                continue  # its own kernel drops it: one way of being cut
        for one in sockets:
            while True:
                try:
                    sender, receiver, sent_ns = STAMP.unpack(one.recv(64))
                except BlockingIOError:
                    break
                arrived[sender, receiver].append(sent_ns)
        rounds_ns.append(time.monotonic_ns())
    pauses = [after - before for before, after in pairwise(rounds_ns)]
    print(json.dumps({"arrived": list(arrived.values()), "sent": list(sent.values()), "pauses": pauses}))


class Seen:
    """What one cut and one heal showed, in milliseconds."""

    def __init__(
        self, cut_ns: int, healed_ns: int, arrived: list[list[int]], sent: list[list[int]], pauses_ns: list[int]
    ) -> None:
        # one that was stamped just before the heal may be sent just after it
        sure_ns = healed_ns - round(HELD_S * 0.3e9)
        last = [max((t for t in times if t < sure_ns), default=0) for times in arrived]
        first = [min((t for t in times if t > healed_ns), default=0) for times in arrived]
        if not all(last) or not all(first):
            raise RuntimeError("a link carried nothing before the cut, or after the heal: the round shows nothing")
        lost = [min((t for t in times if last[link] < t < sure_ns), default=0) for link, times in enumerate(sent)]
        if not all(lost):
            raise RuntimeError("a link was never cut: the round shows nothing")
        self.last_cut = (max(lost) - cut_ns) / 1e6
        self.spread = (max(last) - min(last)) / 1e6
        self.last_joined = (max(first) - healed_ns) / 1e6
        self.joined_spread = (max(first) - min(first)) / 1e6
        self.pause = statistics.median(pauses_ns) / 1e6


def one_round(lab: HeldLab, places: Sequence[str], cut: Act, heal: Act) -> Seen:
    """`places`: each node's network namespace."""
    addresses = [node.interfaces[0].address for node in lab.plan.nodes]
    argv = [sys.executable, __file__, "--probe", json.dumps([places, addresses])]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as prober:
        assert prober.stdin is not None
        assert prober.stdout is not None
        prober.stdout.readline()
        time.sleep(WARM_S)
        cut_ns = time.monotonic_ns()
        cut()
        time.sleep(HELD_S)
        healed_ns = time.monotonic_ns()
        heal()
        time.sleep(AFTER_S)
        prober.stdin.close()
        said = json.loads(prober.stdout.read())
    return Seen(cut_ns, healed_ns, said["arrived"], said["sent"], said["pauses"])


def ours(lab: HeldLab) -> tuple[Act, Act]:
    pairs = [(a, b) for a in range(NODES) for b in range(NODES) if (a < HALF) != (b < HALF)]
    cut = CutLinks(tag="halves", links=tuple(Link(source=f"n{a}", destination=f"n{b}") for a, b in pairs))
    return lambda: lab.perform(cut), lambda: lab.perform(JoinLinks(tag="halves"))


def as_scripts_do(lab: NamespaceLab, tool: str) -> tuple[Act, Act]:
    """One exec in each node, one after the other."""
    addresses = [node.interfaces[0].address for node in lab.plan.nodes]
    cuts, heals = [], []
    for at, node in enumerate(lab.plan.nodes):
        others = ",".join(addresses[HALF:] if at < HALF else addresses[:HALF])
        if tool == "iptables":
            cuts.append(Exec(node=node.name, argv=("iptables", "-A", "INPUT", "-s", others, "-j", "DROP")))
            heals.append(Exec(node=node.name, argv=("iptables", "-D", "INPUT", "-s", others, "-j", "DROP")))
        else:
            hook = "type filter hook input priority 0;"
            rules = f"table ip halves {{ chain in {{ {hook} ip saddr {{ {others} }} drop; }} }}"
            cuts.append(Exec(node=node.name, argv=("nft", rules)))
            heals.append(Exec(node=node.name, argv=("nft", "delete table ip halves")))
    return lambda: [lab.perform(step) for step in cuts], lambda: [lab.perform(step) for step in heals]


FIGURES = ("last_cut", "spread", "last_joined", "joined_spread", "pause")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tool", choices=("nft", "iptables"), default="nft" if shutil.which("nft") else "iptables")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.probe:
        probe(*json.loads(given.probe))
        return
    console = Console()
    if os.geteuid() != 0:
        console.print("bench_partition: entering the nodes from outside needs root")
        return
    plan, backend = bare(NODES), NamespaceBackend()
    compared = shutil.which(given.tool) is not None
    if not compared and backend.survey(LabSpec(name="bench", nodes={"n": NodeGroup()})).has(PACKAGES_DEBIAN):
        package = "nftables" if given.tool == "nft" else given.tool
        plan, compared = plan.model_copy(update={"image": ImageSpec(apt=(package,))}), True
    with tempfile.TemporaryDirectory() as scratch:
        lab_id = f"bench-{os.getpid()}"
        lab = backend.up(plan, lab_id, "bench", Path(scratch, "logs"), detached=False, progress=console.print)
        try:
            ways = {"chaoskit, one transaction": ours(lab)}
            if compared:
                ways[f"one exec of {given.tool} in each node"] = as_scripts_do(lab, given.tool)
            seen: dict[str, list[Seen]] = {name: [] for name in ways}
            for _ in range(given.rounds):
                for name, (cut, heal) in ways.items():
                    seen[name].append(one_round(lab, namespaces(lab), cut, heal))
        finally:
            lab.down()
    show(console, seen)
    if not compared:
        console.print(f"{given.tool} is not installed: nothing to compare with")


def show(console: Console, seen: dict[str, list[Seen]]) -> None:
    title = f"{NODES} nodes into halves, ms: median (least - greatest) of {len(next(iter(seen.values())))} rounds"
    table = Table("how", *(figure.replace("_", " ") for figure in FIGURES), title=title)
    for name, rounds in seen.items():
        values = [[getattr(one, figure) for one in rounds] for figure in FIGURES]
        table.add_row(name, *(f"{statistics.median(v):.2f} ({min(v):.2f} - {max(v):.2f})" for v in values))
    console.print(table)


if __name__ == "__main__":
    main()
