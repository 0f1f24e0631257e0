"""The lab of a calibration: this machine's loopback. Probes are its own processes, nothing is built and nothing is broken."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from chaoskit.model.errors import LabUnavailable, StepFailed
from chaoskit.model.facts import Query, Reading
from chaoskit.model.history import Event
from chaoskit.model.lab import LabPlan
from chaoskit.model.steps import Performed, Step
from chaoskit.ports.client import ClientConfig


class LocalAgent:
    """A process of this machine, by the protocol of `ports.lab.Agent`."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        """LabUnavailable where it cannot be started."""
        self.name = name
        self._lines: list[str] = []
        self._lock = threading.Lock()
        try:
            with log.open("ab") as errors:
                # a session of its own: Ctrl-C is for the one that ends them in order
                self._process = subprocess.Popen(
                    argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True
                )
        except OSError as error:
            raise LabUnavailable(f"{name} could not be started: {error}") from error
        self._reader = threading.Thread(target=self._read, name=f"lines of {name}", daemon=True)
        self._reader.start()

    def lines(self) -> Sequence[str]:
        """What it wrote to standard output since the last call; never blocks."""
        with self._lock:
            taken, self._lines = self._lines, []
        return taken

    def tell(self, line: str) -> None:
        """Write one line to its standard input. StepFailed where it has ended."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise StepFailed(f"{self.name} has ended: {error}") from error

    def exit_code(self) -> int | None:
        """None while it runs, or says things that were not read yet."""
        return None if self._reader.is_alive() else self._process.poll()

    def stop(self, timeout_s: float) -> int:
        """Close its standard input, TERM, KILL; its exit code."""
        assert self._process.stdin is not None
        with suppress(OSError):  # it has ended already
            self._process.stdin.close()
        for end in (self._process.terminate, self._process.kill):
            try:
                return self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                end()
        return self._process.wait(timeout_s)

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as output:
            for line in output:
                with self._lock:
                    self._lines.append(line.decode(errors="replace").rstrip("\n"))


class LoopbackLab:
    """Where probes of a calibration run. It performs no steps and answers no queries."""

    lab_id = "loopback"

    def __init__(self, plan: LabPlan, ways: Mapping[str, str]) -> None:
        """`ways`: node -> the loopback address by which the service is reached from there, where it is not the first."""
        self.plan = plan
        self._ways = ways

    def perform(self, step: Step) -> Performed:
        """StepFailed: nothing is broken here but the scripted service, by itself."""
        raise StepFailed(f"the loopback lab performs no steps: {step.words()}")

    def read(self, query: Query) -> Reading:
        """StepFailed: there is nothing to ask."""
        raise StepFailed(f"the loopback lab answers no queries: {query!r}")

    def spawn(self, name: str, node: str | None, argv: Sequence[str], log: Path) -> LocalAgent:
        """Start a process of this machine; a probe of a node that has a way of its own is told to take it."""
        way = self._ways.get(node or "")
        if way is not None:
            file = Path(argv[-1])
            config = ClientConfig.model_validate_json(file.read_bytes())
            config = config.model_copy(update={"hosts": tuple((name, way) for name, _ in config.hosts)})
            file.write_text(config.model_dump_json(), encoding="utf-8")
        return LocalAgent(name, argv, log)

    def inside(self) -> Path | None:
        """There are no nodes to enter."""
        return None

    def events(self) -> Sequence[Event]:
        """Nothing happens by itself."""
        return ()

    def down(self) -> None:
        """Nothing was built."""
