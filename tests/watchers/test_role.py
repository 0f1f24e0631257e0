"""The role watcher as the engine runs it: its own process, its lines, its rows."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chaoskit.model.check import CommandCheck, HttpCheck, TcpCheck
from chaoskit.ports.watcher import RoleBeat, RoleChanged, RoleWatchConfig
from tests.clients.postgres_server import free_port
from tests.clients.scripted_service import ScriptedService

MS = 1_000_000


class Watching:
    """A running watcher."""

    def __init__(self, tmp_path: Path, roles: dict[str, dict[str, Any]], **changes: Any) -> None:
        self.spool = tmp_path / "roles.sqlite"
        config = RoleWatchConfig(trial=2, spool=str(self.spool), roles=roles, **{"addresses": {"db1": "127.0.0.1"}, **changes})
        file = tmp_path / "roles.json"
        file.write_text(config.model_dump_json())
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chaoskit.watchers.role", str(file)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def change_to(self, state: int | None, node: str = "db1") -> RoleChanged:
        """The next change of that node, which must be to `state`."""
        while True:
            said = self._next()
            if isinstance(said, RoleChanged) and said.node == node:
                assert said.state == state, said
                return said

    def beat(self) -> RoleBeat:
        while not isinstance(said := self._next(), RoleBeat):
            pass
        return said

    def stop(self) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.read()
        self.process.stdout.close()
        return self.process.wait(10)

    def rows(self, query: str) -> list[Any]:
        with sqlite3.connect(self.spool) as database:
            return database.execute(query).fetchall()

    def _next(self) -> RoleChanged | RoleBeat:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, "the watcher ended"
        kind = RoleChanged if json.loads(line)["kind"] == "role_changed" else RoleBeat
        return kind.model_validate_json(line)


def test_a_change_lies_within_its_bracket_and_is_seen_in_beats(tmp_path):
    with ScriptedService() as service:
        watching = Watching(tmp_path, {"primary": {"db1": HttpCheck(http=f"http://db1:{service.port}/primary")}})
        first = watching.change_to(1)
        assert (first.before, first.detail) == (None, "200")
        time.sleep(0.3)
        begin = time.monotonic_ns()
        service.mode = "error"
        changed = watching.change_to(0)
        assert (changed.before, changed.detail) == (1, "503")
        assert changed.between_ns[0] <= time.monotonic_ns()
        assert changed.between_ns[0] < changed.between_ns[1]
        assert changed.between_ns[1] > begin
        beat = watching.beat()
        while beat.t_ns < changed.between_ns[1]:
            beat = watching.beat()
        assert beat.roles == {"primary": {"db1": 0}}
        service.refuse()
        assert watching.change_to(None).before == 0
        assert watching.stop() == 0
    assert {row[0] for row in watching.rows("SELECT DISTINCT state FROM roles")} == {1, 0, None}
    assert watching.rows("SELECT count(*) FROM roles WHERE trial != 2 OR t_end < t_begin") == [(0,)]


def test_a_slow_answer_never_delays_the_next_question(tmp_path):
    with ScriptedService("hang") as service:
        watching = Watching(tmp_path, {"primary": {"db1": HttpCheck(http=f"http://127.0.0.1:{service.port}/")}})
        assert "no answer within" in watching.change_to(None).detail
        time.sleep(1.5)
        assert watching.stop() == 0
    begins = [row[0] for row in watching.rows("SELECT t_begin FROM roles ORDER BY t_begin")]
    assert len(begins) >= 10, "ten questions a second although each takes half a second"


def test_a_role_may_be_a_port_or_a_command(tmp_path):
    flag = tmp_path / "leader"
    flag.touch()
    with ScriptedService() as service:
        checks = {
            "listening": {"db1": TcpCheck(tcp=service.port)},
            "leader": {"db1": CommandCheck(command=("test", "-e", str(flag)))},
        }
        watching = Watching(tmp_path, checks)
        assert {watching.change_to(1).role, watching.change_to(1).role} == {"listening", "leader"}
        flag.unlink()
        assert watching.change_to(0).detail == "exit 1"
        service.refuse()
        assert watching.change_to(0).detail == "refused"
        assert watching.stop() == 0


@pytest.mark.parametrize("url", ["https://db1/", "http://nowhere.invalid:8008/", "db1:8008"])
def test_a_check_that_cannot_be_asked_is_said_before_anything_starts(tmp_path, url):
    watching = Watching(tmp_path, {"primary": {"db1": HttpCheck(http=url)}})
    assert watching.process.wait(10) == 2
    assert watching.process.stdout is not None
    assert RoleBeat.model_validate_json(watching.process.stdout.read()).failure != ""


def test_a_spool_that_cannot_be_written_ends_it_loudly(tmp_path):
    (tmp_path / "file").touch()
    roles = {"primary": {"db1": TcpCheck(tcp=1)}}
    config = RoleWatchConfig(trial=0, spool=str(tmp_path / "file" / "s.sqlite"), roles=roles, addresses={"db1": "127.0.0.1"})
    (tmp_path / "bad.json").write_text(config.model_dump_json())
    argv = [sys.executable, "-m", "chaoskit.watchers.role", str(tmp_path / "bad.json")]
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 3
    assert "cannot record" in json.loads(done.stdout.splitlines()[-1])["failure"]


SERVER = """
import http.server, sys
class Yes(http.server.BaseHTTPRequestHandler):
    def do_GET(self): self.send_response(200); self.end_headers()
    def log_message(self, *_): pass
print("up", flush=True)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Yes).serve_forever()
"""


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("unshare") is None, reason="needs root and unshare (util-linux)")
def test_a_node_that_nobody_can_reach_is_still_asked_from_inside(tmp_path):
    port = free_port()
    script = f"ip link set lo up && ip addr add 127.77.0.1/32 dev lo && exec {sys.executable} -c '{SERVER}' {port}"
    node = subprocess.Popen(["unshare", "-n", "sh", "-c", script], stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == "up\n"
        # loopback on both sides: an address routed elsewhere would send this out of the machine
        with socket.socket() as outside, pytest.raises(ConnectionRefusedError):
            outside.connect(("127.0.0.1", port))
        inside = tmp_path / "inside"
        inside.mkdir()
        (inside / "db1").write_text(str(node.pid))
        time.sleep(0.2)
        home = os.readlink("/proc/self/ns/net")
        watching = Watching(
            tmp_path,
            {
                "primary": {"db1": HttpCheck(http=f"http://127.0.0.1:{port}/")},
                "named": {"db1": CommandCheck(command=("sh", "-c", "ip addr show lo | grep -q 127.77.0.1"), every="200ms")},
            },
            inside=str(inside),
        )
        assert {watching.change_to(1).role, watching.change_to(1).role} == {"primary", "named"}
        threads = Path(f"/proc/{watching.process.pid}/task")
        assert {os.readlink(task / "ns/net") for task in threads.iterdir()} == {home}, "every thread is back home"
        (inside / "db1").write_text("")
        assert watching.change_to(None).detail == "off"
        namespace = os.readlink(f"/proc/{node.pid}/ns/net")
        held = [os.readlink(link) for link in Path(f"/proc/{watching.process.pid}/fd").iterdir()]
        assert namespace not in held, "a handle would keep a dead node's network alive"
        assert watching.stop() == 0
    finally:
        node.kill()
        node.wait(10)
