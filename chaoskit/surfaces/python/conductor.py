"""The program's side of a run that is carried out in a process of its own: start it, hear it, end it, and take its answer."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

from chaoskit.model.errors import ChaoskitError, LabUnavailable
from chaoskit.model.plan import Plan
from chaoskit.surfaces.conducting import Conducted, Request
from chaoskit.surfaces.python.messages import Answer, Order

CHILD = "chaoskit.surfaces.python.child"
HEALED_WITHIN_S = 300.0
"""A process that was told to end heals, ends its lab and judges; far more than that takes."""

Say = Callable[[str], None]


def say_to_stderr(text: str) -> None:
    """Where progress goes unless somebody wants it elsewhere. Looked up anew each time: pytest puts another one in its place."""
    print(text, file=sys.stderr, flush=True)


class Conductor:
    """One run in a process of its own. As a context it sees to it that the run has ended, and everything is healed.

    The process is in a session of its own, so that Ctrl-C on the terminal reaches only the program, which then ends it.
    """

    def __init__(self, request: Request, say: Say = say_to_stderr, act: str = "run") -> None:
        self._say = say
        self._last_words: list[str] = []
        self._answer = b""
        self._ended = False
        self._process = subprocess.Popen(
            [sys.executable, "-m", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        self._listeners = [
            threading.Thread(target=self._hear_progress, daemon=True),
            threading.Thread(target=self._hear_answer, daemon=True),
        ]
        for listener in self._listeners:
            listener.start()
        order = Order.model_validate({"act": act, "request": request})
        self._tell(order.model_dump_json().encode() + b"\n")

    def __enter__(self) -> Conductor:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.end()

    def _tell(self, line: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended already; its answer says why
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def _hear_progress(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            text = line.decode("utf-8", "replace").rstrip("\n")
            self._last_words = [*self._last_words[-20:], text]
            with suppress(Exception):  # who listens may be gone (a closed capture); the run goes on
                self._say(text)

    def _hear_answer(self) -> None:
        assert self._process.stdout is not None
        self._answer = self._process.stdout.read()

    @property
    def is_running(self) -> bool:
        """Whether it still works on its order."""
        return self._process.poll() is None

    def end(self) -> None:
        """Have it end now where it still runs, and wait until it has healed everything.

        An exception that comes meanwhile, a second Ctrl-C say, stops only the waiting: the process heals on by itself.
        """
        if not self._ended:
            self._ended = True
            assert self._process.stdin is not None
            with suppress(OSError):
                self._process.stdin.close()
            self._wait(HEALED_WITHIN_S)

    def _wait(self, timeout_s: float | None) -> None:
        self._process.wait(timeout_s)
        for listener in self._listeners:
            listener.join(5.0)

    def _answered(self) -> Answer:
        """Wait for its answer. Whatever interrupts the wait ends the run first. Raises what the other side refused with."""
        try:
            self._wait(None)
        except BaseException:
            self.end()
            raise
        self._ended = True
        assert self._process.stdin is not None
        with suppress(OSError):
            self._process.stdin.close()
        if not self._answer:
            words = "\n".join(self._last_words)
            raise LabUnavailable(
                f"the process that carried out the run ended with {self._process.returncode} and without an answer; "
                "`chaoskit recover` sees to what it left",
                words,
            )
        answer = Answer.model_validate_json(self._answer)
        if answer.refused is not None:
            raise answer.refused.error()
        return answer

    def conducted(self) -> Conducted:
        """Wait for the end of the run. Raises InputError, CapabilityMissing and what else kept a report from being made."""
        made = self._answered().conducted
        if made is None:
            raise ChaoskitError("the process that carried out the run answered with a plan")
        return made

    def planned(self) -> Plan:
        """Wait for the plan."""
        made = self._answered().plan
        if made is None:
            raise ChaoskitError("the process that was to plan answered with a run")
        return made
