"""The exception tree. Every error carries its evidence and says what to do next; the exit code hangs on the class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong with what was given: where, what, what is allowed, the nearest right spelling.

    No `Record`: holders of labs raise errors as well, and need not wait for pydantic.
    """

    message: str
    file: str = ""
    line: int | None = None
    """1-based; None where the problem has no place in a file."""
    column: int | None = None
    path: str = ""
    """Dotted place in the document, such as `clients.orders.rate`."""
    value: str = ""
    allowed: tuple[str, ...] = ()
    nearest: str = ""

    def __str__(self) -> str:
        place = self.file
        if self.line is not None:
            place += f":{self.line}:{self.column or 1}"
        lines = [f"{place}: {self.path}: {self.message}" if self.path else f"{place}: {self.message}"]
        if not place:
            lines = [f"{self.path}: {self.message}" if self.path else self.message]
        if self.value:
            lines.append(f"    value: {self.value}")
        if self.allowed:
            lines.append(f"    allowed: {', '.join(self.allowed)}")
        if self.nearest:
            lines.append(f"    did you mean {self.nearest!r}?")
        return "\n".join(lines)


class ChaoskitError(Exception):
    """Anything chaoskit raises on purpose."""

    exit_code = 3


class InputError(ChaoskitError):
    """What was given is wrong; nothing was started."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(p) for p in self.problems))


class CapabilityMissing(ChaoskitError):
    """This machine, backend or lab cannot do what was asked; says what to install or change."""


class LabUnavailable(ChaoskitError):
    """The lab could not be built, never became ready, or vanished."""

    def __init__(self, message: str, evidence: str = "") -> None:
        self.evidence = evidence
        super().__init__(message if not evidence else f"{message}\n{evidence}")


class StepFailed(ChaoskitError):
    """A step could not be performed."""

    def __init__(self, message: str, evidence: str = "") -> None:
        self.evidence = evidence
        super().__init__(message if not evidence else f"{message}\n{evidence}")


class LabGone(StepFailed):
    """The lab that the step was for exists no more: nothing of it is left to break or to heal."""


class EffectNotSeen(ChaoskitError):
    """A fault was injected, and there is no evidence that it is in force."""


class RecordingFailed(ChaoskitError):
    """The history could not be written (disk full, permission): figures from it would be wrong."""


class Aborted(ChaoskitError):
    """An abort condition was met; everything was healed and the run ended."""


class BlastRadiusExceeded(Aborted):
    """A fault would have broken more than may be broken; it was not injected, everything was healed and the run ended."""


class HealFailed(ChaoskitError):
    """Something chaoskit broke is still broken. Outranks every other ending."""

    exit_code = 4


class OutOfReach(ChaoskitError):
    """The way to the machine where a command is carried out is lost: it heals there by itself, and nobody here saw it."""

    exit_code = 4


class Interrupted(ChaoskitError):
    """Ctrl-C or SIGTERM, after healing."""

    exit_code = 130
