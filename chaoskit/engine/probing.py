"""Commands whose exit code answers a question, and pages that are there or not, asked for again and again while a method runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from chaoskit.model.condition import Probe
from chaoskit.model.errors import LabGone, StepFailed
from chaoskit.model.facts import ExecQuery, PageQuery
from chaoskit.ports.clock import Clock
from chaoskit.ports.lab import Lab

SAID_CHARS = 300
ENDS_WITHIN_S = 2.0


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
        self._running: subprocess.Popen[bytes] | None = None
        self._output: IO[bytes] | None = None
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
            # To a file, so that nobody has to read while it writes; a session of its own, so that its children end with it.
            self._output = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
            self._running = subprocess.Popen(
                self._argv(), cwd=self._directory, stdin=subprocess.DEVNULL, stdout=self._output,
                stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            self._close()
            return self._done(False, f"it could not be run: {error.strerror}")
        self._deadline_s = time.monotonic() + float(self.probe.timeout)  # a real process lives in real time, whatever `clock` is
        return None

    def _argv(self) -> tuple[str, ...]:
        """A page of this machine is asked for by a process as well: it can be waited for, and ended, like any other."""
        if self.probe.command is not None:
            return self.probe.command
        return (sys.executable, "-P", "-m", "chaoskit.agents.page", str(self.probe.http), str(float(self.probe.timeout)))

    def _asked_in(self, node: str) -> tuple[bool, str]:
        timeout_s = float(self.probe.timeout)
        try:
            if self.probe.command is None:
                page = self._lab.read(PageQuery(node=node, url=str(self.probe.http), timeout_s=timeout_s))
                return page.value == "there", page.data or str(page.value)
            reading = self._lab.read(ExecQuery(node=node, argv=self.probe.command, timeout_s=timeout_s))
        except LabGone:
            raise
        except StepFailed as error:
            return False, f"it could not be run: {str(error)[:SAID_CHARS]}"
        return reading.number == 0, _said(reading.number, reading.value or "")

    def _local_answer(self, running: subprocess.Popen[bytes]) -> Answer | None:
        code = running.poll()
        if code is None and time.monotonic() < self._deadline_s:
            return None
        words = _tail(self._output)
        self.stop()
        if code is None:
            return self._done(False, f"it was not done within {self.probe.timeout}")
        return self._done(code == 0, _said(code, words))

    def _done(self, ok: bool, said: str) -> Answer:
        now_ns = self._clock.monotonic_ns()
        self._next_ns = now_ns + self.probe.every.ns
        return Answer(ok, said, now_ns)

    def stop(self) -> None:
        """End what still runs."""
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):  # one that waits for a dead disk goes when the disk lets it
                self._running.wait(ENDS_WITHIN_S)
            self._running = None
        self._close()

    def _close(self) -> None:
        if self._output is not None:
            self._output.close()
            self._output = None


def _said(code: float | None, output: str) -> str:
    words = " ".join(output.split())[-SAID_CHARS:]
    return f"exit code {code:g}{': ' if words else ''}{words}" if code is not None else "no exit code"


def _tail(output: IO[bytes] | None) -> str:
    if output is None:
        return ""
    size = output.seek(0, os.SEEK_END)
    output.seek(max(0, size - 4 * SAID_CHARS))
    return output.read().decode(errors="replace")
