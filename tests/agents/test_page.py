"""Asking for a page: 2xx is yes, everything else is no and says why; no proxy comes between."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        status = int(self.path.strip("/"))
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/204")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None: ...


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    made = HTTPServer(("127.0.0.1", 0), _Answers)
    thread = threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{made.server_port}"
    made.shutdown()
    made.server_close()


def asked(url: str) -> tuple[int, str]:
    argv = [sys.executable, "-P", "-m", "chaoskit.agents.page", url, "5"]
    nobody = {"http_proxy": "http://127.0.0.1:1", "https_proxy": "http://127.0.0.1:1"}
    done = subprocess.run(argv, capture_output=True, text=True, env=nobody, timeout=20, check=False)
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (204, 0), (302, 1), (404, 1), (503, 1)])
def test_the_status_decides(server: str, status: int, code: int) -> None:
    assert asked(f"{server}/{status}") == (code, f"{server}/{status}: status {status}")


def test_who_does_not_answer_is_no() -> None:
    code, said = asked("http://127.0.0.1:1/")
    assert code == 1
    assert "Connection refused" in said
