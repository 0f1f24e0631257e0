"""Experiment files as tests: one item a file; its trials are in the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaoskit.surfaces.pytest_plugin.runs import (
    carried_out,
    forget,
    found_file,
    options_of,
    refuse_failed,
    refuse_unknown,
)
from chaoskit.surfaces.python.outcome import RunResult


class ExperimentFile(pytest.File):
    """A file that matches `chaos_files`."""

    def collect(self) -> Iterator[ExperimentItem]:
        """One test."""
        yield ExperimentItem.from_parent(self, name=self.path.name.split(".", 1)[0])


class ExperimentItem(pytest.Item):
    """An experiment: a missed objective is a failure; an unknown verdict, and whatever kept it from running, is an error."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.add_marker("chaos")
        self.result: RunResult | None = None

    def setup(self) -> None:
        """Carry it out. What goes wrong here is an error of the test, not a failure of the system under test."""
        forget(self)
        self.result = None
        options = options_of(self.config)
        request = options.request(found_file(self.path, self))
        self.result = carried_out(self, request, options.say)
        refuse_unknown(self.result)

    def runtest(self) -> None:
        """Judge it."""
        assert self.result is not None
        refuse_failed(self.result)

    def reportinfo(self) -> tuple[Path, int | None, str]:
        """The file, and the experiment's name."""
        return self.path, 0, f"experiment {self.name}"
