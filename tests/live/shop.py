"""The command line as people run it: processes of its own, in a place of its own, and what they leave behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RELAY = Path(__file__).parent / "labs" / "relay"
ENDS_WITHIN_S = 90.0
"""Far more than any run here takes: only a process that hangs gets there."""

VISITORS = {"type": "http", "class": "fresh", "operation": "get", "rate": "20/s", "deadline": "450ms", "endpoint": "service"}
DOOR = {"type": "tcp", "class": "fresh", "operation": "connect", "rate": "10/s", "deadline": "450ms", "endpoint": "door"}
POWER_OFF = {"inject": "node.power_off", "target": {"role": "leader"}, "at": "500ms", "for": "3s"}


def experiment(**changes: Any) -> dict[str, Any]:
    """The leader loses power for 3 s; a key given as None is left out."""
    base: dict[str, Any] = {
        "title": "The leader loses power",
        "lab": str(RELAY),
        "clients": {"visitors": VISITORS, "door": DOOR},
        "steady-state-hypothesis": {"clients": {"visitors": {"success": ">= 90%", "for": "500ms"}}, "roles": {"leader": 1}},
        "baseline": "2s",
        "method": [POWER_OFF],
        "recovery": "30s",
        "objectives": {"rto": {"visitors": "<= 20s"}, "split_brain": "none"},
    }
    return {key: value for key, value in (base | changes).items() if value is not None}


def until(question: Callable[[], Any], what: str, within_s: float = 60.0) -> Any:
    """Wait for a true answer; AssertionError with `what` where none comes."""
    deadline = time.monotonic() + within_s
    while not (answer := question()):
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {what}"
        time.sleep(0.01)
    return answer


@dataclass
class Ended:
    """A command line that has ended."""

    code: int
    out: str
    err: str

    def __str__(self) -> str:
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Running:
    """A command line that runs. What it says goes to files, so that nothing blocks and a kill loses nothing."""

    def __init__(self, process: subprocess.Popen[bytes], out: Path, err: Path) -> None:
        self.process, self._out, self._err = process, out, err

    @property
    def pid(self) -> int:
        return self.process.pid

    def err(self) -> str:
        return self._err.read_text(errors="replace")

    def says(self, words: str, within_s: float = 60.0) -> None:
        """Wait until it has said so on stderr, or has ended."""
        until(lambda: words in self.err() or self.process.poll() is not None, f"{words!r} from {self.process.args}", within_s)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def end(self, within_s: float = ENDS_WITHIN_S) -> Ended:
        """Wait for its end."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"{self.process.args} did not end within {within_s:g} s; it said:\n{self.err()}") from None
        return Ended(code, self._out.read_text(errors="replace"), self.err())

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def as_from_a_terminal() -> None:
    """Whatever the tests were started by may have told its children to ignore signals (nohup, a background job)."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@dataclass
class Place:
    """A directory with its own state, reports and scratch space. Everything that a run leaves names it."""

    root: Path
    python: Sequence[str] = (sys.executable,)
    environment: dict[str, str] = field(default_factory=lambda: dict(os.environ))
    uid: int | None = None
    """Whose processes they are; None: this one's user."""
    started: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        for directory in (self.root, self.scratch, self.said):
            directory.mkdir(parents=True, exist_ok=True)
            if self.uid is not None:
                os.chown(directory, self.uid, self.uid)

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def said(self) -> Path:
        return self.root / "said"

    def write(self, name: str = "experiment.yaml", **changes: Any) -> Path:
        """An experiment file (JSON is YAML)."""
        file = self.root / name
        file.write_text(json.dumps(experiment(**changes), indent=1))
        return file

    def variables(self) -> dict[str, str]:
        ours = {"CHAOSKIT_STATE": self.state, "CHAOSKIT_REPORTS": self.reports, "TMPDIR": self.scratch}
        return {**self.environment, **{name: str(path) for name, path in ours.items()}}

    def argv(self, *words: str | Path) -> list[str]:
        return [*self.python, "-m", "chaoskit.surfaces.entry", *map(str, words)]

    def start(self, *words: str | Path, **options: Any) -> Running:
        number = len(self.started) + 1
        out, err = self.said / f"{number}.out", self.said / f"{number}.err"
        variables = {**self.variables(), **options.pop("variables", {})}
        options.setdefault("preexec_fn", as_from_a_terminal)
        with out.open("wb") as to_out, err.open("wb") as to_err:
            process = subprocess.Popen(
                self.argv(*words), stdin=subprocess.DEVNULL, stdout=to_out, stderr=to_err, cwd=self.root, env=variables, **options
            )
        self.started.append(Running(process, out, err))
        return self.started[-1]

    def clear(self) -> None:
        """End what a test that failed left running."""
        for run in self.started:
            if run.process.poll() is None:
                run.kill()
        self.chaoskit("recover")

    def chaoskit(self, *words: str | Path, **options: Any) -> Ended:
        return self.start(*words, **options).end()

    def state_of(self, lab_id: str) -> dict[str, str]:
        """Everything of a standing lab that a fault could leave changed: see tests/prior_state.py."""
        argv = [*self.python, "-m", "tests.prior_state", lab_id]
        root = Path(__file__).parents[2]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=self.variables(), cwd=root, timeout=60)
        assert done.returncode == 0, done.stderr
        found: dict[str, str] = json.loads(done.stdout)
        return found

    # -- what was recorded -------------------------------------------------------------------------------------------------

    def runs(self) -> list[Path]:
        return sorted(path for path in self.reports.glob("*") if path.is_dir()) if self.reports.is_dir() else []

    def run_directory(self) -> Path:
        """The only run; beside it may lie the logs of a lab that was built by itself."""
        (only,) = [path for path in self.runs() if (path / "events.jsonl").exists()]
        return only

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.run_directory() / "result.json").read_text())
        return found

    def holders(self) -> list[int]:
        """Keepers and holders of this place's labs, the keepers first."""
        makers = (b"chaoskit.backends.namespace.holder", b"chaoskit.backends.docker.holder")
        return [pid for pid, words in processes(self.root) if any(maker in words for maker in makers)]

    # -- what is left ------------------------------------------------------------------------------------------------------

    def traces(self) -> list[str]:
        """Everything on this machine that belongs to labs and runs of this place, apart from run directories."""
        found = [f"process {pid}: {words.replace(bytes(1), b' ')[:200]!r}" for pid, words in processes(self.root)]
        found += [f"file {path}" for top in ("labs", "docker", "trials") for path in sorted((self.state / top).glob("*"))]
        found += [f"file {path}" for path in sorted(self.scratch.iterdir())]
        found += [f"mount {line}" for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(self.root) in line]
        for loop in Path("/sys/block").glob("loop*/loop/backing_file"):
            try:
                if str(self.root) in loop.read_text():
                    found.append(f"loop device {loop}")
            except OSError:
                continue  # it was given back while we looked
        tops = (self.state.resolve(), self.state.resolve() / "docker")
        marks = tuple(f"chaoskit-{hashlib.sha256(str(top).encode()).hexdigest()[:6]}-" for top in tops)
        for parent, names, _ in os.walk("/sys/fs/cgroup"):  # unlike glob, it minds no directory that vanishes meanwhile
            found += [f"cgroup {parent}/{name}" for name in names if name.startswith(marks)]
        return found


def processes(place: Path) -> list[tuple[int, bytes]]:
    """(pid, command line) of every process that names `place` in its words, environment or mounts; this one excepted."""
    wanted, found = str(place).encode(), []
    for entry in os.listdir("/proc"):
        if not entry.isdigit() or int(entry) == os.getpid():
            continue
        for name in ("cmdline", "environ", "mountinfo"):
            try:
                if wanted in (seen := Path(f"/proc/{entry}/{name}").read_bytes()):
                    words = seen if name == "cmdline" else Path(f"/proc/{entry}/cmdline").read_bytes()
                    found.append((int(entry), words or b"?"))
                    break
            except OSError:
                continue  # it ended while we looked, or is another user's
    return found
