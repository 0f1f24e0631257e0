"""Commands whose exit code answers a question, asked again and again while a method runs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from chaoskit.model.condition import Probe
from chaoskit.model.errors import LabGone, StepFailed
from chaoskit.model.facts import ExecQuery
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Lab

SAID_CHARS = 300


@dataclass(frozen=True, slots=True)
class Answer:
    """One probe's end."""

    ok: bool
    said: str
    """Exit code and the end of its output, or why there is none."""
    at_ns: int


class RepeatedProbe:
    """Runs a probe every so often. In a node it is waited for; on this machine it runs beside everything else."""

    def __init__(self, probe: Probe, lab: Lab, directory: Path, clock: Clock) -> None:
        self.probe = probe
        self._lab, self._directory, self._clock = lab, directory, clock
        self._next_ns = clock.monotonic_ns()
        self._running: subprocess.Popen[str] | None = None
        self._deadline_s = 0.0

    def poll(self) -> Answer | None:
        """The answer, where one has come since the last call."""
        if self._running is not None:
            return self._local_answer(self._running)
        if self._clock.monotonic_ns() < self._next_ns:
            return None
        if self.probe.node is not None:
            return self._done(*self._asked_in(self.probe.node))
        try:
            # A session of its own, so that what it started can be ended with it.
            self._running = subprocess.Popen(
                self.probe.command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            return self._done(False, f"it could not be run: {error.strerror}")
        self._deadline_s = time.monotonic() + float(self.probe.timeout)  # a real process lives in real time, whatever `clock` is
        return None

    def _asked_in(self, node: str) -> tuple[bool, str]:
        query = ExecQuery(node=node, argv=self.probe.command, timeout_s=float(self.probe.timeout))
        try:
            reading = self._lab.read(query)
        except LabGone:
            raise
        except StepFailed as error:
            return False, f"it could not be run: {str(error)[:SAID_CHARS]}"
        return reading.number == 0, _said(reading.number, reading.value or "")

    def _local_answer(self, running: subprocess.Popen[str]) -> Answer | None:
        code = running.poll()
        if code is None and time.monotonic() < self._deadline_s:
            return None
        self._running = None
        if code is None:
            _end(running)
            return self._done(False, f"it was not done within {self.probe.timeout}")
        return self._done(code == 0, _said(code, _output(running)))

    def _done(self, ok: bool, said: str) -> Answer:
        now_ns = self._clock.monotonic_ns()
        self._next_ns = now_ns + self.probe.every.ns
        return Answer(ok, said, now_ns)

    def stop(self) -> None:
        """End what still runs."""
        if self._running is not None:
            _end(self._running)
            self._running = None


def _said(code: float | None, output: str) -> str:
    words = " ".join(output.split())[-SAID_CHARS:]
    return f"exit code {code:g}{': ' if words else ''}{words}" if code is not None else "no exit code"


def _output(process: subprocess.Popen[str]) -> str:
    """What an ended process wrote, without waiting for children of it that hold the pipe."""
    if process.stdout is None:
        return ""
    handle = process.stdout.fileno()
    os.set_blocking(handle, False)
    with process.stdout, suppress(BlockingIOError):
        return os.read(handle, 65536).decode(errors="replace")
    return ""


def _end(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout is not None:
        process.stdout.close()
