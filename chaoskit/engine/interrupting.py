"""Ctrl-C, SIGTERM and SIGUSR1: healing comes first, and a second Ctrl-C does not stop it."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from chaoskit.model.errors import Aborted, ChaoskitError, Interrupted


class Interrupts:
    """Notes signals; `check` raises in a place where nothing is half done."""

    def __init__(self) -> None:
        self.seen: str | None = None
        self._raise_at_once = False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Catch SIGINT, SIGTERM, SIGHUP and SIGUSR1 until the block ends; the earlier handlers come back then.

        A SIGHUP that was ignored before stays so: nohup means that a run outlives its terminal.
        """
        with self._noted(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            yield

    @contextmanager
    def outlasted(self) -> Iterator[None]:
        """Note SIGTERM and SIGHUP until the block ends, around a run and what comes after it.

        Before the run's first step they end it, and after its last one what was measured is judged and told all the same. Ctrl-C
        outside the run ends the process: who sees it sit there may be impatient, and `chaoskit report` judges later.
        """
        with self._noted(signal.SIGTERM):
            yield

    @contextmanager
    def _noted(self, *numbers: signal.Signals) -> Iterator[None]:
        hang_up = () if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else (signal.SIGHUP,)
        earlier = {number: signal.signal(number, self._note) for number in (*numbers, *hang_up)}
        try:
            yield
        finally:
            for number, handler in earlier.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.seen = signal.Signals(number).name
        if self._raise_at_once:
            self._raise_at_once = False
            raise self._ending()

    def _ending(self) -> ChaoskitError:
        if self.seen == signal.SIGUSR1.name:
            return Aborted("asked to abort by SIGUSR1")
        return Interrupted(f"interrupted by {self.seen}")

    def check(self) -> None:
        """Interrupted, where a signal came; Aborted, where it was SIGUSR1: then the run ends with a verdict."""
        if self.seen is not None:
            raise self._ending()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """A long wait that cleans up after itself, such as building a lab: a signal ends it where it stands."""
        self.check()
        self._raise_at_once = True
        try:
            yield
        except ChaoskitError:
            raise
        except Exception:  # libraries wrap what is raised inside them: where a signal came, it was the signal's
            self.check()
            raise
        finally:
            self._raise_at_once = False
