"""How late probes send, and what they cost: `python tests/benchmarks/bench_probe.py [--rates 200,1000,5000,20000] [--type http]`.

nginx (one worker, a file of two bytes) on loopback. For each rate so many attempts a second are sent for --seconds by one probe
process, exactly as the engine starts it (by more, where --per-process says so; --class pooled keeps as many connections as may
be kept). Lateness is t_send - t_intended of every attempt, as recorded; CPU is user and system time of the probe processes over
the time they probed. With --busy the same is done while this process keeps one thread busy, as an orchestrator that works hard
would. Beside it, for scale, wrk and hey where they are installed: they are closed loops and send when they can, so they have no
lateness; given are requests/s and CPU at the same number of requests/s (hey; wrk: as fast as it can).
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from tests.clients.probing import ProbeProcess, config, rows

NGINX = """
daemon off; worker_processes 1; pid {place}/pid; error_log {place}/error.log;
events {{ worker_connections 8192; }}
http {{ access_log off; client_body_temp_path {place}; proxy_temp_path {place}; fastcgi_temp_path {place};
  uwsgi_temp_path {place}; scgi_temp_path {place}; keepalive_requests 1000000;
  server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ return 200 ok; }} }} }}
"""
PORT = 18080


def cpu_s(pid: int) -> float:
    """Seconds that the threads of a process have run so far, to the nanosecond (ticks of `stat` miss what is short)."""
    return sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{pid}/task").iterdir()) / 1e9


def probed(rate: int, seconds: float, given: argparse.Namespace, place: Path) -> str:
    """One line about so many attempts a second."""
    processes = max(1, -(-rate // given.per_process))
    each = rate / processes
    probes = max(1, round(each / 10))
    plain = given.client_class == "pooled" and given.type == "http" and given.driver == "plain"
    spools = [place / f"{rate}-{i}.sqlite" for i in range(processes)]
    made = [
        config(
            spool, PORT, client=f"c{i}", type=given.type, operation="connect" if given.type == "tcp" else "get",
            client_class=given.client_class, options={"driver": "plain", "pool_size": 500} if plain else {},
            interval_ns=round(probes / each * 1e9), probes=probes, deadline_ns=200_000_000,
            in_flight=max(200, round(each * 0.3)),
        )
        for i, spool in enumerate(spools)
    ]  # fmt: skip
    running = [ProbeProcess(one) for one in made]
    for probe in running:
        probe.wait_for("running", 40.0)
    before, served, began = [cpu_s(p.process.pid) for p in running], cpu_s(given.server), time.monotonic()
    stopping = threading.Event()
    if given.busy:
        threading.Thread(target=lambda: [None for _ in iter(stopping.is_set, True)], daemon=True).start()
    time.sleep(seconds)
    took = time.monotonic() - began
    used = sum(cpu_s(p.process.pid) - b for p, b in zip(running, before, strict=True))
    served = cpu_s(given.server) - served
    stopping.set()
    for probe in running:
        probe.tell("stop")
        probe.end()
    found = [row for spool in spools for row in rows(spool, "SELECT t_send - t_intended, outcome, tainted FROM samples")]
    late = np.array([r[0] for r in found if r[0] is not None]) / 1e6
    count, ok = len(found), sum(r[1] == "ok" for r in found)
    not_sent = sum(r[1] == "not_sent" for r in found)
    p50, p99 = np.quantile(late, [0.5, 0.99], method="inverted_cdf") if len(late) else (float("nan"),) * 2
    what = f"{count} attempts, ok {ok}, not_sent {not_sent}, tainted {sum(r[2] for r in found)}"
    lateness = f"lateness p50 {p50:.3f} ms, p99 {p99:.3f} ms, max {late.max(initial=0):.1f} ms"
    cpu = f"CPU {100 * used / took:.1f} % of one core (nginx {100 * served / took:.1f} %)"
    return f"{rate:6}/s in {processes:2} processes: {what}; {lateness}; {cpu}"


def least() -> str:
    """What one exchange costs at 1 000/s with nothing around it: CPU of a thread that sleeps, sends, receives, and no more."""
    count, every_s = 2000, 0.001
    address = ("127.0.0.1", PORT)
    kept = socket.create_connection(address)

    def exchange(made: socket.socket, ending: bytes) -> None:
        made.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + ending + b"\r\n")
        made.recv(65536)

    def fresh() -> None:
        with socket.create_connection(address) as made:
            exchange(made, b"Connection: close\r\n")

    told = []
    for name, act in (("sleeping alone", lambda: None), ("kept", lambda: exchange(kept, b"")), ("fresh", fresh)):
        began, before = time.monotonic(), time.thread_time()
        for number in range(count):
            time.sleep(max(began + number * every_s - time.monotonic(), 0))
            act()
        told.append(f"{name} {(time.thread_time() - before) / count / every_s * 100:.1f} %")
    kept.close()
    return f"least at 1000/s, of one core: {', '.join(told)}"


def other(argv: list[str]) -> str:
    """What another load generator did, and its CPU."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    took, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    return f"{' '.join(argv)}: {rate[1] if rate else '?'} requests/s; CPU {100 * cpu / took:.1f} % of one core"


def main() -> None:
    wanted = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    wanted.add_argument("--rates", default="200,1000,5000,20000")
    wanted.add_argument("--per-process", type=int, default=20_000)
    wanted.add_argument("--seconds", type=float, default=10.0)
    wanted.add_argument("--type", choices=("http", "tcp"), default="http")
    wanted.add_argument("--class", dest="client_class", default="fresh")
    wanted.add_argument("--driver", choices=("plain", "requests"), default="plain", help="of --class pooled")
    wanted.add_argument("--busy", action="store_true")
    given = wanted.parse_args()
    with tempfile.TemporaryDirectory(prefix="chaoskit-bench-") as folder:
        place = Path(folder)
        (place / "nginx.conf").write_text(NGINX.format(place=place, port=PORT))
        nginx = subprocess.Popen(["nginx", "-c", str(place / "nginx.conf"), "-e", str(place / "error.log")])
        try:
            time.sleep(0.5)
            given.server = int(Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split()[0])
            beside = ", one busy thread beside" if given.busy else ""
            print(f"{given.type} {given.client_class}{beside}; load {os.getloadavg()[0]:.1f}")
            print(least(), flush=True)
            for rate in (int(r) for r in given.rates.split(",")):
                print(probed(rate, given.seconds, given, place), flush=True)
            url = f"http://127.0.0.1:{PORT}/"
            hey = ["hey", "-c", "50", "-q", "20", "-z", "3s"]
            for argv in (["wrk", "-t1", "-c50", "-d3", url], [*hey, "-disable-keepalive", url], [*hey, url]):
                if shutil.which(argv[0]):
                    print(other(argv), flush=True)
            print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        finally:
            nginx.terminate()
            nginx.wait(10)


if __name__ == "__main__":
    main()
