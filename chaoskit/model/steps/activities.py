"""The step that ends what goes on by itself."""

from __future__ import annotations

from typing import Literal

from chaoskit.model.steps.record import StepRecord


class Cease(StepRecord):
    """End whatever goes on by itself under this tag, on every node; when it is done, nothing of it acts any more.

    What it did last stays as it is: put that right with a further step. Nothing happens where nothing goes on.
    """

    kind: Literal["cease"] = "cease"
    tag: str

    def words(self) -> str:
        return "end what goes on by itself"
