"""What a Python program and the process that carries out its experiment tell each other: one line of JSON each way."""

from __future__ import annotations

from typing import Literal

from chaoskit.model import errors
from chaoskit.model.errors import ChaoskitError, InputError, Problem
from chaoskit.model.plan import Plan
from chaoskit.model.record import Record
from chaoskit.surfaces.conducting import Conducted, Request


class Order(Record):
    """What is to be done."""

    act: Literal["run", "plan"] = "run"
    request: Request


class Refusal(Record):
    """An error, so that it can be raised again on the other side."""

    kind: str
    message: str
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, error: BaseException, message: str) -> Refusal:
        """`message`: in words for people."""
        problems = error.problems if isinstance(error, InputError) else ()
        return cls(kind=type(error).__name__, message=message, problems=problems)

    def error(self) -> ChaoskitError:
        """The error as it was; a ChaoskitError with its name where its class is not one of `chaoskit.model.errors`."""
        if self.problems:
            return InputError(self.problems)
        made = getattr(errors, self.kind, None)
        if isinstance(made, type) and issubclass(made, ChaoskitError):
            return made(self.message)
        return ChaoskitError(f"{self.kind}: {self.message}")


class Answer(Record):
    """How it ended: exactly one of these."""

    conducted: Conducted | None = None
    plan: Plan | None = None
    refused: Refusal | None = None
